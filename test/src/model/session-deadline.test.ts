import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printCaptureInfo, readCaptureInfo } from '#src/model/capture-info.ts';
import { removalDelayMs, renewalMs, writeDeadlineMs } from '#src/model/session-deadline.ts';

test('the right to write ends two seconds and the drift before a session of ten', () => {
  assert.equal(writeDeadlineMs(500, 10_000), 500 + 7_990);
  assert.equal(renewalMs(10_000), 2_000);
  assert.equal(writeDeadlineMs(0, Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
});

test('others wait half a session, ten seconds at least, not at all for one that ends with its process', () => {
  assert.deepEqual(
    [0, 10_000, 20_000, 30_000, null].map((ttlMs) => removalDelayMs(ttlMs)),
    [10_000, 10_000, 10_000, 15_000, 0],
  );
});

test('what a node says about itself is read back; anything else is nothing', () => {
  const info = { apiAddress: 'a', peerAddress: 'b', version: 'v', isWriteStopped: false };
  for (const ttlMs of [null, 10_000])
    assert.deepEqual(readCaptureInfo(printCaptureInfo({ ...info, ttlMs })), { ...info, ttlMs });
  for (const text of ['', 'null', '[]', '3', '{}', '{"form":2}', '{"form":1,"ttlMs":"x"}'])
    assert.equal(readCaptureInfo(text), null, text);
  assert.equal(readCaptureInfo(printCaptureInfo({ ...info, ttlMs: -1 })), null);
});
