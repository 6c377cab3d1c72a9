/**
 * A place in the upstream's history (DESIGN §8). `ts` orders positions and is exact below 2^53; `gtid` is what a restart
 * asks the server for: MariaDB `domain-server-seq`, MySQL a GTID set. `file` and `offset` say where the server had it
 * (for people, and for MySQL without GTID).
 */
export interface Position {
  /** commitTs: every transaction with commitTs ≤ ts is at or before this position. */
  readonly ts: number;
  readonly gtid: string;
  readonly file?: string;
  readonly offset?: number;
}

/**
 * One stretch of upstream history on one server (DESIGN §8). MySQL only: commitTs =
 * (fileBase + binlog file number) · 2^32 + offset of the GTID event. `server` is its server_uuid.
 */
export interface TimelineSegment {
  readonly server: string;
  readonly fileBase: number;
  /** GTID set at the start of the segment. */
  readonly firstGtid: string;
}

/** The stored form of a checkpoint: the position plus what is needed to read on from it. */
export interface Checkpoint {
  readonly version: 1;
  readonly position: Position;
  /** Empty for MariaDB. */
  readonly timeline: readonly TimelineSegment[];
}

/** State of its session that a statement depends on, as its event in the log says; absent when not logged. */
export interface StatementSession {
  readonly sqlMode?: number;
  /** Collation ids. */
  readonly charset?: {
    readonly client: number;
    readonly connection: number;
    readonly server: number;
  };
  readonly timeZone?: string;
  /** MySQL and MariaDB `explicit_defaults_for_timestamp`. */
  readonly explicitDefaultsForTimestamp?: boolean;
}

/** A DDL statement as the log has it. It is a transaction of its own at `ts`. */
export interface DdlEvent extends StatementSession {
  readonly ts: number;
  readonly gtid: string;
  /** Server time of the statement, milliseconds. */
  readonly commitMs: number;
  /** Default database of the session; empty when none. */
  readonly schema: string;
  readonly sql: string;
}
