import type { ServerConnection } from './server-connection.ts';
import type { ServerFacts } from './server-facts.ts';
import type { Problem } from './settings-check.ts';

/** Grants to read the log, each with the names under which a server may show it. */
const needed = {
  mariadb: [
    ['REPLICATION SLAVE', 'REPLICATION REPLICA'],
    ['BINLOG MONITOR', 'REPLICATION CLIENT'],
  ],
  mysql: [['REPLICATION SLAVE'], ['REPLICATION CLIENT']],
} as const;

/** The grants that the account lacks, each as a problem that says what to run. */
export async function checkGrants(
  connection: ServerConnection,
  facts: ServerFacts,
): Promise<readonly Problem[]> {
  const statements = await readGrants(connection, facts);
  return missingGrants(statements, facts.flavor).map((grant) => ({
    code: 'SOURCE_GRANT_MISSING' as const,
    message: `the account lacks ${grant}: GRANT ${grant} ON *.* TO it`,
  }));
}

/** Which needed grants no statement of SHOW GRANTS gives; pure. */
export function missingGrants(
  statements: readonly string[],
  flavor: keyof typeof needed,
): readonly string[] {
  const given = new Set<string>();
  for (const statement of statements) {
    const match = /^GRANT (.+) ON \*\.\* TO /i.exec(statement);
    for (const grant of match?.[1]?.split(',') ?? []) given.add(grant.trim().toUpperCase());
  }
  if (given.has('ALL PRIVILEGES')) return [];
  return needed[flavor]
    .filter((names) => !names.some((name) => given.has(name)))
    .map((names) => names[0]);
}

async function readGrants(
  connection: ServerConnection,
  facts: ServerFacts,
): Promise<readonly string[]> {
  const statements: string[] = [];
  const read = async (sql: string): Promise<void> => {
    for (const row of await connection.query(sql)) {
      statements.push(...Object.values(row).filter((text) => text !== null));
    }
  };
  await read('SHOW GRANTS FOR CURRENT_USER()');
  if (facts.flavor === 'mariadb') {
    const [row] = await connection.query('SELECT CURRENT_ROLE() AS role');
    if (row?.['role'] != null) await read('SHOW GRANTS FOR CURRENT_ROLE()');
  }
  return statements;
}
