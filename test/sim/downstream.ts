/**
 * The downstream of a simulation: rows with versions and the fenced slots. It outlives the processes that write to it, and
 * checks every write: a row only ever moves from the version the change began with.
 */
import assert from 'node:assert/strict';
import { resumeOf } from '#src/model/lane-resume.ts';
import type { Checkpoint, DdlEvent } from '#src/model/position.ts';
import type { SlotState } from '#src/ports/sink.ts';
import type { History, RowChange } from './history.ts';

/** Lanes of every span. */
export const laneCount = 2;

interface Slot {
  token: number;
  readonly lanes: SlotState[];
}

/** A change with the time of its transaction. */
export interface TimedChange extends RowChange {
  readonly ts: number;
}

/** What one lane of a batch commits. */
export interface LaneBatch {
  readonly span: string;
  readonly token: number;
  readonly lane: number;
  readonly changes: readonly TimedChange[];
  readonly ts: number;
  readonly base: number;
  readonly lanes: number;
  readonly batch: string;
  readonly idempotent: boolean;
}

/** The database. */
export class Downstream {
  readonly #history: History;
  readonly versions = new Map<string, number>();
  readonly slots = new Map<string, Slot>();
  readonly ddlDone = new Set<number>();
  feedToken = -1;
  checkpoint: Checkpoint | null = null;

  constructor(history: History) {
    this.#history = history;
  }

  /** The feed's own slot; false when a token ≥ `token` is there. */
  raiseFeed(token: number): boolean {
    if (this.feedToken >= token) return false;
    this.feedToken = token;
    return true;
  }

  /** The lanes of a span under a new token; null when fenced. */
  raiseSpan(span: string, token: number, ts: number): readonly SlotState[] | null {
    let slot = this.slots.get(span);
    if (slot === undefined) {
      const lanes = Array.from({ length: laneCount }, (_, lane): SlotState => ({
        slot: lane,
        lane,
        seq: 0,
        ts,
        base: ts,
        lanes: 1,
      }));
      slot = { token, lanes };
      this.slots.set(span, slot);
    }
    if (slot.token > token) return null;
    slot.token = token;
    return slot.lanes;
  }

  /** One lane's transaction; false when fenced. */
  commitLane(batch: LaneBatch): boolean {
    const slot = this.slots.get(batch.span);
    assert(slot !== undefined, 'a slot is made before anything is applied');
    if (slot.token !== batch.token) return false;
    const { redoTs } = resumeOf(slot.lanes, 0);
    for (const change of batch.changes) this.#write(change, batch.idempotent);
    const { lane, ts, base, lanes } = batch;
    const seq = slot.lanes[lane]!.seq + 1;
    slot.lanes[lane] = {
      slot: lane,
      lane,
      seq,
      ts,
      base,
      lanes,
      batch: batch.batch,
      ...(batch.idempotent && redoTs > ts ? { redoTs } : {}),
    };
    return true;
  }

  /** Saves a checkpoint; false when fenced. */
  save(token: number, checkpoint: Checkpoint): boolean {
    if (token !== this.feedToken) return false;
    const { ts } = checkpoint.position;
    assert(ts >= (this.checkpoint?.position.ts ?? 0), 'a saved checkpoint never goes back');
    this.assertApplied(ts, 'a saved checkpoint');
    this.checkpoint = checkpoint;
    return true;
  }

  /** Runs a DDL once; null when fenced, else whether it ran now. */
  runDdl(token: number, ddl: DdlEvent): boolean | null {
    if (token !== this.feedToken) return null;
    if (this.ddlDone.has(ddl.ts)) return false;
    this.assertApplied(ddl.ts, 'a DDL');
    const before = this.#history.versionsAt(ddl.ts);
    for (const [row, version] of this.versions)
      assert(version <= (before.get(row) ?? 0), `${row} has seen changes behind the DDL ${ddl.ts}`);
    this.ddlDone.add(ddl.ts);
    return true;
  }

  /** Nothing with commitTs ≤ `ts` is missing (P2). */
  assertApplied(ts: number, what: string): void {
    for (const [row, version] of this.#history.versionsAt(ts)) {
      const found = this.versions.get(row) ?? 0;
      assert(found >= version, `${what} at ${ts} passes ${row}: ${found} of ${version}`);
    }
  }

  #write(change: TimedChange, idempotent: boolean): void {
    const row = `${change.span} ${change.key}`;
    const found = this.versions.get(row) ?? 0;
    if (!idempotent)
      assert(found === change.from, `${row} is at ${found}, its change from ${change.from}`);
    else assert(found >= change.from, `${row} is at ${found}, before ${change.from}`);
    this.versions.set(row, Math.max(found, change.from + 1));
  }
}
