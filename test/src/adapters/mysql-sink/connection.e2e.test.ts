/** One connection to a real server, driver and socket: what ends it, and what does not. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SinkConnection, rowsOf } from '#src/adapters/mysql-sink/connection.ts';
import { machine } from '#src/adapters/mysql-sink/machine.ts';
import { readEndpoint } from '#src/adapters/mysql-sink/endpoint.ts';
import { killHolders, SinkSession } from '#src/adapters/mysql-sink/session.ts';
import { SessionPool } from '#src/adapters/mysql-sink/sessions.ts';
import { Fault, FailureError } from '#src/base/failure.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';

import type { MariadbServer } from '#test/servers/mariadb.ts';

const sql = (text: string): Uint8Array[] => [Buffer.from(text)];
const limits = { timeoutMs: 10_000 };
const isFailure = (code: string) => (error: unknown) =>
  error instanceof FailureError && error.failure.code === code;

describe('a sink connection', () => {
  let server: MariadbServer;
  const connections: { destroy: () => void }[] = [];
  const connect = async (): Promise<SinkConnection> => {
    const connection = await SinkConnection.connect(readEndpoint(server.uri()).connect, machine);
    connections.push(connection);
    return connection;
  };
  const session = async (...names: string[]): Promise<SinkSession> => {
    const opened = await SinkSession.open('control', connect, names);
    connections.push(opened);
    return opened;
  };

  before(async () => {
    server = await startMariadb();
  });
  after(async () => {
    for (const connection of connections) connection.destroy();
    await server.stop();
  });

  it('answers several statements of one command in order, whole numbers as numbers while they are exact', async () => {
    const connection = await connect();
    const answer = await connection.query(
      sql(
        "SELECT 1 AS a, 'é' AS b, NULL AS c;SET @x=1;SELECT 9007199254740993 AS big, 1.50 AS d WHERE 1;SELECT 1 WHERE 0",
      ),
      limits,
    );
    assert.equal(answer.error, null);
    assert.equal(answer.statementCount, 4);
    assert.deepEqual({ ...rowsOf(answer, 0)[0] }, { a: 1, b: 'é', c: null });
    assert.deepEqual({ ...rowsOf(answer, 2)[0] }, { big: '9007199254740993', d: '1.50' });
    assert.deepEqual(rowsOf(answer, 3), []);
  });

  it('stops at the first error, says which statement it was, and stays usable', async () => {
    const connection = await connect();
    const answer = await connection.query(
      sql('BEGIN;SELECT 1;SELECT * FROM no.where;SELECT 2'),
      limits,
    );
    assert.deepEqual([answer.statementCount, answer.error?.statementIndex], [2, 2]);
    assert.equal(answer.error?.errno, 1146);
    const after = await connection.query(sql('SELECT @@in_transaction AS t'), limits);
    assert.equal(rowsOf(after, 0)[0]?.['t'], 1);
    assert.equal(connection.inTransaction, true);
  });

  it('takes one command at a time', async () => {
    const connection = await connect();
    const first = connection.query(sql('SELECT SLEEP(0.1)'), limits);
    assert.throws(() => void connection.query(sql('SELECT 1'), limits), Fault);
    await first;
  });

  it('is given up when no answer comes in time', async () => {
    const connection = await connect();
    await assert.rejects(
      connection.query(sql('SELECT SLEEP(5)'), { timeoutMs: 100 }),
      isFailure('SINK_DISCONNECTED'),
    );
    assert.equal(connection.isOpen, false);
    await assert.rejects(connection.query(sql('SELECT 1'), limits), isFailure('SINK_DISCONNECTED'));
  });

  it('notices that the server ended it, idle or busy', async () => {
    const idle = await connect();
    const busy = await connect();
    // The server may answer with an error before it closes: both are an end without an answer of the statement.
    const ending = busy.query(sql('SELECT SLEEP(5)'), limits).then(
      (answer) => answer.error !== null,
      (error: unknown) => isFailure('SINK_DISCONNECTED')(error),
    );
    await server.query(`KILL CONNECTION ${idle.id}`);
    await server.query(`KILL CONNECTION ${busy.id}`);
    assert.ok(await ending);
    for (let i = 0; i < 200 && (idle.isOpen || busy.isOpen); i++) await sleep(10);
    assert.deepEqual([idle.isOpen, busy.isOpen], [false, false]);
  });

  it('sends nothing when its gate is shut', async () => {
    const connection = await connect();
    const gate = { mayWrite: () => false };
    await assert.rejects(
      connection.query(sql('CREATE DATABASE gated'), { ...limits, gate }),
      isFailure('SINK_FENCED'),
    );
    assert.deepEqual(await server.query("SHOW DATABASES LIKE 'gated'"), []);
    await connection.query(sql('SELECT 1'), limits);
  });

  it('can be told to take one statement per command only', async () => {
    const connection = await connect();
    await connection.allowSeveralStatements(false, 1_000);
    const refused = await connection.query(sql('SELECT 1;SELECT 2'), limits);
    assert.equal(refused.error?.errno, 1064);
    await connection.allowSeveralStatements(true, 1_000);
    assert.equal((await connection.query(sql('SELECT 1;SELECT 2'), limits)).statementCount, 2);
  });

  it('holds the first free name for life, and is found and killed by it', async () => {
    const first = await session('one', 'two');
    const second = await session('one', 'two');
    assert.deepEqual([first.lockName, second.lockName], ['one', 'two']);
    await assert.rejects(session('one', 'two'), isFailure('SINK_BUSY'));
    const killer = await session('three');
    assert.equal(await killHolders(killer, ['one'], () => false), 0);
    assert.equal(await killHolders(killer, ['one', 'three', 'four']), 1);
    for (let i = 0; i < 200 && first.connection.isOpen; i++) await sleep(10);
    assert.deepEqual([first.connection.isOpen, second.connection.isOpen], [false, true]);
  });

  it('is lent by a pool to one caller at a time, and replaced when it is dead', async () => {
    let opened = 0;
    const pool = new SessionPool(() => session(`pool-${++opened}`), 2, machine.now);
    const [a, b] = [await pool.borrow(), await pool.borrow()];
    const waiting = pool.borrow();
    pool.giveBack(a);
    assert.equal(await waiting, a);
    b.destroy();
    pool.giveBack(b);
    assert.notEqual(await pool.borrow(), b);
    assert.equal(opened, 3);
    pool.giveBack(a);
    await assert.rejects(
      pool.with(() => Promise.reject(new Error('work failed'))),
      /work failed/,
    );
    assert.equal(a.connection.isOpen, false);
    pool.close();
    await assert.rejects(pool.borrow(), isFailure('INTERNAL_STOPPED'));
  });

  it('frees its place in the pool when it cannot be opened', async () => {
    let tries = 0;
    const pool = new SessionPool(
      () => {
        if (++tries < 3) return Promise.reject(new Error('no server'));
        return session(`late-${tries}`);
      },
      1,
      machine.now,
    );
    const outcomes = await Promise.allSettled([pool.borrow(), pool.borrow(), pool.borrow()]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['rejected', 'rejected', 'fulfilled'],
    );
    pool.close();
  });
});

describe('a sink connection over TLS', { skip: await mysqlMissing() }, () => {
  it('is encrypted when asked for, and refused when the certificate cannot be verified', async () => {
    const server = await startMysql();
    try {
      const { connect: options } = readEndpoint(server.uri({ 'ssl-mode': 'required' }));
      const connection = await SinkConnection.connect(options, machine);
      const answer = await connection.query(
        sql(`SELECT REPEAT('x',100000) AS big;SHOW STATUS LIKE 'Ssl_cipher'`),
        limits,
      );
      assert.equal(String(rowsOf(answer, 0)[0]?.['big']).length, 100_000);
      assert.notEqual(rowsOf(answer, 1)[0]?.['Value'], '');
      connection.destroy();
      const verified = readEndpoint(server.uri({ 'ssl-mode': 'verify-ca' }));
      await assert.rejects(
        SinkConnection.connect(verified.connect, machine),
        isFailure('SINK_UNREACHABLE'),
      );
    } finally {
      await server.stop();
    }
  });
});
