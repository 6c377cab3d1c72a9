import { FailureError } from '../../base/failure.ts';
import type { Log } from '../../ports/log.ts';
import type { UpstreamChecked } from '../../ports/upstream.ts';
import type { StartAt } from '../../model/start-at.ts';
import { checkGrants } from './grants-check.ts';
import { resolveMariadbStart } from './mariadb-start.ts';
import { resolveMysqlStart } from './mysql-start.ts';
import { chooseServerId, usedServerIds } from './replica-id.ts';
import { ServerConnection } from './server-connection.ts';
import { readServerFacts, serverIdentity } from './server-facts.ts';
import { checkSettings, demandNoProblems } from './settings-check.ts';
import type { UpstreamUri } from './upstream-uri.ts';

/** Answers `Check`: settings, grants, server id, start and newest position. Throws FailureError. */
export async function checkUpstream(
  uri: UpstreamUri,
  startAt: StartAt,
  log: Log,
): Promise<UpstreamChecked> {
  const connection = await ServerConnection.open(uri);
  try {
    const facts = await readServerFacts(connection);
    const settings = checkSettings(facts);
    const grants = await checkGrants(connection, facts);
    demandNoProblems([...settings.problems, ...grants]);
    chooseServerId(uri.serverId, await usedServerIds(connection, facts));
    const resolved =
      facts.flavor === 'mariadb'
        ? { ...(await resolveMariadbStart(connection, startAt)), timeline: [] }
        : await resolveMysqlStart(connection, facts, startAt);
    log('info', 'upstream.checked', { version: facts.version, start: resolved.start.gtid });
    return {
      kind: 'Checked',
      flavor: facts.flavor,
      version: facts.version,
      serverId: serverIdentity(facts),
      warnings: [...settings.warnings, ...(await warnOfPrepared(connection, startAt))],
      ...resolved,
    };
  } finally {
    connection.close();
  }
}

/** XA transactions that are prepared before the start cannot be read: their rows lie before it, their commit behind. */
async function warnOfPrepared(
  connection: ServerConnection,
  startAt: StartAt,
): Promise<readonly string[]> {
  if (startAt.kind !== 'now') return [];
  try {
    const { length } = await connection.query('XA RECOVER');
    if (length === 0) return [];
    return [
      `${length} prepared XA transactions are open: when one commits behind this start, replication stops.`,
    ];
  } catch (error) {
    // The list needs a privilege that replication does not.
    if (error instanceof FailureError && error.failure.retry === 'Never') return [];
    throw error;
  }
}
