/** What the coordination store says of each capture: its key, bound to its session, and its record, which is not. Pure. */
import { readCaptureInfo, type CaptureInfo } from '#src/model/capture-info.ts';
import { readCoordinationKey } from '#src/model/coordination-key.ts';
import { removalDelayMs } from '#src/model/session-deadline.ts';
import type { KeyValue } from '#src/ports/coordination.ts';

/** One capture; at least one of the two is there. */
export interface CaptureEntry {
  readonly captureId: string;
  readonly key: KeyValue | null;
  readonly record: KeyValue | null;
}

/** Captures by id. */
export type CaptureTable = ReadonlyMap<string, CaptureEntry>;

/**
 * How a capture stands. `alive`: key, not write-stopped. `lingering`: its record alone, it went without a word. `gone`: it said
 * that it has stopped writing.
 */
export type Standing = 'alive' | 'lingering' | 'gone';

/** The table of a whole list. */
export function tableOf(clusterId: string, entries: readonly KeyValue[]): CaptureTable {
  return withChanges(clusterId, new Map(), entries);
}

/** The table after changes, in order. Keys that are none of a capture change nothing. */
export function withChanges(
  clusterId: string,
  table: CaptureTable,
  changes: readonly KeyValue[],
): CaptureTable {
  const next = new Map(table);
  for (const change of changes) {
    const about = readCoordinationKey(clusterId, change.key);
    if (about?.kind !== 'capture' && about?.kind !== 'capture-record') continue;
    const { captureId } = about;
    const found = next.get(captureId) ?? { captureId, key: null, record: null };
    const value = change.value === null ? null : change;
    const entry: CaptureEntry =
      about.kind === 'capture' ? { ...found, key: value } : { ...found, record: value };
    if (entry.key === null && entry.record === null) next.delete(captureId);
    else next.set(captureId, entry);
  }
  return next;
}

/** How the capture stands. A key that cannot be read is that of a later version: alive as long as its session. */
export function standingOf(entry: CaptureEntry): Standing {
  if (entry.key === null) return entry.record === null ? 'gone' : 'lingering';
  return infoOf(entry)?.isWriteStopped === true ? 'gone' : 'alive';
}

/** What the capture says about itself, by its key or else its record; null when that cannot be read. */
export function infoOf(entry: CaptureEntry): CaptureInfo | null {
  const text = (entry.key ?? entry.record)?.value;
  return text === undefined || text === null ? null : readCaptureInfo(text);
}

/** How long a lingering capture stays in view, milliseconds. */
export function lingerMs(entry: CaptureEntry): number {
  const info = infoOf(entry);
  // Of whom nothing can be read, the longest is assumed that a session of the default length asks for.
  return info === null ? removalDelayMs(10_000) : removalDelayMs(info.ttlMs);
}
