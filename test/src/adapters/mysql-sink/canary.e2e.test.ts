/** Opening a sink on servers that enforce the fence, and on servers made not to. */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { freePort } from '#test/servers/free-port.ts';
import { mariadbExtrasMissing, obtainMariadbExtras } from '#test/servers/mariadb-extras.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { changefeed, openHandMadeSink, want, wantFailure } from './hand-made-sink.ts';

import type { MysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

describe('opening a sink', async () => {
  let server: MariadbServer;
  const sinks: MysqlSink[] = [];
  const open = (options: Parameters<typeof openHandMadeSink>[1] = {}) => {
    const sink = openHandMadeSink(server, options);
    sinks.push(sink);
    return sink.call({ kind: 'Open', changefeed });
  };

  before(async () => {
    server = await startMariadb();
  });
  after(async () => {
    await server.stop();
  });
  beforeEach(async () => {
    await server.script('DROP DATABASE IF EXISTS sluice_meta; DROP DATABASE IF EXISTS elsewhere');
  });
  afterEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
  });

  it('makes the bookkeeping tables, says who the server is, and passes the canary each time', async () => {
    const first = await want('Opened', open());
    assert.match(first.version, /^10\.11/);
    assert.equal((await want('Opened', open())).serverId, first.serverId);
    const rows = await server.query("SELECT seq FROM sluice_meta.slot WHERE cf='' AND slot=0");
    assert.equal(Number(rows[0]?.['seq']), 2);
  });

  it('lets canaries of several instances take turns', async () => {
    const outcomes = await Promise.all(Array.from({ length: 6 }, () => open()));
    assert.deepEqual(
      outcomes.map((outcome) => outcome.ok),
      [true, true, true, true, true, true],
    );
  });

  it(
    'refuses a node of a Galera cluster unless told that only one is written to',
    {
      skip: await mariadbExtrasMissing(),
    },
    async () => {
      const extras = await obtainMariadbExtras();
      assert.ok('galera' in extras);
      const address = `127.0.0.1:${await freePort()}`;
      const node = await startMariadb({
        config: {
          wsrep_on: 'ON',
          wsrep_provider: extras.galera,
          wsrep_cluster_address: 'gcomm://',
          wsrep_node_address: address,
          wsrep_provider_options: `'gmcast.listen_addr=tcp://${address}'`,
          innodb_autoinc_lock_mode: '2',
        },
      });
      try {
        const failure = await wantFailure(open({ uri: node.uri() }));
        assert.equal(failure, 'SINK_UNSUPPORTED');
        assert.deepEqual(await node.query("SHOW DATABASES LIKE 'sluice_meta'"), []);
        await want('Opened', open({ uri: node.uri({ 'allow-galera': 'true' }) }));
      } finally {
        await node.stop();
      }
    },
  );

  it('keeps its bookkeeping where the URI says', async () => {
    await want('Opened', open({ uri: server.uri({ 'meta-database': 'elsewhere' }) }));
    assert.equal((await server.query('SELECT 1 FROM elsewhere.slot')).length, 1);
    assert.deepEqual(await server.query("SHOW DATABASES LIKE 'sluice_meta'"), []);
  });

  it('refuses a slot table without transactions', async () => {
    await want('Opened', open());
    await server.query('ALTER TABLE sluice_meta.slot ENGINE=MyISAM');
    assert.equal(await wantFailure(open()), 'SINK_CANARY');
  });

  it('refuses a slot table that loses what the guard writes', async () => {
    await want('Opened', open());
    // Something between us and the table that quietly changes a write: the counter does not move.
    await server.query(
      'CREATE TRIGGER sluice_meta.undo BEFORE UPDATE ON sluice_meta.slot FOR EACH ROW SET NEW.seq=OLD.seq',
    );
    const outcome = await open();
    assert.ok(!outcome.ok && outcome.failure.code === 'SINK_CANARY');
    assert.match(outcome.failure.message, /right token/);
  });

  it('refuses a read-only server, to be tried again', async () => {
    await want('Opened', open());
    await server.query('SET GLOBAL read_only=1');
    const outcome = await open();
    await server.query('SET GLOBAL read_only=0');
    assert.ok(!outcome.ok && outcome.failure.code === 'SINK_READ_ONLY');
    assert.equal(outcome.failure.retry, 'Again');
  });

  it('does with the least grants once the tables exist, and names a missing one by its error number', async () => {
    await want('Opened', open());
    await server.script(
      "CREATE OR REPLACE USER least@'127.0.0.1'; GRANT SELECT,INSERT,UPDATE ON sluice_meta.* TO least@'127.0.0.1'",
    );
    const uri = `mysql://least@127.0.0.1:${server.port}/`;
    await want('Opened', open({ uri }));
    await server.query("REVOKE UPDATE ON sluice_meta.* FROM least@'127.0.0.1'");
    const outcome = await open({ uri });
    assert.ok(!outcome.ok && outcome.failure.code === 'SINK_ACCESS_DENIED');
    assert.equal(outcome.failure.detail?.['errno'], 1142);
  });

  it('tells a wrong password from a server that is not there, and shows neither', async () => {
    const denied = await open({ uri: `mysql://nobody:s3cr3t-canary@127.0.0.1:${server.port}/` });
    assert.ok(!denied.ok && denied.failure.code === 'SINK_ACCESS_DENIED');
    assert.doesNotMatch(JSON.stringify(denied), /s3cr3t-canary/);
    assert.equal(await wantFailure(open({ uri: 'mysql://root@127.0.0.1:1/' })), 'SINK_UNREACHABLE');
  });

  it('writes nothing before the canary passed', async () => {
    const sink = openHandMadeSink(server);
    sinks.push(sink);
    const raise = sink.call({ kind: 'RaiseFeed', changefeed, token: 1 });
    assert.equal(await wantFailure(raise), 'SINK_REFUSED');
  });

  it('connects through a Unix socket', async () => {
    await want('Opened', open({ uri: server.uri({ socket: server.socket }) }));
  });
});
