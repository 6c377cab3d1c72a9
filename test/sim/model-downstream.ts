/**
 * A quick model of the downstream: rows with versions and the fenced slots. It checks every write: a row only ever moves
 * from the version the change began with.
 */
import assert from 'node:assert/strict';
import { resumeOf } from '#src/model/lane-resume.ts';
import type { Checkpoint, DdlEvent } from '#src/model/position.ts';
import { isPart, spanRange, spansOverlap } from '#src/model/span.ts';
import type { SinkRequest, SlotState } from '#src/ports/sink.ts';
import { rowName, type History, type RowChange } from './history.ts';
import { ModelSink } from './model-sink.ts';
import {
  assertApplied,
  assertHappened,
  type SimDownstream,
  type SinkPlace,
} from './sim-downstream.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import type { Mishap } from './sql/sim-machine.ts';
import type { World } from './world.ts';

interface Slot {
  token: number;
  lanes: SlotState[];
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

type Reslot = Extract<SinkRequest, { kind: 'Reslot' }>;

/** The database. */
export class ModelDownstream implements SimDownstream {
  readonly versions = new Map<string, number>();
  readonly slots = new Map<string, Slot>();
  readonly ddlDone: number[] = [];
  feedToken = -1;
  checkpoint: Checkpoint | null = null;
  /** Counts restarts: a connection of an earlier one is gone. */
  restartCount = 0;
  writer = '';
  readonly #world: World;
  readonly #history: History;
  readonly #weather: PortWeather;
  readonly #laneCount: number;
  readonly #mishaps: Mishap[] = [];

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

  breakNext(mishap: Mishap): void {
    this.#mishaps.push(mishap);
  }

  /** What the batch that is sent now meets; undefined for nothing but the weather. */
  takeMishap(): Mishap | undefined {
    return this.#mishaps.shift();
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
    if (this.feedToken > token) {
      this.#world.mark('span raise refused');
      return null;
    }
    if (slot === undefined) {
      if ([...this.slots.keys()].some((other) => spansOverlap(other, span))) {
        this.#world.mark('late raise of a divided table refused');
        return null;
      }
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

  /** Nothing of an earlier token commits from here on; false when fenced. */
  retire(token: number): boolean {
    const slots = [...this.slots.values()];
    if (Math.max(this.feedToken, ...slots.map((slot) => slot.token)) > token) return false;
    for (const slot of slots) slot.token = token;
    if (this.feedToken >= 0) this.feedToken = token;
    this.#world.mark('feed retired');
    return true;
  }

  /** Parts of tables that are split. */
  parts(): readonly string[] {
    return [...this.slots.keys()].filter(isPart);
  }

  /** Divides the slots of a table; false when fenced. Done before: nothing happens. */
  reslot(request: Reslot): boolean {
    const { token, spanToken, from, to } = request;
    if (token !== this.feedToken) return false;
    const isThere = (span: string): boolean => this.slots.has(span);
    if (to.every(isThere) && !from.some(isThere)) return true;
    if (!from.every(isThere) || to.some(isThere)) return false;
    const sources = from.map((span) => ({ span, ...this.slots.get(span)! }));
    if (sources.some((source) => source.token > spanToken)) return false;
    for (const span of from) this.slots.delete(span);
    for (const span of to)
      this.slots.set(span, {
        token: spanToken,
        lanes: joined(sources.filter((source) => spansOverlap(source.span, span))),
      });
    this.#world.mark(from.length < to.length ? 'table split' : 'table merged');
    return true;
  }

  /** One lane's transaction; false when the guard refuses it. */
  commitLane(batch: LaneBatch): boolean {
    const slot = this.slots.get(batch.span);
    if (slot === undefined) {
      // Its rows were given to parts of the table, or back to the whole.
      this.#world.mark('guard refused: no slot');
      return false;
    }
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
      parts: (before.parts ?? []).filter((part) => part.ts > ts),
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

/** The lanes of a span that goes on for these: where the hindmost stands, knowing what the others had applied. */
function joined(
  sources: readonly { readonly span: string; readonly lanes: SlotState[] }[],
): SlotState[] {
  const at = sources.map((source) => ({ ...source, ...resumeOf(source.lanes, 0) }));
  const base = at.reduce((least, one) => (one.startTs < least.startTs ? one : least));
  const others = at.filter((one) => one !== base);
  const redoTs = Math.max(0, ...others.map((one) => (one.redoTs > one.startTs ? one.redoTs : 0)));
  const ahead = others.map((one) => ({ ...spanRange(one.span), ts: one.startTs }));
  const known = at.flatMap(({ lanes }) => lanes.flatMap((lane) => lane.parts ?? []));
  return base.lanes.map((lane) => ({
    ...lane,
    ...(redoTs > lane.ts ? { redoTs: Math.max(redoTs, lane.redoTs ?? 0) } : {}),
    parts: [...known, ...ahead].filter((part) => part.ts > lane.ts),
  }));
}
