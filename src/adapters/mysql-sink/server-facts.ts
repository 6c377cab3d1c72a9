import type { SinkSession } from './session.ts';

/** What a server says of itself. */
export interface ServerFacts {
  readonly version: string;
  readonly flavor: 'mariadb' | 'mysql';
  /** Stable identity of the server, to notice that upstream and downstream are the same. */
  readonly serverId: string;
  readonly isGalera: boolean;
}

/** Reads the facts; variables that a server does not have are simply absent. */
export async function readServerFacts(session: SinkSession): Promise<ServerFacts> {
  const rows = await session.rows(
    `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','version_comment','server_uuid','hostname','port','datadir','wsrep_on')`,
    'read server variables',
  );
  const variables = new Map(
    rows.map((row) => [String(row['Variable_name']), String(row['Value'])]),
  );
  const read = (name: string): string => variables.get(name) ?? '';
  const version = read('version');
  // MariaDB has no server_uuid. The upstream names its server alike, so that the two can be compared.
  const serverId = read('server_uuid') || `${read('hostname')}:${read('port')}:${read('datadir')}`;
  return {
    version,
    flavor: /mariadb/i.test(`${version} ${read('version_comment')}`) ? 'mariadb' : 'mysql',
    serverId,
    isGalera: read('wsrep_on').toUpperCase() === 'ON',
  };
}
