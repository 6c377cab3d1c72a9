/** What must hold whatever the make of the servers. */
import assert from 'node:assert/strict';
import { changeTypeTables, createTypeTables } from '#test/fixtures/types.ts';
import { ServerPair, type StartServer } from './server-pair.ts';

import type { TestContext } from 'node:test';

/** Tables of every type: made, changed and changed again, copied by three runs that go on from each other. */
export async function copyEveryType(t: TestContext, start: StartServer): Promise<void> {
  const pair = await ServerPair.start(start);
  t.after(() => pair.stop());
  const names = await createTypeTables(pair.upstream);
  await changeTypeTables(pair.upstream, 1);
  const first = await pair.catchUp();
  assert.equal((await pair.assertEqual(['types'])).tables, names.length);
  await changeTypeTables(pair.upstream, 2);
  const second = await pair.catchUp();
  assert.ok(second.checkpoint.ts > first.checkpoint.ts);
  assert.ok(second.rows > 0 && second.rows < first.rows);
  // The workload's own CREATE DATABASE IF NOT EXISTS; no table is made a second time.
  assert.equal(second.ddl, 1);
  await pair.assertEqual(['types']);
}
