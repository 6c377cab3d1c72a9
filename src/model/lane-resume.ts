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

/**
 * The place to go on from; `completeTs` is known to be complete from elsewhere (the feed's checkpoint). A batch that all of
 * its lanes committed proves that everything up to its `ts` is applied, one that is cut still proves it for its
 * `base`: a batch begins only where all before it is complete, and a replay of a cut batch covers all of it.
 */
export function resumeOf(lanes: readonly LaneProgress[], completeTs: number): Resume {
  let startTs = completeTs;
  let redoTs = completeTs;
  for (const { ts, base, lanes: needed, batch, redoTs: redo = 0 } of lanes) {
    // Two batches may end at the same place, when the first was cut and applied again with other lanes.
    const arrived = lanes.filter((lane) => lane.ts === ts && lane.batch === batch).length;
    startTs = Math.max(startTs, arrived >= needed ? ts : base);
    redoTs = Math.max(redoTs, ts, redo);
  }
  return { startTs, redoTs: Math.max(startTs, redoTs) };
}
