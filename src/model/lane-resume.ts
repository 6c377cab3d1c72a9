/**
 * Where a span goes on, from what its lanes have committed. Several lanes of a batch commit in transactions of their own,
 * so a crash may leave some of them behind: everything up to the batch's base is complete, and the batch itself is
 * applied once more, idempotently.
 */

/** What a lane has committed; {@link ../ports/sink.ts} SlotState. */
export interface LaneProgress {
  readonly ts: number;
  readonly base: number;
  readonly lanes: number;
  readonly redoTs?: number;
  readonly batch?: string;
}

/** Where to go on. `redoTs` ≥ `startTs`; equal when nothing has to be repeated. */
export interface Resume {
  /** Every change with commitTs ≤ startTs is applied. */
  readonly startTs: number;
  /** Changes with startTs < commitTs ≤ redoTs may be applied already. */
  readonly redoTs: number;
}

/** The place to go on from; `completeTs` is known to be complete from elsewhere (the feed's checkpoint). */
export function resumeOf(lanes: readonly LaneProgress[], completeTs: number): Resume {
  let top = 0;
  let redoTs = completeTs;
  for (const lane of lanes) {
    top = Math.max(top, lane.ts);
    redoTs = Math.max(redoTs, lane.ts, lane.redoTs ?? 0);
  }
  const newest = lanes.filter((lane) => lane.ts === top);
  let startTs = completeTs;
  if (newest.length > 0) {
    // Two batches may end at the same place, when the first was cut and applied again with other lanes.
    const isComplete = newest.some(
      ({ batch, lanes: needed }) => newest.filter((lane) => lane.batch === batch).length >= needed,
    );
    const safeTs = isComplete ? top : Math.min(...newest.map((lane) => lane.base));
    startTs = Math.max(completeTs, safeTs);
  }
  return { startTs, redoTs: Math.max(startTs, redoTs) };
}
