import type { Log } from '../../ports/log.ts';
import type { StartAt, UpstreamChecked } from '../../ports/upstream.ts';
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
      warnings: settings.warnings,
      ...resolved,
    };
  } finally {
    connection.close();
  }
}
