import type { RowsRecord } from './chunk-builder.ts';
import type { GroupStart } from './log-clock.ts';

/** Sizes from which a group is handed over in parts. */
export interface SpillBounds {
  /** Bytes of its own rows. */
  readonly rowBytes: number;
  /** Bytes of log, own rows or not: what views of packets keep in memory. */
  readonly logBytes: number;
}

/** A group under way. */
export interface OpenGroup {
  readonly start: GroupStart;
  /** True once a BEGIN was seen or implied: the group ends by XID or COMMIT. */
  explicit: boolean;
  /** Set when the group will end in XA PREPARE. */
  xid: string | undefined;
  readonly rows: RowsRecord[];
  rowBytes: number;
  logBytes: number;
  /** Rows events of replicated tables so far, to judge rollbacks. */
  rowsCount: number;
  streaming: boolean;
  readonly savepoints: Map<string, number>;
}

/** A group that has just begun. */
export function openGroup(start: GroupStart): OpenGroup {
  return {
    start,
    explicit: start.standalone === false,
    xid: start.preparedXid,
    rows: [],
    rowBytes: 0,
    logBytes: 0,
    rowsCount: 0,
    streaming: false,
    savepoints: new Map(),
  };
}
