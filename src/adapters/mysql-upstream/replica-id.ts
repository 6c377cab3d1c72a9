import { randomInt } from 'node:crypto';
import { fail, FailureError } from '../../base/failure.ts';
import type { ServerConnection } from './server-connection.ts';
import type { ServerFacts } from './server-facts.ts';

/** Drawn ids begin here: far above what people give to servers. */
const drawnMin = 1_000_000_000;
const drawnMax = 4_294_967_295;

/** Ids in use: the server's own and those of replicas it knows; only its own when the account may not list them. */
export async function usedServerIds(
  connection: ServerConnection,
  facts: ServerFacts,
): Promise<ReadonlySet<number>> {
  const used = new Set([Number(facts.variables.get('server_id') ?? 0)]);
  const sql =
    facts.flavor === 'mysql' && facts.versionNumber >= 80022 ? 'SHOW REPLICAS' : 'SHOW SLAVE HOSTS';
  try {
    for (const row of await connection.query(sql)) {
      used.add(Number(row['Server_id'] ?? row['Server_Id'] ?? 0));
    }
  } catch (error) {
    if (!(error instanceof FailureError) || error.failure.code !== 'SOURCE_GRANT_MISSING')
      throw error;
  }
  return used;
}

/** The id the user gave, or a free one; SOURCE_SERVER_ID_TAKEN when the given one is in use. */
export function chooseServerId(given: number | undefined, used: ReadonlySet<number>): number {
  if (given !== undefined) {
    if (!used.has(given)) return given;
    return fail(
      'SOURCE_SERVER_ID_TAKEN',
      `server id ${given} is in use by the upstream or a replica`,
      {
        retry: 'Again',
      },
    );
  }
  for (;;) {
    const drawn = randomInt(drawnMin, drawnMax);
    if (!used.has(drawn)) return drawn;
  }
}

/**
 * The id for a new dump. One the user gave is taken even when a replica has it: that may be our own last connection,
 * of which the server has not noticed the end, and a new dump of the same id ends it.
 */
export async function freeServerId(
  connection: ServerConnection,
  facts: ServerFacts,
  given: number | undefined,
): Promise<number> {
  if (given !== undefined) return given;
  return chooseServerId(undefined, await usedServerIds(connection, facts));
}
