/** When a changefeed counts as synced (FEATURES 1.4), milliseconds. */
export interface SyncedBounds {
  /** Nothing was changed upstream for longer than this. */
  readonly quietMs: number;
  /** The checkpoint is less than this behind. */
  readonly lagMs: number;
}

/** The reference's. */
export const syncedBounds: SyncedBounds = { quietMs: 300_000, lagMs: 15_000 };
