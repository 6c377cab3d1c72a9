import { assert, must } from '#src/base/assert.ts';
import { FailureError, fail, failure } from '#src/base/failure.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import { encodePosition } from './slot-position.ts';
import { StagedTransaction } from './staged-transaction.ts';

import type { Failure } from '#src/base/failure.ts';
import type { PartProgress, SinkApplied, SinkRequest, SlotState } from '#src/ports/sink.ts';
import type { BatchInput, BatchPlan } from './batch/batch.ts';
import type { LanePosition } from './slot-position.ts';
import type { SlotStep, FencedWriter, WriterParts } from './transaction.ts';
import type { SessionPool } from './sessions.ts';

/** A request to apply blocks. */
export type ApplyRequest = Extract<SinkRequest, { kind: 'Apply' }>;

/** What all spans of one sink share. */
export interface SpanParts extends WriterParts {
  readonly writer: FencedWriter;
  readonly pool: SessionPool;
  /** Makes statements of blocks; FailureError when they do not fit the downstream's tables. */
  readonly plan: (input: BatchInput) => Promise<BatchPlan>;
  /** A name for a batch that no other batch of any sink has. */
  readonly nextName: () => string;
}

interface Lane {
  readonly slot: number;
  seq: number;
  ts: number;
}

/** What one call did. */
interface Done {
  readonly plan: BatchPlan;
  readonly byteCount: number;
}

/**
 * The writer of one raised span: knows the seq of each lane, and applies one batch at a time. Once a batch ends with
 * anything but a known state, every later call is refused with retry `Resync` until the span is raised again.
 *
 * After a batch of several lanes was cut, its changes are applied again as final states, by one lane: the one that is furthest
 * behind, so that the position of each lane only ever rises.
 */
export class SpanWriter {
  readonly changefeed: string;
  readonly token: number;
  readonly #parts: SpanParts;
  readonly #lanes: Lane[];
  readonly #redoTs: number;
  readonly #applied: readonly PartProgress[];
  #staged: { readonly transaction: StagedTransaction; readonly lane: Lane } | null = null;
  #busy = false;
  #isReleased = false;
  #loss: Failure | null = null;

  constructor(
    parts: SpanParts,
    raised: {
      readonly changefeed: string;
      readonly token: number;
      readonly ts: number;
      readonly lanes: readonly SlotState[];
    },
  ) {
    this.#parts = parts;
    this.changefeed = raised.changefeed;
    this.token = raised.token;
    this.#lanes = raised.lanes
      .toSorted((a, b) => a.lane - b.lane)
      .map(({ slot, seq, ts }) => ({ slot, seq, ts }));
    this.#redoTs = resumeOf(raised.lanes, raised.ts).redoTs;
    this.#applied = raised.lanes.flatMap((lane) => lane.parts ?? []);
  }

  /** Applies one request; requests of one span come one after the other. */
  async apply(request: ApplyRequest): Promise<SinkApplied> {
    if (this.#loss !== null) throw this.#lossError();
    if (this.#busy) fail('SINK_BUSY', 'a batch of this span is under way', { retry: 'Again' });
    this.#busy = true;
    try {
      if (request.stage === 'whole') {
        this.abandon();
        return applied(request, [await this.#applyWhole(request)]);
      }
      return await this.#applyStage(request);
    } catch (error) {
      this.abandon();
      throw resyncing(request, error);
    } finally {
      this.#busy = false;
    }
  }

  /** Ends the writer: an open transaction, or one that is just being opened, would keep the slot locked for the next. */
  release(): void {
    this.#isReleased = true;
    this.abandon();
  }

  /** Gives up a transaction of several stages that is still open; it is rolled back by the server. */
  abandon(): void {
    const staged = this.#staged;
    this.#staged = null;
    void staged?.transaction.abandon();
  }

  async #applyWhole(request: ApplyRequest): Promise<Done> {
    const plan = await this.#parts.plan(this.#input(request, request.stage !== 'whole'));
    const taking = plan.lanes
      .map((lane, at) => ({ lane: this.#lane(at, request), statements: lane.statements }))
      .filter(({ statements }) => statements.length > 0);
    const pos = this.#position(request, plan, taking.length);
    const outcomes = await Promise.all(
      taking.map(({ lane, statements }) =>
        this.#parts.writer.commit(this.#step(lane, pos), statements, this.#parts.pool),
      ),
    );
    let committedCount = 0;
    let byteCount = 0;
    let problem: Failure | null = null;
    for (const [at, outcome] of outcomes.entries()) {
      if (outcome.kind === 'Committed') {
        advance(taking[at]!.lane, plan.lastTs);
        committedCount++;
        byteCount += outcome.byteCount;
      } else if (problem === null || outcome.kind === 'Lost') {
        problem = outcome.failure;
        if (outcome.kind === 'Lost') this.#loss = outcome.failure;
      }
    }
    if (problem === null) return { plan, byteCount };
    if (this.#loss !== null) throw this.#lossError();
    // Some lanes are ahead of others: a new raise reads where each stands.
    if (committedCount > 0) this.#loss = { ...problem, retry: 'Resync' };
    throw new FailureError(this.#loss ?? problem);
  }

  async #applyStage(request: ApplyRequest): Promise<SinkApplied> {
    if (request.stage === 'begin') return this.#begin(request);
    const staged = this.#staged?.transaction;
    if (staged === undefined) {
      return fail('SINK_DISCONNECTED', 'the transaction of this stage is gone', {
        retry: 'Resync',
        scope: 'Table',
      });
    }
    assert(
      request.stage === 'end' || request.untilTs <= staged.ts,
      'a part of a transaction that is not the open one',
    );
    // The position was written with the guard: what follows the transaction in its last block is a step of its own.
    const own = { ...request, untilTs: Math.min(request.untilTs, staged.ts) };
    const done = await this.#addTo(staged, await this.#parts.plan(this.#input(own, true)));
    if (request.stage === 'more') return applied(request, [uncounted(done)]);
    const byteCount = done.byteCount + (await this.#end());
    // Counted here and in no other part.
    const whole = { plan: { ...done.plan, transactionCount: 1 }, byteCount };
    if (request.untilTs <= staged.ts || request.blocks.length === 0) {
      return { ...applied(request, [whole]), ts: staged.ts };
    }
    const rest = await this.#applyWhole({ ...request, afterTs: staged.ts });
    return applied(request, [whole, rest]);
  }

  async #begin(request: ApplyRequest): Promise<SinkApplied> {
    this.abandon();
    const plan = await this.#parts.plan(this.#input(request, true));
    const lane = this.#lane(0, request);
    const step = this.#step(lane, this.#position(request, plan, 1));
    try {
      const transaction = await StagedTransaction.begin(this.#parts, step, plan.lastTs);
      this.#staged = { transaction, lane };
    } catch (error) {
      const outcome = await this.#parts.writer.readBack(step);
      if (outcome.kind !== 'Lost') throw error;
      this.#loss = outcome.failure;
      throw this.#lossError();
    }
    // Failing gives it up: nobody else knows of it yet.
    if (this.#isReleased) {
      fail('SINK_DISCONNECTED', 'the span was released', { retry: 'Resync', scope: 'Table' });
    }
    return applied(request, [uncounted(await this.#addTo(this.#staged.transaction, plan))]);
  }

  async #addTo(staged: StagedTransaction, plan: BatchPlan): Promise<Done> {
    const statements = plan.lanes.flatMap((lane) => lane.statements);
    return { plan, byteCount: await staged.more(statements) };
  }

  async #end(): Promise<number> {
    const { transaction, lane } = must(this.#staged, 'transaction to end');
    this.#staged = null;
    const outcome = await transaction.commit(this.#parts.writer);
    if (outcome.kind === 'Committed') {
      advance(lane, transaction.ts);
      return outcome.byteCount;
    }
    if (outcome.kind === 'Lost') this.#loss = outcome.failure;
    throw new FailureError(outcome.failure);
  }

  #input(request: ApplyRequest, wholeTransactions: boolean): BatchInput {
    const { blocks, span, afterTs, untilTs } = request;
    const isRedo = this.#isRedo(request);
    return {
      blocks,
      span,
      afterTs,
      untilTs,
      parts: this.#applied.filter((part) => part.ts > afterTs),
      idempotent: request.idempotent || isRedo,
      wholeTransactions: wholeTransactions || request.idempotent || isRedo,
    };
  }

  /** Whatever the caller thinks: before redoTs a cut batch may have left some of the changes. */
  #isRedo(request: ApplyRequest): boolean {
    return request.afterTs < this.#redoTs;
  }

  #position(request: ApplyRequest, plan: BatchPlan, lanes: number): LanePosition {
    return {
      ts: plan.lastTs,
      gtid: plan.gtid,
      base: request.afterTs,
      lanes,
      redoTs: this.#redoTs,
      parts: this.#applied,
      by: this.#parts.nextName(),
    };
  }

  #step(lane: Lane, pos: LanePosition): SlotStep {
    return {
      key: { changefeed: this.changefeed, slot: lane.slot },
      token: this.token,
      previousSeq: lane.seq,
      pos: encodePosition(pos),
    };
  }

  #lane(at: number, request: ApplyRequest): Lane {
    const isRedo = request.idempotent || this.#isRedo(request);
    const lane = isRedo && at === 0 ? this.#hindmost() : this.#lanes[at];
    if (lane === undefined) {
      return fail('SINK_REFUSED', `the span has no lane ${at}`, {
        retry: 'Resync',
        scope: 'Table',
      });
    }
    return lane;
  }

  #hindmost(): Lane | undefined {
    return this.#lanes.reduce<Lane | undefined>(
      (least, lane) => (least === undefined || lane.ts < least.ts ? lane : least),
      undefined,
    );
  }

  #lossError(): Error {
    const loss = this.#loss ?? failure('SINK_DISCONNECTED', 'the state of the span is not known');
    return new FailureError({ ...loss, retry: loss.code === 'SINK_FENCED' ? 'Never' : 'Resync' });
  }
}

/** A failure behind `begin` loses the whole transaction: the call alone cannot be repeated. */
function resyncing(request: ApplyRequest, error: unknown): unknown {
  if (!(error instanceof FailureError) || error.failure.retry === 'Never') return error;
  if (request.stage !== 'more' && request.stage !== 'end') return error;
  return new FailureError({ ...error.failure, retry: 'Resync' });
}

/** Without the transaction that is still open: it counts when it ends. */
function uncounted({ plan, byteCount }: Done): Done {
  return { plan: { ...plan, transactionCount: Math.max(0, plan.transactionCount - 1) }, byteCount };
}

function advance(lane: Lane, ts: number): void {
  lane.seq++;
  lane.ts = ts;
}

function applied(request: ApplyRequest, parts: readonly Done[]): SinkApplied {
  const isOpen = request.stage === 'begin' || request.stage === 'more';
  const plans = parts.map(({ plan }) => plan);
  const sum = (count: (plan: BatchPlan) => number): number =>
    plans.reduce((total, plan) => total + count(plan), 0);
  return {
    kind: 'Applied',
    ts: isOpen ? request.afterTs : Math.max(...plans.map((plan) => plan.lastTs)),
    rowCount: sum((plan) => plan.rowCount),
    transactionCount: sum((plan) => plan.transactionCount),
    writtenRowCount: sum((plan) =>
      plan.lanes.reduce((total, lane) => total + lane.writtenRowCount, 0),
    ),
    commitMs: Math.max(...plans.map((plan) => plan.commitMs)),
    byteCount: parts.reduce((total, part) => total + part.byteCount, 0),
  };
}
