import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as keys from '#src/model/coordination-key.ts';

test('every key is read back as what it is about', () => {
  const cases = [
    [keys.captureKey('c', 'n1'), { kind: 'capture', captureId: 'n1' }],
    [keys.captureRecordKey('c', 'n1'), { kind: 'capture-record', captureId: 'n1' }],
    [keys.coordinatorKey('c'), { kind: 'coordinator' }],
    [keys.changefeedInfoKey('c', 'f'), { kind: 'changefeed-info', changefeedId: 'f' }],
    [keys.changefeedStatusKey('c', 'f'), { kind: 'changefeed-status', changefeedId: 'f' }],
    [keys.changefeedEpochKey('c'), { kind: 'changefeed-epoch' }],
    [keys.secretKeyKey('c'), { kind: 'secret-key' }],
    [keys.timelineKey('c', 'u'), { kind: 'timeline', upstreamId: 'u' }],
  ] as const;
  for (const [key, about] of cases) {
    assert.ok(key.startsWith('/sluice/c/'));
    assert.deepEqual(keys.readCoordinationKey('c', key), about);
    assert.equal(keys.readCoordinationKey('other', key), null);
  }
});

test('keys of others and of later versions are nothing', () => {
  for (const key of [
    '',
    '/sluice/c/',
    '/sluice/c/capture/',
    '/sluice/c/capture/a/b',
    '/sluice/c/coordinator/x',
    '/sluice/c/changefeed-epoch/x',
    '/sluice/c/secret-key/x',
    '/sluice/c/changefeed/f',
    '/sluice/c/changefeed/f/info/x',
    '/sluice/c/changefeed/f/later',
    '/sluice/c/timeline/a b',
    '/sluice/cc/coordinator',
  ])
    assert.equal(keys.readCoordinationKey('c', key), null, key);
});

test('one watch covers captures and their records, and nothing else', () => {
  const prefix = keys.captureWatchPrefix('c');
  assert.ok(keys.captureKey('c', 'n').startsWith(prefix));
  assert.ok(keys.captureRecordKey('c', 'n').startsWith(prefix));
  assert.ok(!keys.changefeedInfoKey('c', 'n').startsWith(prefix));
});

test('one list covers changefeeds and their highest epoch, and nothing else', () => {
  const prefix = keys.changefeedListPrefix('c');
  assert.ok(keys.changefeedInfoKey('c', 'n').startsWith(prefix));
  assert.ok(keys.changefeedStatusKey('c', 'n').startsWith(prefix));
  assert.ok(keys.changefeedEpochKey('c').startsWith(prefix));
  assert.ok(!keys.captureKey('c', 'n').startsWith(prefix));
});

test('a part of a key has no slash, no space, and an end', () => {
  for (const part of ['a', 'A-1', '0d5e6f30-0000-4000-8000-000000000000', '3306:1.2_x'])
    assert.ok(keys.isKeyPart(part), part);
  for (const part of ['', '-a', 'a/b', 'a b', 'ä', 'x'.repeat(129)])
    assert.ok(!keys.isKeyPart(part), part);
});
