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
import type { StoredBlock } from '#src/ports/event-store.ts';
import type { SinkApplied, SinkPort, SinkRequest } from '#src/ports/sink.ts';
import type { UpstreamChunk } from '#src/ports/upstream.ts';
import type { MariadbServer } from '#test/servers/mariadb.ts';

type Stage = Extract<SinkRequest, { kind: 'Apply' }>['stage'];

const changefeed = 'workload';

/** Small transactions over several tables, and transactions that are larger than a chunk. */
const workloads: readonly { readonly uri: string; readonly stages: readonly Stage[] }[] = [
  { uri: 'workload://bank?seed=7&accounts=200&transactions=2000', stages: ['whole'] },
  {
    uri: 'workload://insert?seed=7&tables=2&rows=2000&transactions=30',
    stages: ['begin', 'end', 'more'],
  },
];

/** Blocks of each span, and the DDL before them. */
async function readWorkload(uri: string): Promise<{
  ddls: DdlEvent[];
  spans: Map<string, StoredBlock[]>;
  endTs: number;
}> {
  const upstream = openWorkloadUpstream({ uri, log: () => {} });
  const checked = await upstream.call({ kind: 'Check', startAt: { kind: 'oldest' } });
  assert.ok(checked.ok && checked.value.kind === 'Checked');
  const { start: position, newest, timeline } = checked.value;
  const routing = { rules: ['*.*'], groups: {} };
  assert.ok((await upstream.call({ kind: 'Open', position, timeline, routing })).ok);
  const ddls: DdlEvent[] = [];
  const spans = new Map<string, StoredBlock[]>();
  for (let resolved = 0; resolved < newest.ts;) {
    const next = await upstream.call({ kind: 'Next', byteCountMax: 4096 });
    assert.ok(next.ok && next.value.kind === 'Chunk');
    const chunk: UpstreamChunk = next.value;
    resolved = chunk.resolved.ts;
    if (chunk.ddl !== undefined) ddls.push(chunk.ddl);
    for (const block of chunk.blocks) {
      const blocks = spans.get(block.info.span) ?? [];
      blocks.push(block);
      spans.set(block.info.span, blocks);
    }
  }
  await upstream.close();
  return { ddls, spans, endTs: newest.ts };
}

for (const { uri, stages: expected } of workloads) {
  describe(`blocks through planning and the fence: ${uri}`, () => {
    let server: MariadbServer;
    const sinks: SinkPort[] = [];

    before(async () => {
      server = await startMariadb();
    });
    after(async () => {
      await Promise.all(sinks.map((sink) => sink.close()));
      await server.stop();
    });

    it('the copy equals its model, over takeovers, and every transaction of it was fenced', async () => {
      const { ddls, spans, endTs } = await readWorkload(uri);
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
      const stages = new Set<Stage>();
      for (const [span, blocks] of spans) {
        for (let at = 0; at < blocks.length;) {
          // The owner before stays as it is: a stale one does no harm.
          if (batchBlocks === 2 && sinks.length < 12) sink = await open();
          const raised = await want(
            'SpanRaised',
            sink.call({ kind: 'RaiseSpan', changefeed, span, token: ++token, ts: 0 }),
          );
          const { startTs } = resumeOf(raised.lanes, 0);
          const batch = blocks.slice(at, at + batchBlocks);
          // Blocks of an unfinished transaction follow as stages of their own.
          let isOpen = false;
          for (
            let part: readonly StoredBlock[] = batch;
            part.length > 0;
            part = isOpen ? blocks.slice(at, at + 1) : []
          ) {
            const last = part.at(-1)!.info;
            const stage: Stage = isOpen
              ? last.unfinished
                ? 'more'
                : 'end'
              : last.unfinished
                ? 'begin'
                : 'whole';
            const applied: SinkApplied = await want(
              'Applied',
              sink.call({
                kind: 'Apply',
                changefeed,
                span,
                token,
                afterTs: startTs,
                untilTs: last.lastTs,
                stage,
                idempotent: false,
                schemaVersion: 1,
                blocks: part.map(({ bytes }) => bytes),
              }),
            );
            isOpen = last.unfinished;
            assert.equal(applied.ts, isOpen ? startTs : last.lastTs);
            stages.add(stage);
            at += part.length;
          }
          batchBlocks = (batchBlocks % 5) + 1;
        }
      }
      for (const stage of expected) assert.ok(stages.has(stage), stage);
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
      const report = await checkHistory(server, {
        isReplicated: (table: string) => !table.startsWith('sluice_meta.'),
      });
      assert.equal(describeViolations(report), '');
      assert.ok(report.dataTransactions > 20, String(report.dataTransactions));
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
}
