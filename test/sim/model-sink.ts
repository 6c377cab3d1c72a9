/**
 * The sink port over a {@link ModelDownstream}: what the real adapter does, in few lines. Lanes commit one by one on
 * connections of their own; packets once sent may arrive when their sender is long gone.
 */
import { assert } from '#src/base/assert.ts';
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import { visitBlock } from '#src/model/block.ts';
import { bucketCount, spanRange, wholeSpan, type BucketRange } from '#src/model/span.ts';
import type { PartProgress, SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import { hashOf } from './dice.ts';
import type { LaneBatch, ModelDownstream, TimedChange } from './model-downstream.ts';
import { readRowsEvent } from './row-events.ts';
import { copied, type SinkPlace } from './sim-downstream.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import type { Mishap } from './sql/sim-machine.ts';
import type { World } from './world.ts';

type Apply = Extract<SinkRequest, { kind: 'Apply' }>;

/** A packet that was held up arrives within this time. */
const lateMsMax = 20_000;

/** A mishap as weather. */
const weatherOf = { lost: 'before', unanswered: 'after', late: 'late' } as const;

/** One span as the adapter knows it: since its raise, and whatever it committed. */
interface OpenSpan {
  readonly token: number;
  readonly seqs: number[];
  /** Keys in these buckets are applied so far. */
  readonly parts: readonly PartProgress[];
  /** Changes of the large transaction under way; null when there is none. */
  stage: TimedChange[] | null;
}

/** What a packet came to. */
type Reply = 'done' | 'fenced' | 'lost' | 'not-yet';

/** One thread's sink. Its open stages are lost with it, as connections are. */
export class ModelSink implements LivingPort {
  readonly #world: World;
  readonly #downstream: ModelDownstream;
  readonly #weather: PortWeather;
  readonly #laneCount: number;
  readonly #place: SinkPlace;
  readonly #spans = new Map<string, OpenSpan>();
  #batchCount = 0;
  #isClosed = false;

  constructor(
    world: World,
    downstream: ModelDownstream,
    weather: PortWeather,
    laneCount: number,
    place: SinkPlace,
  ) {
    this.#world = world;
    this.#downstream = downstream;
    this.#weather = weather;
    this.#laneCount = laneCount;
    this.#place = place;
  }

  close(): void {
    this.#isClosed = true;
  }

  call(request: { readonly kind: string }, answered: (outcome: Outcome<unknown>) => void): void {
    const sinkRequest = copied(request as SinkRequest);
    const answer = (outcome: Outcome<unknown>): void =>
      void this.#world.after(this.#weather.delay(5), () => answered(outcome));
    if (sinkRequest.kind === 'Release') {
      this.#spans.delete(sinkRequest.span);
      return answer(ok({ kind: 'Done' }));
    }
    if (this.#weather.isDown)
      return answer(failed(failure('SINK_UNREACHABLE', 'no answer', { retry: 'Reconnect' })));
    if (sinkRequest.kind === 'Apply') return this.#apply(sinkRequest, answer);
    let outcome: Outcome<unknown> = failed(lost);
    const execute = (): Reply => {
      outcome = this.#execute(sinkRequest);
      return 'done';
    };
    this.#submit(execute, (reply) => answer(reply === 'done' ? outcome : failed(failureOf(reply))));
  }

  /**
   * Sends a packet: `execute` runs at the server, then `replied` at the sender, which may be told `lost` before, without
   * or in spite of the execution.
   */
  #submit(execute: () => Reply, replied: (reply: Reply) => void, mishap?: Mishap): void {
    if (!this.#place.mayWrite()) {
      const reply = this.#place.isShut() ? 'fenced' : 'not-yet';
      return void this.#world.after(0, () => replied(reply));
    }
    const world = this.#world;
    const { restartCount } = this.#downstream;
    const drawn = this.#weather.draw();
    const weather = mishap === undefined ? drawn : weatherOf[mishap.how];
    const arrive = (): Reply => {
      // The system may have dropped what a dead process had not sent yet; a server that restarted has no such connection.
      const isGone = this.#isClosed && this.#weather.dice.chance(0.4);
      if (isGone || this.#downstream.restartCount !== restartCount) return 'lost';
      if (this.#isClosed) world.mark('packet of the dead');
      return execute();
    };
    if (weather === 'late') {
      world.after(mishap?.lateMs ?? this.#weather.dice.magnitude(lateMsMax), () => {
        if (arrive() === 'done') world.mark('late packet committed');
      });
    }
    const heldMs = this.#place.heldMs?.() ?? 0;
    if (heldMs > 0) world.mark('packet held in the system');
    world.after(heldMs + this.#weather.delay(5), () => {
      if (weather === 'late' || weather === 'before') return replied('lost');
      const reply = arrive();
      replied(weather === 'after' ? 'lost' : reply);
    });
  }

  #execute(request: Exclude<SinkRequest, Apply>): Outcome<SinkAnswer> {
    const downstream = this.#downstream;
    switch (request.kind) {
      case 'Open':
        return ok({ kind: 'Opened', version: '1', serverId: 'd', laneCount: this.#laneCount });
      case 'RaiseFeed':
        return downstream.raiseFeed(request.token)
          ? ok({ kind: 'FeedRaised', checkpoint: downstream.checkpoint, parts: downstream.parts() })
          : failed(fenced(downstream.feedToken));
      case 'RaiseSpan': {
        const lanes = downstream.raiseSpan(request.span, request.token, request.ts);
        if (lanes === null) return failed(fenced(request.token));
        const { span, token } = request;
        const parts = lanes.flatMap((lane) => lane.parts ?? []);
        this.#spans.set(span, { token, seqs: lanes.map((lane) => lane.seq), parts, stage: null });
        return ok({ kind: 'SpanRaised', lanes });
      }
      case 'SaveCheckpoint':
        return downstream.save(request.token, request.checkpoint)
          ? ok({ kind: 'CheckpointSaved' })
          : failed(fenced(downstream.feedToken));
      case 'RunDdl': {
        const ran = downstream.runDdl(request.token, request.ddl);
        return ran === null ? failed(fenced(downstream.feedToken)) : ok({ kind: 'DdlDone', ran });
      }
      case 'CheckSplit':
        return ok({ kind: 'SplitChecked', refusal: null });
      case 'Reslot':
        return downstream.reslot(request)
          ? ok({ kind: 'Reslotted' })
          : failed(fenced(downstream.feedToken));
      case 'RetireFeed':
        return downstream.retire(request.token)
          ? ok({ kind: 'FeedRetired' })
          : failed(fenced(downstream.feedToken));
      case 'ReadGroups':
        return ok({ kind: 'GroupsRead', groups: {} });
      case 'Release':
        return ok({ kind: 'Done' });
    }
  }

  #apply(request: Apply, answer: (outcome: Outcome<unknown>) => void): void {
    const { span, token, stage } = request;
    const open = this.#spans.get(span);
    if (open === undefined || open.token !== token) return answer(failed(fenced(token)));
    const isGoingOn = stage === 'more' || stage === 'end';
    assert(isGoingOn === (open.stage !== null), `${span}: stage ${stage} out of turn`);
    const staged = [...(open.stage ?? []), ...changesOf(request, open.parts)];
    if (stage === 'begin' || stage === 'more') {
      open.stage = staged;
      this.#world.mark('large transaction staged');
      const sent = (): Reply => 'done';
      return this.#submit(sent, (reply) =>
        answer(reply === 'done' ? ok(applied(request.afterTs, 0)) : failed(failureOf(reply))),
      );
    }
    open.stage = null;
    // What was staged goes out on one connection and commits once.
    this.#commit(request, open, this.#batchesOf(request, open, staged, stage === 'end'), answer);
  }

  #batchesOf(
    request: Apply,
    open: OpenSpan,
    changes: readonly TimedChange[],
    isOneLane: boolean,
  ): LaneBatch[] {
    const { span, token, afterTs: base, untilTs: ts, idempotent } = request;
    const batch = `${this.#place.name} ${token}-${++this.#batchCount}`;
    const dice = this.#weather.dice;
    const laneCount = isOneLane ? 1 : 1 + dice.pick(this.#laneCount);
    const first = dice.pick(this.#laneCount);
    const byLane = Map.groupBy(
      changes,
      ({ key }) => (first + (hashOf(batch, key) % laneCount)) % this.#laneCount,
    );
    // An empty end still commits its position.
    if (byLane.size === 0) byLane.set(first, []);
    const lanes = byLane.size;
    if (lanes > 1) this.#world.mark('batch of several lanes');
    return [...byLane].map(([lane, own]) => ({
      span,
      token,
      lane,
      seq: open.seqs[lane]!,
      changes: own,
      ts,
      base,
      lanes,
      batch,
      idempotent,
    }));
  }

  /** All lanes are sent at once and arrive in any order; a crash or a fence may fall between them. */
  #commit(
    request: Apply,
    open: OpenSpan,
    batches: readonly LaneBatch[],
    answer: (outcome: Outcome<unknown>) => void,
  ): void {
    const replies: Reply[] = [];
    this.#downstream.writer = this.#place.name;
    const mishap = this.#downstream.takeMishap();
    if (mishap?.how === 'late') this.#world.mark('batch held up');
    for (const [at, batch] of batches.entries()) {
      const isMet = mishap !== undefined && at === mishap.after % batches.length;
      const execute = (): Reply => (this.#downstream.commitLane(batch) ? 'done' : 'fenced');
      this.#submit(
        execute,
        (reply) => {
          replies.push(reply);
          if (reply === 'done') open.seqs[batch.lane] = batch.seq + 1;
          if (replies.length < batches.length) return;
          const bad = replies.find((one) => one !== 'done');
          if (bad !== undefined && replies.includes('done')) this.#world.mark('batch cut');
          answer(
            bad === undefined
              ? ok(applied(request.untilTs, request.untilTs))
              : failed(failureOf(bad)),
          );
        },
        isMet ? mishap : undefined,
      );
    }
  }
}

const lost: Failure = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });

const notYet: Failure = failure('SINK_BUSY', 'not yet', { retry: 'Again', scope: 'Node' });

function failureOf(reply: Reply): Failure {
  if (reply === 'not-yet') return notYet;
  return reply === 'fenced' ? failure('SINK_FENCED', 'fenced', { retry: 'Resync' }) : lost;
}

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

function changesOf(request: Apply, parts: readonly PartProgress[]): TimedChange[] {
  const { afterTs, untilTs } = request;
  const span = wholeSpan(request.span);
  const range = spanRange(request.span);
  const changes: TimedChange[] = [];
  const isIn = (bucket: number, { from, to }: BucketRange): boolean =>
    bucket >= from && bucket <= to;
  for (const block of request.blocks) {
    let ts = 0;
    visitBlock(block, {
      transaction: (commitTs) => {
        ts = commitTs;
      },
      table: () => {},
      rows: (_index, type, body) => {
        if (ts <= afterTs || ts > untilTs) return;
        const change = { span, ts, ...readRowsEvent(type, body) };
        const bucket = hashOf('bucket', change.key) % bucketCount;
        if (!isIn(bucket, range)) return;
        if (!parts.some((part) => isIn(bucket, part) && ts <= part.ts)) changes.push(change);
      },
    });
  }
  return changes;
}
