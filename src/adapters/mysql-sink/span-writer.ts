import { FailureError, fail, failure } from '#src/base/failure.ts';
import { resumeOf } from '#src/model/lane-resume.ts';
import { encodePosition } from './slot-position.ts';
import { StagedTransaction } from './staged-transaction.ts';

import type { Failure } from '#src/base/failure.ts';
import type { SinkApplied, SinkRequest, SlotState } from '#src/ports/sink.ts';
import type { BatchPlan } from './batch/batch.ts';
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
  readonly plan: (request: ApplyRequest & { readonly idempotent: boolean }) => Promise<BatchPlan>;
  /** A name for a batch that no other batch of any sink has. */
  readonly nextName: () => string;
}

interface Lane {
  readonly slot: number;
  seq: number;
}

/**
 * The writer of one raised span: knows the seq of each lane, and applies one batch at a time. Once a batch ends with
 * anything but a known state, every later call is refused with retry `Resync` until the span is raised again.
 */
export class SpanWriter {
  readonly changefeed: string;
  readonly token: number;
  readonly #parts: SpanParts;
  readonly #lanes: Lane[];
  readonly #redoTs: number;
  #staged: StagedTransaction | null = null;
  #busy = false;
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
      .map(({ slot, seq }) => ({ slot, seq }));
    this.#redoTs = resumeOf(raised.lanes, raised.ts).redoTs;
  }

  /** Applies one request; requests of one span come one after the other. */
  async apply(request: ApplyRequest): Promise<SinkApplied> {
    if (this.#loss !== null) throw this.#lossError();
    if (this.#busy) fail('SINK_BUSY', 'a batch of this span is under way', { retry: 'Again' });
    this.#busy = true;
    try {
      // Whatever the caller thinks: before redoTs a cut batch may have left some of the changes.
      const idempotent = request.idempotent || request.afterTs < this.#redoTs;
      const plan = await this.#parts.plan({ ...request, idempotent });
      const byteCount =
        request.stage === 'whole'
          ? await this.#applyWhole(request, plan)
          : await this.#applyStage(request, plan);
      return applied(request, plan, byteCount);
    } catch (error) {
      if (request.stage !== 'whole') this.abandon();
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  /** Gives up a transaction of several stages that is still open; it is rolled back by the server. */
  abandon(): void {
    const staged = this.#staged;
    this.#staged = null;
    void staged?.abandon();
  }

  async #applyWhole(request: ApplyRequest, plan: BatchPlan): Promise<number> {
    this.abandon();
    const taking = plan.lanes
      .map((lane, at) => ({ lane: this.#lane(at), statements: lane.statements }))
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
        taking[at]!.lane.seq++;
        committedCount++;
        byteCount += outcome.byteCount;
      } else if (problem === null || outcome.kind === 'Lost') {
        problem = outcome.failure;
        if (outcome.kind === 'Lost') this.#loss = outcome.failure;
      }
    }
    if (problem === null) return byteCount;
    if (this.#loss !== null) throw this.#lossError();
    // Some lanes are ahead of others: a new raise reads where each stands.
    if (committedCount > 0) this.#loss = { ...problem, retry: 'Resync' };
    return fail(problem.code, problem.message, {
      ...problem,
      retry: committedCount > 0 ? 'Resync' : problem.retry,
    });
  }

  async #applyStage(request: ApplyRequest, plan: BatchPlan): Promise<number> {
    const statements = plan.lanes.flatMap((lane) => lane.statements);
    const lane = this.#lane(0);
    if (request.stage === 'begin') {
      this.abandon();
      const pos = this.#position(request, plan, 1);
      this.#staged = await StagedTransaction.begin(this.#parts, this.#step(lane, pos));
    }
    const staged = this.#staged;
    if (staged === null) {
      return fail('SINK_DISCONNECTED', 'the transaction of this stage is gone', {
        retry: 'Resync',
        scope: 'Table',
      });
    }
    const byteCount = await staged.more(statements);
    if (request.stage !== 'end') return byteCount;
    this.#staged = null;
    const outcome = await staged.commit(this.#parts.writer);
    if (outcome.kind === 'Committed') {
      lane.seq++;
      return byteCount + outcome.byteCount;
    }
    if (outcome.kind === 'Lost') this.#loss = outcome.failure;
    return fail(outcome.failure.code, outcome.failure.message, {
      ...outcome.failure,
      // The call cannot simply be repeated: the whole transaction must be.
      retry: outcome.failure.retry === 'Never' ? 'Never' : 'Resync',
    });
  }

  #position(request: ApplyRequest, plan: BatchPlan, lanes: number): LanePosition {
    return {
      ts: plan.lastTs,
      gtid: plan.gtid,
      base: request.afterTs,
      lanes,
      redoTs: this.#redoTs,
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

  #lane(at: number): Lane {
    const lane = this.#lanes[at];
    if (lane === undefined) {
      return fail('SINK_REFUSED', `the span has no lane ${at}`, {
        retry: 'Resync',
        scope: 'Table',
      });
    }
    return lane;
  }

  #lossError(): Error {
    const loss = this.#loss ?? failure('SINK_DISCONNECTED', 'the state of the span is not known');
    return new FailureError({ ...loss, retry: loss.code === 'SINK_FENCED' ? 'Never' : 'Resync' });
  }
}

function applied(request: ApplyRequest, plan: BatchPlan, byteCount: number): SinkApplied {
  const isOpen = request.stage === 'begin' || request.stage === 'more';
  return {
    kind: 'Applied',
    ts: isOpen ? request.afterTs : plan.lastTs,
    rowCount: plan.rowCount,
    transactionCount: plan.transactionCount,
    writtenRowCount: plan.lanes.reduce((sum, lane) => sum + lane.writtenRowCount, 0),
    commitMs: plan.commitMs,
    byteCount,
  };
}
