import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { readBinlogFiles } from './binlog-text.ts';
import { checkHistory, describeViolations } from './check-history.ts';
import { checkChains } from './row-chains.ts';
import { bank, mixed } from '#test/fixtures/workload.ts';
import { startMariadb } from '#test/servers/mariadb.ts';

import type { LoggedTransaction } from './binlog-text.ts';
import type { HistoryRules } from './history-checker.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

let server: MariadbServer;

before(async () => {
  server = await startMariadb();
  await server.script(`CREATE DATABASE sluice_meta; CREATE DATABASE app; CREATE TABLE sluice_meta.slot (
    cf VARBINARY(128) NOT NULL, slot INT UNSIGNED NOT NULL, token BIGINT UNSIGNED NOT NULL, guard BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL, pos MEDIUMBLOB NOT NULL, span VARBINARY(1024) NOT NULL, lane SMALLINT UNSIGNED NOT NULL,
    owner VARBINARY(128) NOT NULL, PRIMARY KEY (cf, slot));
    CREATE TABLE app.\`odd\`\`name\` (id INT PRIMARY KEY, text TEXT, n BIGINT);
    INSERT INTO sluice_meta.slot VALUES ('feed', 1, 5, 5, 0, '{"ts":1}', 'app.odd\`name', 0, 'me')`);
});
after(() => server.stop());

const rules: HistoryRules = {
  isReplicated: (table) => table.startsWith('app.') || table.startsWith('bank.'),
};

function commit(seq: number, change: string): string {
  return `BEGIN; UPDATE sluice_meta.slot SET seq = ${seq}, pos = '{"ts":${seq * 10}}'; ${change}; COMMIT`;
}

test('fenced commits in a real log pass, and the rows are counted', async () => {
  const odd = 'app.`odd``name`';
  await server.script(
    commit(1, `INSERT INTO ${odd} VALUES (1, 'it''s /* a */ \\n### UPDATE', -5)`),
  );
  await server.script(commit(2, `UPDATE ${odd} SET n = n + 1`));
  await server.query('FLUSH BINARY LOGS');
  await server.script(
    'UPDATE sluice_meta.slot SET token = 18446744073709551614, guard = 18446744073709551614',
  );
  await server.script(commit(3, `DELETE FROM ${odd}`));
  await server.script(`BEGIN; INSERT INTO ${odd} VALUES (2, NULL, NULL); ROLLBACK`);
  const report = await checkHistory(server, rules);
  assert.equal(describeViolations(report), '');
  const { dataTransactions, dataRows, slotCommits, raises } = report;
  assert.deepEqual([dataTransactions, dataRows, slotCommits, raises], [3, 3, 3, 1]);
  assert.deepEqual([...report.tokens.get('feed/1')!], ['5', '18446744073709551614']);
  const seen: LoggedTransaction[] = [];
  const all = readBinlogFiles(server.binlogFiles(), (table) => table.startsWith('app.'));
  for await (const transaction of all) seen.push(transaction);
  const inserted = seen.flatMap(({ rows }) => rows).find(({ kind }) => kind === 'insert');
  assert.equal(inserted?.after[1], '1');
});

test('an unfenced write in a real log is found', async () => {
  await server.query("INSERT INTO app.`odd``name` VALUES (9, 'stray', 1)");
  const report = await checkHistory(server, rules);
  assert.equal(report.violations.length, 1);
  assert.match(describeViolations(report), /^C4 at 0-\d+-\d+: unfenced write to app\.odd`name$/);
});

test("a bank's sum is followed through a real log", async () => {
  const accounts = bank(server, { tables: 2, accounts: 10 });
  await accounts.setup();
  await accounts.transfer(50, { connections: 2 });
  const rule = {
    isAccount: (table: string) => table.startsWith('bank.'),
    total: accounts.total,
    when: 'everyCommit' as const,
  };
  const unfenced = { isReplicated: () => false };
  const good = await checkHistory(server, { ...unfenced, bank: rule });
  assert.equal(describeViolations(good), '');
  await server.query('UPDATE bank.account_0 SET balance = balance - 1 WHERE id = 0');
  const report = await checkHistory(server, { ...unfenced, bank: rule });
  assert.match(describeViolations(report), /^C7 .*the bank holds 19999, not 20000/);
});

test('rows followed from a real log to itself show no violation, and a stray write does', async () => {
  const workload = mixed(server, { seed: 3 });
  await workload.setup();
  await workload.run(300);
  const copy = await startMariadb();
  try {
    const keyed = ['mixed.item_0', 'mixed.item_1', 'bank.account_0', 'bank.account_1'];
    const follow = { isFollowed: (table: string) => keyed.includes(table) };
    const report = await checkChains(server, server, follow);
    assert.deepEqual(report.violations, []);
    assert.ok(report.rows > 100, String(report.rows));
    assert.equal(report.upstreamSteps, report.downstreamSteps);
    await copy.script(`CREATE DATABASE bank; CREATE TABLE bank.account_0 (id INT PRIMARY KEY, owner VARCHAR(40), balance BIGINT NOT NULL, version INT NOT NULL);
      INSERT INTO bank.account_0 VALUES (0, 'owner 0', 1000, 0), (1, 'owner 1', 999999, 0)`);
    const broken = await checkChains(server, copy, {
      isFollowed: (table) => table === 'bank.account_0',
    });
    assert.ok(broken.violations.some((line) => /\(1\) took a state it never had/.test(line)));
    assert.ok(broken.violations.some((line) => /\(0\) never reached its last state/.test(line)));
  } finally {
    await copy.stop();
  }
});
