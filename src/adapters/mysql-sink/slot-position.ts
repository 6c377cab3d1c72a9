import { fail } from '#src/base/failure.ts';

import type { Checkpoint } from '#src/model/position.ts';
import type { PartProgress, SlotState } from '#src/ports/sink.ts';
import type { SlotRow } from './slot.ts';

/** What a lane's slot row says in `pos`. */
export interface LanePosition {
  readonly ts: number;
  readonly gtid: string;
  readonly base: number;
  readonly lanes: number;
  /** Present while a cut batch is being replayed: up to here the downstream may hold changes already. Above `ts`. */
  readonly redoTs?: number;
  /** Of a span that was joined of parts: keys in these buckets are applied so far. Those not above `ts` are left out. */
  readonly parts?: readonly PartProgress[];
  /** Names the batch that wrote this row, never used twice: a commit whose answer was lost is recognised by it. */
  readonly by: string;
}

/** Lane position as stored. Fields in a fixed order: a read-back compares the text. */
export function encodePosition(position: LanePosition): string {
  const { ts, gtid, base, lanes, redoTs, by } = position;
  const redo = redoTs !== undefined && redoTs > ts ? { redoTs } : {};
  const ahead = (position.parts ?? []).filter((part) => part.ts > ts);
  const parts = ahead.length > 0 ? { parts: ahead } : {};
  return JSON.stringify({ ts, gtid, base, lanes, ...redo, ...parts, by });
}

/** The state of a lane from its row. */
export function readLane(row: SlotRow): SlotState {
  const pos = parse(row.pos);
  const ts = count(pos['ts'], row);
  const base = count(pos['base'], row);
  const lanes = count(pos['lanes'], row);
  const redo = pos['redoTs'];
  const batch = String(pos['by']);
  const state = { slot: row.slot, lane: row.lane, seq: row.seq, ts, base, lanes, batch };
  const parts = readParts(pos['parts'], row);
  return {
    ...state,
    ...(redo === undefined ? {} : { redoTs: count(redo, row) }),
    ...(parts.length > 0 ? { parts } : {}),
  };
}

function readParts(value: unknown, row: SlotRow): readonly PartProgress[] {
  if (value === undefined) return [];
  const parts: readonly unknown[] = Array.isArray(value) ? value : [null];
  return parts.map((part) => {
    const { from, to, ts } = (part ?? {}) as Record<string, unknown>;
    return { from: count(from, row), to: count(to, row), ts: count(ts, row) };
  });
}

/** The checkpoint as stored in slot 0; `by` as in {@link LanePosition}. */
export function encodeCheckpoint(checkpoint: Checkpoint, by: string): string {
  const { version, position, timeline } = checkpoint;
  return JSON.stringify({ ts: position.ts, version, position, timeline, by });
}

/** The checkpoint in slot 0, null before the first was saved. */
export function readCheckpoint(row: SlotRow): Checkpoint | null {
  if (row.pos === '') return null;
  const stored = parse(row.pos);
  const { version, position, timeline } = stored;
  if (version !== 1 || typeof position !== 'object' || !Array.isArray(timeline)) {
    return fail('SINK_REFUSED', 'the stored checkpoint was written by another version of Sluice');
  }
  return { version, position, timeline } as Checkpoint;
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Falls through: the same answer for everything that is not ours.
  }
  return fail('SINK_REFUSED', 'a slot row holds a position that Sluice did not write');
}

function count(value: unknown, row: SlotRow): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  return fail('SINK_REFUSED', `slot ${row.slot} holds a position that Sluice did not write`);
}
