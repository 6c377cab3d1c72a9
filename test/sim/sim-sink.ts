/** The sink port over a {@link Downstream}: lanes commit one by one, calls fail before, between and after their commits. */
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import { visitBlock } from '#src/model/block.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import { laneCount, type Downstream, type LaneBatch, type TimedChange } from './downstream.ts';
import type { SimPort } from './sim-thread.ts';
import type { World } from './world.ts';

type Apply = Extract<SinkRequest, { kind: 'Apply' }>;

const decoder = new TextDecoder();

/** One thread's sink. Its open stages are lost with it, as connections are. */
export class SimSink {
  readonly #world: World;
  readonly #downstream: Downstream;
  readonly #failChance: () => number;
  /** Blocks of transactions under way, by span. */
  readonly #stages = new Map<string, { readonly token: number; changes: TimedChange[] }>();
  #batchCount = 0;

  constructor(world: World, downstream: Downstream, failChance: () => number) {
    this.#world = world;
    this.#downstream = downstream;
    this.#failChance = failChance;
  }

  readonly call: SimPort = (request, answered) => {
    const world = this.#world;
    const answer = (outcome: Outcome<unknown>): void =>
      void world.after(world.random() * 5, () => answered(outcome));
    const sinkRequest = copy(request as SinkRequest);
    const failsBefore = world.chance(this.#failChance());
    const failsAfter = world.chance(this.#failChance());
    world.after(world.random() * 5, () => {
      if (failsBefore) {
        if (sinkRequest.kind === 'Apply') this.#stages.delete(sinkRequest.span);
        return answer(failed(lost));
      }
      if (sinkRequest.kind === 'Apply') return this.#apply(sinkRequest, failsAfter, answer);
      const outcome = this.#execute(sinkRequest);
      answer(failsAfter ? failed(lost) : outcome);
    });
  };

  #execute(request: Exclude<SinkRequest, Apply>): Outcome<SinkAnswer> {
    const downstream = this.#downstream;
    switch (request.kind) {
      case 'Open':
        return ok({ kind: 'Opened', version: '1', serverId: 'd', laneCount });
      case 'RaiseFeed':
        return downstream.raiseFeed(request.token)
          ? ok({ kind: 'FeedRaised', checkpoint: downstream.checkpoint })
          : failed(fenced(downstream.feedToken));
      case 'RaiseSpan': {
        const lanes = downstream.raiseSpan(request.span, request.token, request.ts);
        return lanes === null
          ? failed(fenced(request.token))
          : ok({ kind: 'SpanRaised', lanes: lanes.map((lane) => ({ ...lane })) });
      }
      case 'SaveCheckpoint':
        return downstream.save(request.token, request.checkpoint)
          ? ok({ kind: 'CheckpointSaved' })
          : failed(fenced(downstream.feedToken));
      case 'RunDdl': {
        const ran = downstream.runDdl(request.token, request.ddl);
        return ran === null ? failed(fenced(downstream.feedToken)) : ok({ kind: 'DdlDone', ran });
      }
      case 'ReadGroups':
        return ok({ kind: 'GroupsRead', groups: {} });
      case 'Release':
        this.#stages.delete(request.span);
        return ok({ kind: 'Done' });
    }
  }

  #apply(request: Apply, isCut: boolean, answer: (outcome: Outcome<unknown>) => void): void {
    const { span, token, stage } = request;
    const open = this.#stages.get(span);
    if (stage === 'more' || stage === 'end') {
      if (open === undefined || open.token !== token) return answer(failed(lost));
    } else this.#stages.set(span, { token, changes: [] });
    const staged = this.#stages.get(span)!;
    staged.changes.push(...changesOf(request));
    if (stage === 'begin' || stage === 'more')
      return answer(isCut ? failed(lost) : ok(applied(request.afterTs, 0)));
    this.#stages.delete(span);
    this.#commitNext(request, this.#batchesOf(request, staged.changes), isCut, answer);
  }

  #batchesOf(request: Apply, changes: readonly TimedChange[]): LaneBatch[] {
    const { span, token, afterTs: base, untilTs: ts, idempotent } = request;
    const byLane = Map.groupBy(changes, (change) => Number(change.key) % laneCount);
    const batch = `${token}-${++this.#batchCount}`;
    const lanes = byLane.size;
    return [...byLane].map(([lane, own]) => ({
      span,
      token,
      lane,
      changes: own,
      ts,
      base,
      lanes,
      batch,
      idempotent,
    }));
  }

  /** Lanes commit at times of their own, so that a crash or a fence may fall between them. */
  #commitNext(
    request: Apply,
    batches: readonly LaneBatch[],
    isCut: boolean,
    answer: (outcome: Outcome<unknown>) => void,
  ): void {
    const [first, ...rest] = batches;
    if (first === undefined)
      return answer(isCut ? failed(lost) : ok(applied(request.untilTs, request.untilTs)));
    if (!this.#downstream.commitLane(first)) return answer(failed(fenced(first.token)));
    if (isCut && this.#world.chance(0.5)) return answer(failed(lost));
    this.#world.after(this.#world.random() * 5, () =>
      this.#commitNext(request, rest, isCut, answer),
    );
  }
}

const lost: Failure = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });

function fenced(token: number): Failure {
  return failure('SINK_FENCED', 'fenced', { retry: 'Resync', detail: { token } });
}

function applied(ts: number, commitMs: number): SinkAnswer {
  return {
    kind: 'Applied',
    ts,
    rowCount: 1,
    transactionCount: 1,
    writtenRowCount: 1,
    commitMs,
    byteCount: 1,
  };
}

/** A call keeps its blocks even when their owner is gone. */
function copy(request: SinkRequest): SinkRequest {
  if (request.kind !== 'Apply') return request;
  return { ...request, blocks: request.blocks.map((block) => block.slice()) };
}

function changesOf(request: Apply): TimedChange[] {
  const changes: TimedChange[] = [];
  for (const block of request.blocks) {
    let ts = 0;
    visitBlock(block, {
      transaction: (commitTs) => {
        ts = commitTs;
      },
      table: () => {},
      rows: (_index, _type, body) => {
        if (ts <= request.afterTs || ts > request.untilTs) return;
        const [key = '', from] = decoder.decode(body).split(' ');
        changes.push({ span: request.span, key, from: Number(from), ts });
      },
    });
  }
  return changes;
}
