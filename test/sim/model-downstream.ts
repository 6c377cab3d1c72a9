/**
 * A quick model of the downstream: rows with versions and the fenced slots. It checks every write: a row only ever moves
 * from the version the change began with.
 */
import assert from 'node:assert/strict';
import { resumeOf } from '#src/model/lane-resume.ts';
import type { Checkpoint, DdlEvent } from '#src/model/position.ts';
import type { SlotState } from '#src/ports/sink.ts';
import { rowName, type History, type RowChange } from './history.ts';
import { ModelSink } from './model-sink.ts';
import {
  assertApplied,
  assertHappened,
  type SimDownstream,
  type SinkPlace,
} from './sim-downstream.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import type { World } from './world.ts';

interface Slot {
  token: number;
  readonly lanes: SlotState[];
}

/** A change with the time of its transaction. */
export interface TimedChange extends RowChange {
  readonly ts: number;
}

/** What one lane of a batch commits, behind the guard of its slot. */
export interface LaneBatch {
  readonly span: string;
  readonly token: number;
  readonly lane: number;
  /** The slot's number of commits before this one. */
  readonly seq: number;
  readonly changes: readonly TimedChange[];
  readonly ts: number;
  readonly base: number;
  readonly lanes: number;
  readonly batch: string;
  readonly idempotent: boolean;
}

/** The database. */
export class ModelDownstream implements SimDownstream {
  readonly versions = new Map<string, number>();
  readonly slots = new Map<string, Slot>();
  readonly ddlDone: number[] = [];
  feedToken = -1;
  checkpoint: Checkpoint | null = null;
  /** Counts restarts: a connection of an earlier one is gone. */
  restartCount = 0;
  readonly #world: World;
  readonly #history: History;
  readonly #weather: PortWeather;
  readonly #laneCount: number;

  constructor(world: World, history: History, weather: PortWeather, laneCount: number) {
    this.#world = world;
    this.#history = history;
    this.#weather = weather;
    this.#laneCount = laneCount;
  }

  /** The sink of a thread. */
  open(place: SinkPlace): LivingPort {
    return new ModelSink(this.#world, this, this.#weather, this.#laneCount, place);
  }

  checkpointTs(): number {
    return this.checkpoint?.position.ts ?? 0;
  }

  restart(): void {
    this.restartCount++;
  }

  /** The feed's own slot; false when a token ≥ `token` is there (I-6). */
  raiseFeed(token: number): boolean {
    if (this.feedToken >= token) {
      this.#world.mark('feed raise refused');
      return false;
    }
    if (this.feedToken >= 0) this.#world.mark('takeover of a feed');
    this.feedToken = token;
    return true;
  }

  /** The lanes of a span under a new token; null when fenced. */
  raiseSpan(span: string, token: number, ts: number): readonly SlotState[] | null {
    let slot = this.slots.get(span);
    if (slot === undefined) {
      const lanes = Array.from({ length: this.#laneCount }, (_, lane): SlotState => ({
        slot: lane,
        lane,
        seq: 0,
        ts,
        base: ts,
        lanes: 1,
      }));
      slot = { token: -1, lanes };
      this.slots.set(span, slot);
    }
    if (slot.token > token) {
      this.#world.mark('span raise refused');
      return null;
    }
    assert(slot.token !== token, `${span}: token ${token} was given twice (I-7)`);
    slot.token = token;
    return slot.lanes.map((lane) => ({ ...lane }));
  }

  /** One lane's transaction; false when the guard refuses it. */
  commitLane(batch: LaneBatch): boolean {
    const slot = this.slots.get(batch.span);
    assert(slot !== undefined, 'a slot is made before anything is applied');
    const before = slot.lanes[batch.lane]!;
    if (slot.token !== batch.token || before.seq !== batch.seq) {
      this.#world.mark('guard refused');
      return false;
    }
    const { redoTs } = resumeOf(slot.lanes, 0);
    if (!batch.idempotent)
      assert(batch.ts > before.ts, `${batch.span} goes from ${before.ts} to ${batch.ts} (I-3)`);
    for (const change of batch.changes) this.#write(change, batch.idempotent);
    const { lane, ts, base, lanes } = batch;
    slot.lanes[lane] = {
      slot: lane,
      lane,
      seq: before.seq + 1,
      ts,
      base,
      lanes,
      batch: batch.batch,
      ...(batch.idempotent && redoTs > ts ? { redoTs } : {}),
    };
    return true;
  }

  /** Saves a checkpoint; false when fenced. A lower one changes nothing (I-23). */
  save(token: number, checkpoint: Checkpoint): boolean {
    if (token !== this.feedToken) {
      this.#world.mark('checkpoint of an earlier owner refused');
      return false;
    }
    const { ts } = checkpoint.position;
    if (ts <= this.checkpointTs() && this.checkpoint !== null) return true;
    assertApplied(this.#history, this.versions, ts, 'a saved checkpoint');
    this.checkpoint = checkpoint;
    return true;
  }

  /** Runs a DDL once; null when fenced, else whether it ran now. */
  runDdl(token: number, ddl: DdlEvent): boolean | null {
    if (token !== this.feedToken) return null;
    if (this.ddlDone.includes(ddl.ts)) {
      this.#world.mark('DDL found done');
      return false;
    }
    assertApplied(this.#history, this.versions, ddl.ts - 1, 'a DDL');
    // After a lost tail the history no longer tells what was applied.
    for (const [row, version] of this.#history.isTruncated ? [] : this.versions) {
      const wanted = this.#history.versionAt(row, ddl.ts - 1);
      assert(version <= wanted, `${row} has seen changes behind the DDL ${ddl.ts} (I-16)`);
    }
    this.#world.mark('DDL ran');
    this.ddlDone.push(ddl.ts);
    return true;
  }

  #write(change: TimedChange, idempotent: boolean): void {
    const row = rowName(change.span, change.key);
    const { from, ts } = change;
    const found = this.versions.get(row) ?? 0;
    assertHappened(this.#history, row, from, ts, 'a commit');
    if (!idempotent)
      assert(found === from, `${row} is at ${found}, its change at ${ts} from ${from}`);
    else assert(found >= from, `${row} is at ${found}, its repeated change at ${ts} from ${from}`);
    // A replay writes final states: a row may go back to what it was, until the replay is through.
    if (idempotent && found > from + 1) this.#world.mark('row written again');
    this.versions.set(row, from + 1);
  }
}
