import { after, before } from 'node:test';
import { Downstream } from './replay.ts';

import type { SqlServer } from '#test/servers/sql-server.ts';

/** Where changes are made, and where they are replayed. */
export interface Pair {
  readonly upstream: SqlServer;
  readonly server: SqlServer;
  /** The planner and its connection on `server`. */
  readonly downstream: Downstream;
}

/** Two private servers, started before the tests of the file or suite that asks and stopped after them; to be used in tests only. */
export function usePair(start: () => Promise<SqlServer>): Pair {
  const pair = {} as { -readonly [Key in keyof Pair]: Pair[Key] };
  before(async () => {
    [pair.upstream, pair.server] = await Promise.all([start(), start()]);
    pair.downstream = await Downstream.open(pair.server);
  });
  after(async () => {
    await pair.downstream.close();
    await Promise.all([pair.upstream.stop(), pair.server.stop()]);
  });
  return pair;
}
