import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openWriteDeadline } from '#src/adapters/write-deadline/write-deadline.ts';

test('what is published and fenced is in memory before the call returns, never later than told', () => {
  const told: string[] = [];
  const port = openWriteDeadline({
    publish: (deadlineNs, sentNs) => told.push(`publish ${deadlineNs} ${sentNs}`),
    fence: (reason) => told.push(`fence ${reason}`),
  });
  void port.call({ kind: 'Publish', deadlineMs: 12.345_678_9, sentAtMs: 1.000_000_9 });
  void port.call({ kind: 'Fence', reason: 'lost' });
  assert.deepEqual(told, ['publish 12345678 1000000', 'fence lost']);
});
