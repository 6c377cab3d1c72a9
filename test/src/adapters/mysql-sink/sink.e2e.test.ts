/** The fenced sink on a real MariaDB with hand-made statements: raise, guard, stages, checkpoint. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { startMariadb } from '#test/servers/mariadb.ts';
import {
  apply,
  changefeed,
  openAndRaise,
  openHandMadeSink,
  want,
  wantFailure,
} from './hand-made-sink.ts';

import type { MysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

describe('the fenced sink', () => {
  let server: MariadbServer;
  const sinks: MysqlSink[] = [];
  const open = (options: Parameters<typeof openHandMadeSink>[1] = {}): MysqlSink => {
    const sink = openHandMadeSink(server, options);
    sinks.push(sink);
    return sink;
  };

  before(async () => {
    server = await startMariadb();
  });
  after(async () => {
    await Promise.all(sinks.map((sink) => sink.close()));
    await server.stop();
  });
  beforeEach(async () => {
    await Promise.all(sinks.splice(0).map((sink) => sink.close()));
    await server.script(
      'DROP DATABASE IF EXISTS sluice_meta; DROP DATABASE IF EXISTS d; CREATE DATABASE d; CREATE TABLE d.t(id INT PRIMARY KEY, v INT)',
    );
  });
  const rows = async (): Promise<string> =>
    (await server.query<{ id: number; v: number }>('SELECT id,v FROM d.t ORDER BY id'))
      .map(({ id, v }) => `${id}=${v}`)
      .join(' ');

  it('commits changes and position in one transaction', async () => {
    const sink = open();
    await openAndRaise(sink);
    const applied = await want(
      'Applied',
      sink.call(apply({ untilTs: 7, lanes: [['INSERT INTO `d`.`t` VALUES (1,1),(2,2)']] })),
    );
    assert.equal(applied.ts, 7);
    assert.equal(await rows(), '1=1 2=2');
    const raised = await want(
      'SpanRaised',
      sink.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token: 6, ts: 0 }),
    );
    assert.deepEqual(
      raised.lanes.map(({ lane, seq, ts, base, lanes }) => ({ lane, seq, ts, base, lanes })),
      [
        { lane: 0, seq: 1, ts: 7, base: 0, lanes: 1 },
        { lane: 1, seq: 0, ts: 0, base: 0, lanes: 1 },
      ],
    );
  });

  it('refuses the writer of an older token, and nothing of its batch lands', async () => {
    const old = open({ owner: 'node-a' });
    await openAndRaise(old, 5);
    const next = open({ owner: 'node-b' });
    await openAndRaise(next, 6);
    const stale = old.call(apply({ lanes: [['INSERT INTO `d`.`t` VALUES (1,1)']] }));
    assert.equal(await wantFailure(stale), 'SINK_FENCED');
    await want(
      'Applied',
      next.call(apply({ token: 6, lanes: [['INSERT INTO `d`.`t` VALUES (2,2)']] })),
    );
    assert.equal(await rows(), '2=2');
    assert.equal(
      await wantFailure(old.call({ kind: 'RaiseSpan', changefeed, span: 'd.t', token: 5, ts: 0 })),
      'SINK_FENCED',
    );
  });

  it('raises the feed, stores checkpoints that never go back, and gives them to the next owner', async () => {
    const sink = open();
    await want('Opened', sink.call({ kind: 'Open', changefeed }));
    const first = await want('FeedRaised', sink.call({ kind: 'RaiseFeed', changefeed, token: 3 }));
    assert.equal(first.checkpoint, null);
    const checkpoint = (ts: number) =>
      ({ version: 1, position: { ts, gtid: `0-1-${ts}` }, timeline: [] }) as const;
    const save = (ts: number, token = 3) =>
      sink.call({ kind: 'SaveCheckpoint', changefeed, token, checkpoint: checkpoint(ts) });
    await want('CheckpointSaved', save(10));
    await want('CheckpointSaved', save(10));
    await want('CheckpointSaved', save(11));
    assert.equal(await wantFailure(save(9)), 'SINK_REFUSED');
    assert.equal(
      await wantFailure(sink.call({ kind: 'RaiseFeed', changefeed, token: 3 })),
      'SINK_FENCED',
    );
    const next = open({ owner: 'node-b' });
    await want('Opened', next.call({ kind: 'Open', changefeed }));
    const second = await want('FeedRaised', next.call({ kind: 'RaiseFeed', changefeed, token: 4 }));
    assert.deepEqual(second.checkpoint, checkpoint(11));
    assert.equal(await wantFailure(save(12)), 'SINK_FENCED');
  });
});
