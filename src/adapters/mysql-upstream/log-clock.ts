/**
 * Places in the upstream's history (DESIGN §8): gives each group its commitTs, and knows the position behind the last
 * complete one. One implementation for each family of servers.
 */
import type { Position } from '../../model/position.ts';
import type { LogEvent } from '../binlog/stream/log-event.ts';

/** What a GTID event says about the group it begins. */
export interface GroupStart {
  readonly ts: number;
  /** Server time of the commit, milliseconds. */
  readonly commitMs: number;
  readonly gtid: string;
  /** Handed over before this stream began: its rows are dropped. */
  readonly seen: boolean;
  /** The group is one statement and ends with it; undefined: its first statement tells. */
  readonly standalone: boolean | undefined;
  /** XA transaction that this group prepares, or ends; undefined when it is none, or when a statement tells. */
  readonly preparedXid: string | undefined;
  readonly completedXid: string | undefined;
  /** Phase of a two-phase ALTER. */
  readonly alter: 'start' | 'commit' | 'rollback' | undefined;
}

/** Knows where the reader stands. */
export interface LogClock {
  /** Reads the GTID event of a group. `file` and `offset` are where it begins. */
  begin(event: LogEvent, file: string, offset: number): GroupStart;
  /** The group ended at `offset` of `file`. */
  complete(group: GroupStart, file: string, offset: number): void;
  /** The group was XA PREPARE: it must be read again after a restart until `release`. Ends the group as well. */
  hold(group: GroupStart, xid: string): void;
  /** The prepared transaction was committed or rolled back. */
  release(xid: string): void;
  /** The reader stands here between groups. */
  idle(file: string, offset: number): void;
  /** The position behind the last complete group. */
  position(): Position;
  /** What was to be read has been read: nothing behind {@link position} is wanted. */
  readonly isAtEnd: boolean;
}
