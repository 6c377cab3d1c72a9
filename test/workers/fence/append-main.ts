/** A process whose fences end a thread in the middle of its writes to a real event store, again and again. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { FenceStage } from './system.ts';

const stage = await FenceStage.start();
for (let round = 0; round < 8; round++) {
  const submits = stage.note('submits');
  stage.spawn(['append', 'work-2']);
  await stage.until(() => stage.note('submits') > submits);
  await sleep(round);
  // A thread that does not end is what the watchdog kills this process for.
  const { isProven, terminated } = await stage.system.fence('test', 'house/w');
  assert.ok(isProven && terminated.includes('work-2'));
  stage.system.revive('house/w');
}
await stage.stop();
