/**
 * The named interleavings of the fence (FENCE §1.5) on real servers: packets that outlive their sender, clients that lose a
 * connection the server still serves, takeovers at the worst moment. Each ends with counting: `v` says how often a
 * change was applied.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CuttingProxy } from './cutting-proxy.ts';
import {
  apply,
  changefeed,
  makes,
  openAndRaise,
  openHandMadeSink,
  want,
  wantFailure,
} from './hand-made-sink.ts';

import type { Connection } from 'mysql2/promise';
import type { MysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import type { KeptLog } from './hand-made-sink.ts';

const bump = 'UPDATE `d`.`t` SET v=v+1 WHERE id=1';

for (const { make, start, skip } of makes) {
  describe(`the fence on ${make}`, { skip }, () => {
    let server: SqlServer;
    let proxy: CuttingProxy;
    let kept: KeptLog;
    const sinks: MysqlSink[] = [];
    const connections: Connection[] = [];
    const open = (options: Parameters<typeof openHandMadeSink>[1] = {}): MysqlSink => {
      const sink = openHandMadeSink(server, { kept, ...options });
      sinks.push(sink);
      return sink;
    };
    const rival = async (): Promise<Connection> => {
      const connection = await server.connect();
      connections.push(connection);
      return connection;
    };
    const raise = (sink: MysqlSink, token: number) =>
      want('SpanRaised', sink.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token, ts: 0 }));

    before(async () => {
      server = await start();
    });
    after(async () => {
      await server.stop();
    });
    beforeEach(async () => {
      kept = { lines: [] };
      proxy = await CuttingProxy.start(server.port);
      await server.script(
        'DROP DATABASE IF EXISTS sluice_meta; DROP DATABASE IF EXISTS d; CREATE DATABASE d; CREATE TABLE d.t(id INT PRIMARY KEY, v INT); INSERT INTO d.t VALUES (1,0),(2,0)',
      );
    });
    afterEach(async () => {
      await Promise.all(sinks.splice(0).map((sink) => sink.close()));
      await Promise.all(connections.splice(0).map((connection) => connection.end()));
      await proxy.stop();
    });
    const count = async (id = 1): Promise<number> =>
      (await server.query<{ v: number }>('SELECT v FROM d.t WHERE id=?', [id]))[0]?.v ?? -1;
    const waitFor = async (what: string, test: () => Promise<boolean> | boolean): Promise<void> => {
      for (let i = 0; i < 1_000; i++) {
        if (await test()) return;
        await sleep(10);
      }
      assert.fail(`never: ${what}`);
    };
    const isWaitingForRow = async (): Promise<boolean> => {
      // InnoDB refreshes this view at most each 100 ms, and not while it is read more often.
      await sleep(150);
      const waiting = await server.query(
        "SELECT 1 FROM information_schema.INNODB_TRX WHERE trx_state='LOCK WAIT'",
      );
      return waiting.length > 0;
    };

    it('own-zombie-connection: a change whose connection was lost while it waited is applied once', async () => {
      const sink = open({ uri: proxy.uri() });
      await openAndRaise(sink);
      for (const zombieWins of [false, true]) {
        const blocker = await rival();
        await blocker.query('BEGIN');
        await blocker.query('SELECT * FROM d.t WHERE id=1 FOR UPDATE');
        const before = await count();
        const ts = zombieWins ? 2 : 1;
        const applying = sink.call(apply({ afterTs: ts - 1, untilTs: ts, lanes: [[bump]] }));
        await waitFor('the change waits', isWaitingForRow);
        if (zombieWins) proxy.hold('toServer');
        proxy.loseClients();
        await blocker.query('COMMIT');
        if (zombieWins) {
          await waitFor('the zombie commits', async () => (await count()) === before + 1);
          proxy.release('toServer');
        }
        await want('Applied', applying);
        assert.equal(await count(), before + 1);
      }
      const lanes = (await raise(sink, 6)).lanes;
      assert.equal(lanes[0]?.seq, 2);
    });

    it('pause-before-send: a packet held on its way until after the takeover is refused', async () => {
      const old = open({ uri: proxy.uri() });
      await openAndRaise(old, 5);
      await want('Applied', old.call(apply({ untilTs: 1, lanes: [[bump]] })));
      proxy.hold('toServer');
      const late = old.call(apply({ afterTs: 1, untilTs: 2, lanes: [[bump]] }));
      await waitFor('the packet is on its way', () => proxy.heldBytes('toServer') > 0);
      const next = open({ owner: 'node-b' });
      await want('Opened', next.call({ kind: 'Open', changefeed }));
      assert.equal((await raise(next, 6)).lanes[0]?.seq, 1);
      proxy.release('toServer');
      assert.equal(await wantFailure(late), 'SINK_FENCED');
      assert.equal(await count(), 1);
      await want(
        'Applied',
        next.call(apply({ token: 6, afterTs: 1, untilTs: 2, lanes: [[bump]] })),
      );
      assert.equal(await count(), 2);
    });

    it('pause-after-commit-before-ack: the successor starts behind a commit that its owner never heard of', async () => {
      const old = open({ uri: proxy.uri() });
      await openAndRaise(old, 5);
      await want('Applied', old.call(apply({ untilTs: 1, lanes: [[bump]] })));
      proxy.hold('toClient');
      const unheard = old.call(apply({ afterTs: 1, untilTs: 2, lanes: [[bump]] }));
      await waitFor('the commit happens', async () => (await count()) === 2);
      const next = open({ owner: 'node-b' });
      await want('Opened', next.call({ kind: 'Open', changefeed }));
      const [lane] = (await raise(next, 6)).lanes;
      assert.deepEqual({ seq: lane?.seq, ts: lane?.ts }, { seq: 2, ts: 2 });
      proxy.loseClients();
      proxy.release('toClient');
      assert.equal(await wantFailure(unheard), 'SINK_FENCED');
      assert.equal(await count(), 2);
    });

    it('pause-mid-txn: an owner that froze inside its transaction is killed, and the transaction is gone', async () => {
      const old = open();
      await openAndRaise(old, 5);
      await want('Applied', old.call(apply({ stage: 'begin', lanes: [[bump]] })));
      const next = open({ owner: 'node-b' });
      await want('Opened', next.call({ kind: 'Open', changefeed }));
      assert.equal((await raise(next, 6)).lanes[0]?.seq, 0);
      const end = old.call(apply({ stage: 'end', lanes: [[bump]] }));
      assert.match(await wantFailure(end), /SINK_DISCONNECTED|SINK_FENCED/);
      assert.equal(await count(), 0);
      await want('Applied', next.call(apply({ token: 6, lanes: [[bump]] })));
      assert.equal(await count(), 1);
    });

    it('packet-in-socket-of-dead-client: it commits before the takeover reads, or never', async () => {
      for (let round = 1; round <= 6; round++) {
        const old = open();
        await openAndRaise(old, round * 10);
        const next = open({ owner: 'node-b' });
        await want('Opened', next.call({ kind: 'Open', changefeed }));
        const before = await count();
        await server.kill('SIGSTOP');
        const cut = old.call(
          apply({
            token: round * 10,
            afterTs: round * 10,
            untilTs: round * 10 + 1,
            lanes: [[bump]],
          }),
        );
        await sleep(20);
        await old.close();
        await server.kill('SIGCONT');
        assert.equal(await wantFailure(cut), 'INTERNAL_STOPPED');
        const [lane] = (await raise(next, round * 10 + 1)).lanes;
        const counted = await count();
        assert.equal(lane?.ts === round * 10 + 1 ? before + 1 : before, counted);
        await sleep(50);
        assert.equal(await count(), counted);
        await next.close();
      }
    });

    it('raise-races-commit: what a takeover reads is what was committed', async () => {
      let token = 1;
      let sink = open();
      await openAndRaise(sink, token);
      let [lane] = (await raise(sink, ++token)).lanes;
      for (let round = 0; round < 40; round++) {
        const start = lane?.ts ?? 0;
        const next = open({ owner: `node-${round}` });
        await want('Opened', next.call({ kind: 'Open', changefeed }));
        const racing = sink.call(
          apply({ token, afterTs: start, untilTs: start + 1, lanes: [[bump]] }),
        );
        if (round % 3 !== 0) await sleep(round % 5);
        [lane] = (await raise(next, ++token)).lanes;
        assert.equal(await count(), lane?.seq);
        assert.equal(lane?.ts, lane?.seq);
        const outcome = await racing;
        assert.ok(outcome.ok ? lane?.ts === start + 1 : outcome.failure.code === 'SINK_FENCED');
        await sink.close();
        sink = next;
      }
    });

    it('two-takeovers-in-a-row: only the newest of three owners writes', async () => {
      const owners = [open({ owner: 'a' }), open({ owner: 'b' }), open({ owner: 'c' })] as const;
      for (const [at, owner] of owners.entries()) await openAndRaise(owner, at + 1);
      const outcomes = await Promise.all(
        owners.map((owner, at) => owner.call(apply({ token: at + 1, lanes: [[bump]] }))),
      );
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.ok ? 'ok' : outcome.failure.code)),
        ['SINK_FENCED', 'SINK_FENCED', 'ok'],
      );
      assert.equal(await count(), 1);
      assert.equal(
        await wantFailure(
          owners[0].call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token: 2, ts: 0 }),
        ),
        'SINK_FENCED',
      );
    });

    it('deadlock-victim: the whole transaction is sent again, nothing of it runs outside the fence', async () => {
      const sink = open();
      await openAndRaise(sink);
      const blocker = await rival();
      await blocker.query('BEGIN');
      // A heavier transaction is spared: the sink's becomes the victim.
      const others = Array.from({ length: 300 }, (_, at) => `(${at + 100},0)`);
      await blocker.query(`INSERT INTO d.t VALUES ${others.join(',')}`);
      await blocker.query('UPDATE d.t SET v=v+100 WHERE id=2');
      const both = [
        bump,
        'UPDATE `d`.`t` SET v=v+1 WHERE id=2',
        'INSERT INTO `d`.`t` VALUES (3,1)',
      ];
      const applying = sink.call(apply({ lanes: [both] }));
      await waitFor('the sink waits', isWaitingForRow);
      await blocker.query('UPDATE d.t SET v=v+100 WHERE id=1');
      await blocker.query('COMMIT');
      await want('Applied', applying);
      assert.ok(kept.lines.some(({ event }) => event === 'sink-step-again'));
      assert.deepEqual([await count(1), await count(2), await count(3)], [101, 101, 1]);
    });

    it('lock-timeout-then-commit: half a transaction never lands', async () => {
      const sink = open();
      await openAndRaise(sink);
      const blocker = await rival();
      await blocker.query('BEGIN');
      await blocker.query('SELECT * FROM d.t WHERE id=2 FOR UPDATE');
      const applying = sink.call(apply({ lanes: [[bump, 'UPDATE `d`.`t` SET v=v+1 WHERE id=2']] }));
      await waitFor('a first try is given up', () =>
        kept.lines.some(({ event }) => event === 'sink-step-again'),
      );
      assert.deepEqual([await count(1), await count(2)], [0, 0]);
      await blocker.query('COMMIT');
      await want('Applied', applying);
      assert.deepEqual([await count(1), await count(2)], [1, 1]);
    });

    it('fence-while-waiting: what waits for a row is ended on the server, and never commits', async () => {
      const sink = open();
      await openAndRaise(sink);
      const blocker = await rival();
      await blocker.query('BEGIN');
      await blocker.query('SELECT * FROM d.t WHERE id=2 FOR UPDATE');
      const applying = sink.call(apply({ lanes: [[bump, 'UPDATE `d`.`t` SET v=v+1 WHERE id=2']] }));
      await waitFor('the sink waits', isWaitingForRow);
      await sink.close();
      assert.equal(await wantFailure(applying), 'INTERNAL_STOPPED');
      await blocker.query('COMMIT');
      await waitFor('no transaction is left', async () => {
        await sleep(150);
        return (await server.query('SELECT 1 FROM information_schema.INNODB_TRX')).length === 0;
      });
      assert.deepEqual([await count(1), await count(2)], [0, 0]);
    });

    it('downstream-failover-loses-raise: a regressed slot is reported, raised again and applied again', async () => {
      const sink = open();
      await openAndRaise(sink, 5);
      const saved = await server.query<{ pos: Buffer }>(
        "SELECT pos FROM sluice_meta.slot WHERE span='d.t' AND lane=0",
      );
      await want('Applied', sink.call(apply({ untilTs: 1, lanes: [[bump]] })));
      await server.query(
        'UPDATE sluice_meta.slot SET token=4,guard=4,seq=0,pos=? WHERE lane=0 AND span=?',
        [saved[0]?.pos, 'd.t'],
      );
      await server.query('UPDATE d.t SET v=0');
      const next = sink.call(apply({ afterTs: 1, untilTs: 2, lanes: [[bump]] }));
      const outcome = await next;
      assert.ok(!outcome.ok && outcome.failure.code === 'SINK_REGRESSED');
      assert.equal(outcome.failure.retry, 'Resync');
      const [lane] = (await raise(sink, 6)).lanes;
      assert.equal(lane?.ts, 0);
      await want('Applied', sink.call(apply({ token: 6, untilTs: 2, lanes: [[bump, bump]] })));
      assert.equal(await count(), 2);
    });

    it('changefeed-removed-while-paused: a late change meets the tombstone', async () => {
      const sink = open();
      await openAndRaise(sink, 5);
      await server.query(
        'UPDATE sluice_meta.slot SET token=18446744073709551615,guard=18446744073709551615 WHERE cf=?',
        [changefeed],
      );
      assert.equal(await wantFailure(sink.call(apply({ lanes: [[bump]] }))), 'SINK_FENCED');
      const again = sink.call({
        kind: 'RaiseSpan',
        changefeed,
        span: 'd.t',
        token: Number.MAX_SAFE_INTEGER,
        ts: 0,
      });
      assert.equal(await wantFailure(again), 'SINK_FENCED');
      assert.equal(await count(), 0);
    });

    it('nothing is submitted once the gate is shut', async () => {
      let mayWrite = true;
      const sink = open({ gate: { mayWrite: () => mayWrite } });
      await openAndRaise(sink, 5);
      mayWrite = false;
      assert.equal(await wantFailure(sink.call(apply({ lanes: [[bump]] }))), 'SINK_FENCED');
      assert.equal(
        await wantFailure(
          sink.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token: 6, ts: 0 }),
        ),
        'SINK_FENCED',
      );
      assert.equal(await count(), 0);
    });

    it('a raise of the feed whose answer was lost is recognised as its own', async () => {
      let armed = false;
      const gate = {
        mayWrite: () => {
          if (armed) proxy.hold('toClient');
          armed = false;
          return true;
        },
      };
      const sink = open({ uri: proxy.uri(), gate });
      await want('Opened', sink.call({ kind: 'Open', changefeed }));
      armed = true;
      const raising = sink.call({ kind: 'RaiseFeed', changefeed, token: 3 });
      await waitFor('the raise commits', async () => {
        const rows = await server.query('SELECT 1 FROM sluice_meta.slot WHERE cf=? AND token=3', [
          changefeed,
        ]);
        return rows.length > 0;
      });
      proxy.loseClients();
      proxy.release('toClient');
      await want('FeedRaised', raising);
      const repeated = await sink.call({ kind: 'RaiseFeed', changefeed, token: 3 });
      assert.ok(!repeated.ok && repeated.failure.code === 'SINK_FENCED');
      assert.equal(repeated.failure.detail?.['token'], 3);
    });

    it('etcd-restored-from-backup: a raise with too low a token names the one to go above', async () => {
      const sink = open();
      await want('Opened', sink.call({ kind: 'Open', changefeed }));
      await want('FeedRaised', sink.call({ kind: 'RaiseFeed', changefeed, token: 7_000_000 }));
      const regressed = open({ owner: 'node-b' });
      await want('Opened', regressed.call({ kind: 'Open', changefeed }));
      const refused = await regressed.call({ kind: 'RaiseFeed', changefeed, token: 12 });
      assert.ok(!refused.ok && refused.failure.detail?.['token'] === 7_000_000);
      await want('FeedRaised', regressed.call({ kind: 'RaiseFeed', changefeed, token: 7_000_001 }));
    });

    it('reconnect-during-kill-scan: an owner that connects anew while it is being evicted stays refused', async () => {
      const old = open();
      await openAndRaise(old, 5);
      await want('Applied', old.call(apply({ stage: 'begin', lanes: [[bump]] })));
      const next = open({ owner: 'node-b' });
      await want('Opened', next.call({ kind: 'Open', changefeed }));
      const evicting = { done: false };
      const trying = (async (): Promise<number> => {
        let codes = 0;
        while (!evicting.done) {
          const outcome = await old.call(apply({ stage: 'begin', lanes: [[bump]] }));
          if (!outcome.ok) codes++;
          await sleep(1);
        }
        return codes;
      })();
      const [lane] = (await raise(next, 6)).lanes;
      await sleep(100);
      evicting.done = true;
      await trying;
      assert.equal(lane?.seq, 0);
      assert.equal(await wantFailure(old.call(apply({ lanes: [[bump]] }))), 'SINK_FENCED');
      await want('Applied', next.call(apply({ token: 6, lanes: [[bump]] })));
      assert.equal(await count(), 1);
    });

    it('a maintainer whose epoch ended cannot raise spans its successor has not seen yet', async () => {
      const epoch = 2 ** 20;
      const sink = open();
      await want('Opened', sink.call({ kind: 'Open', changefeed }));
      await want('FeedRaised', sink.call({ kind: 'RaiseFeed', changefeed, token: 2 * epoch }));
      const stale = sink.call({
        kind: 'RaiseSpan',
        changefeed,
        span: 'd.new',
        token: epoch + 9,
        ts: 0,
      });
      assert.equal(await wantFailure(stale), 'SINK_FENCED');
    });
  });
}
