/**
 * Real blocks of real row events through planning and the fence: a generated bank is created by DDL, applied in batches of
 * changing size with owners taking over in between, and must equal its model.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openMysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { workloadModel } from '#src/adapters/workload/workload-history.ts';
import { openWorkloadUpstream } from '#src/adapters/workload/workload-upstream.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import { checkHistory, describeViolations } from '#test/history/check-history.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { want } from './hand-made-sink.ts';

import type { DdlEvent } from '#src/model/position.ts';
import type { SinkPort } from '#src/ports/sink.ts';
import type { UpstreamChunk } from '#src/ports/upstream.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

const changefeed = 'bank';
const uri = 'workload://bank?seed=7&accounts=200&transactions=3000';

/** Blocks of each span, and the DDL before them. */
async function readWorkload(): Promise<{
  ddls: DdlEvent[];
  spans: Map<string, { bytes: Uint8Array; firstTs: number; lastTs: number }[]>;
  endTs: number;
}> {
  const upstream = openWorkloadUpstream({ uri, log: () => {} });
  const checked = await upstream.call({ kind: 'Check', startAt: { kind: 'oldest' } });
  assert.ok(checked.ok && checked.value.kind === 'Checked');
  const { start: position, newest, timeline } = checked.value;
  const routing = { rules: ['*.*'], groups: {} };
  assert.ok((await upstream.call({ kind: 'Open', position, timeline, routing })).ok);
  const ddls: DdlEvent[] = [];
  const spans = new Map<string, { bytes: Uint8Array; firstTs: number; lastTs: number }[]>();
  for (let resolved = 0; resolved < newest.ts;) {
    const next = await upstream.call({ kind: 'Next', byteCountMax: 2048 });
    assert.ok(next.ok && next.value.kind === 'Chunk');
    const chunk: UpstreamChunk = next.value;
    resolved = chunk.resolved.ts;
    if (chunk.ddl !== undefined) ddls.push(chunk.ddl);
    for (const { info, bytes } of chunk.blocks) {
      const blocks = spans.get(info.span) ?? [];
      blocks.push({ bytes, firstTs: info.firstTs, lastTs: info.lastTs });
      spans.set(info.span, blocks);
    }
  }
  await upstream.close();
  return { ddls, spans, endTs: newest.ts };
}

describe('blocks through planning and the fence', () => {
  let server: MariadbServer;
  const sinks: SinkPort[] = [];

  before(async () => {
    server = await startMariadb();
  });
  after(async () => {
    await Promise.all(sinks.map((sink) => sink.close()));
    await server.stop();
  });

  it('a bank equals its model, over takeovers, and every transaction of it was fenced', async () => {
    const { ddls, spans, endTs } = await readWorkload();
    let token = 0;
    const open = async (): Promise<SinkPort> => {
      const sink = openMysqlSink({
        uri: server.uri(),
        log: () => {},
        laneCount: 3,
        connectionCount: 3,
        owner: `node-${token}`,
      });
      sinks.push(sink);
      await want('Opened', sink.call({ kind: 'Open', changefeed }));
      return sink;
    };
    let sink = await open();
    await want('FeedRaised', sink.call({ kind: 'RaiseFeed', changefeed, token: ++token }));
    for (const ddl of ddls) {
      await want('DdlDone', sink.call({ kind: 'RunDdl', changefeed, token, ddl }));
    }
    assert.ok(ddls.length > 0 && spans.size > 1);
    let batchBlocks = 1;
    for (const [span, blocks] of spans) {
      for (let at = 0; at < blocks.length;) {
        if (batchBlocks % 3 === 1) sink = await open();
        const raised = await want(
          'SpanRaised',
          sink.call({ kind: 'RaiseSpan', changefeed, span, token: ++token, ts: 0 }),
        );
        const { startTs } = resumeOf(raised.lanes, 0);
        const batch = blocks.slice(at, at + batchBlocks);
        const untilTs = batch.at(-1)?.lastTs ?? 0;
        const applied = await want(
          'Applied',
          sink.call({
            kind: 'Apply',
            changefeed,
            span,
            token,
            afterTs: startTs,
            untilTs,
            stage: 'whole',
            idempotent: false,
            schemaVersion: 1,
            blocks: batch.map(({ bytes }) => bytes),
          }),
        );
        assert.equal(applied.ts, untilTs);
        at += batch.length;
        batchBlocks = (batchBlocks % 5) + 1;
      }
    }
    for (const model of workloadModel(uri, endTs)) {
      const sums = Object.keys(model.sums).map((column) => `SUM(\`${column}\`) AS \`${column}\``);
      const [row] = await server.query(
        `SELECT COUNT(*) AS sluice_rows,${sums.join(',')} FROM \`${model.schema}\`.\`${model.table}\``,
      );
      assert.equal(Number(row?.['sluice_rows']), model.rowCount, model.table);
      for (const [column, sum] of Object.entries(model.sums)) {
        assert.equal(BigInt(String(row?.[column] ?? 0)), sum, `${model.table}.${column}`);
      }
    }
    const schemas = new Set(workloadModel(uri, 1).map(({ schema }) => schema));
    const report = await checkHistory(server, {
      isReplicated: (table: string) => schemas.has(table.split('.')[0] ?? ''),
    });
    assert.equal(describeViolations(report), '');
    assert.ok(report.dataTransactions > 5);
  });

  it('groups read downstream are empty where no foreign key cascades', async () => {
    const sink = openMysqlSink({ uri: server.uri(), log: () => {}, owner: 'node' });
    sinks.push(sink);
    await want('Opened', sink.call({ kind: 'Open', changefeed }));
    const read = await want(
      'GroupsRead',
      sink.call({ kind: 'ReadGroups', changefeed, rules: ['*.*'] }),
    );
    assert.deepEqual({ ...read.groups }, {});
  });
});
