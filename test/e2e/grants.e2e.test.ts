/** What accounts need: the README's lists, tried on servers that check them, and each grant that is missing named. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import { ServerPair } from './server-pair.ts';
import { sluice, type CommandEnd } from './sluice-command.ts';

const tableGrants = [
  'SELECT',
  'INSERT',
  'UPDATE',
  'DELETE',
  'CREATE',
  'DROP',
  'ALTER',
  'INDEX',
  'REFERENCES',
];

let pair: ServerPair;

before(async () => {
  pair = await ServerPair.start(startMariadb);
  await pair.upstream.script(
    'CREATE DATABASE shop; CREATE TABLE shop.customer (id INT PRIMARY KEY, name VARCHAR(20));' +
      'CREATE TABLE shop.orders (id INT PRIMARY KEY, customer INT, FOREIGN KEY (customer) REFERENCES shop.customer (id) ON DELETE CASCADE);' +
      "INSERT INTO shop.customer VALUES (1,'a'),(2,'b'); INSERT INTO shop.orders VALUES (1,1),(2,2); DELETE FROM shop.customer WHERE id=2;" +
      'ALTER TABLE shop.orders ADD note INT, ADD INDEX (note); UPDATE shop.orders SET note=3; TRUNCATE TABLE shop.orders;' +
      'RENAME TABLE shop.orders TO shop.sold; INSERT INTO shop.sold VALUES (9,1,1); CREATE TABLE shop.gone (id INT); DROP TABLE shop.gone',
  );
});
after(() => pair.stop());

/** Copies everything with a downstream account that has `grants` on the copied tables, and all on the bookkeeping. */
async function copyWith(user: string, grants: readonly string[]): Promise<CommandEnd> {
  const { upstream, downstream } = pair;
  await downstream.script(
    `CREATE USER '${user}'@'127.0.0.1' IDENTIFIED BY 'x'; GRANT ALL ON sluice_meta.* TO '${user}'@'127.0.0.1';` +
      `GRANT ${grants.join()} ON shop.* TO '${user}'@'127.0.0.1'`,
  );
  const uri = downstream.uri().replace('root@', `${user}:x@`);
  const ends = ['--upstream', upstream.uri(), '--sink-uri', uri];
  const how = ['-i', user, '--start', 'oldest', '--until-caught-up', '--json'];
  return sluice(['replicate', ...ends, ...how]);
}

test('a downstream account with the grants of the README copies rows and runs DDL', async () => {
  const end = await copyWith('enough', tableGrants);
  assert.equal(end.status, 0, `${JSON.stringify(end.result)}\n${end.errors}`);
  await pair.assertEqual(['shop']);
});

test('each grant that is missing downstream ends the copy, and the message names it', async () => {
  const needed: readonly (readonly [grant: string, code: string, words: RegExp])[] = [
    ['SELECT', 'SINK_ACCESS_DENIED', /could not DELETE `shop`.*SELECT command denied/],
    ['INSERT', 'SINK_ACCESS_DENIED', /could not INSERT `shop`.*INSERT command denied/],
    ['UPDATE', 'SINK_ACCESS_DENIED', /could not UPDATE `shop`.*UPDATE command denied/],
    ['DELETE', 'SINK_ACCESS_DENIED', /could not DELETE `shop`.*DELETE command denied/],
    ['CREATE', 'SINK_REFUSED', /could not run the DDL at .*Access denied for user .* to database/],
    ['DROP', 'SINK_REFUSED', /could not run the DDL at .*DROP command denied/],
    ['ALTER', 'SINK_REFUSED', /could not run the DDL at .*ALTER command denied/],
  ];
  for (const [grant, code, words] of needed) {
    await pair.downstream.script('DROP DATABASE IF EXISTS shop');
    const others = tableGrants.filter((one) => one !== grant);
    const end = await copyWith(`no-${grant.toLowerCase()}`, others);
    assert.equal(end.status, 1, grant);
    const error = end.result['error'] as { readonly code: string; readonly message: string };
    assert.equal(error.code, code, error.message);
    assert.match(error.message, words);
  }
});
