import { fail } from '../../base/failure.ts';
import type { Position } from '../../model/position.ts';
import { GtidSet } from '../binlog/stream/gtid-set.ts';
import type { LogEvent } from '../binlog/stream/log-event.ts';
import { eventType } from '../binlog/stream/event-type.ts';
import { printMysqlGtid, readMysqlGtid, type MysqlGtid } from '../binlog/stream/mysql-gtid.ts';
import { fileNumber } from '../binlog/stream/rotate-event.ts';
import type { GroupStart, LogClock } from './log-clock.ts';

const offsetsPerFile = 2 ** 32;
/** commitTs stays below 2^53 up to this file number. */
const fileNumberMax = 2 ** 21 - 1;

/** commitTs of a group that begins at `offset` of `file`, on a server whose segment has `fileBase`. */
export function mysqlTs(fileBase: number, file: string, offset: number): number {
  const number = fileBase + fileNumber(file);
  if (number < 0 || number > fileNumberMax) {
    fail('SOURCE_UNSUPPORTED', `binary log number ${number} does not fit a position`);
  }
  if (offset >= offsetsPerFile) {
    fail('SOURCE_UNSUPPORTED', `a transaction begins at offset ${offset} of ${file}, above 4 GiB`);
  }
  return number * offsetsPerFile + offset;
}

/** Number of the file (fileBase included) in which a commitTs lies. */
export function fileOfTs(ts: number): number {
  return Math.floor(ts / offsetsPerFile);
}

/**
 * MySQL's clock: commitTs is file and offset of the GTID event on the server's timeline segment. The GTID set holds all
 * complete groups; a prepared XA transaction is added when it ends, so a restart gets it, and only it, again. `until` is the
 * set of all groups that are wanted; null for all.
 */
export class MysqlClock implements LogClock {
  readonly #fileBase: number;
  readonly #startTs: number;
  readonly #executed: GtidSet;
  #executedText: string | undefined;
  #ts: number;
  #file: string | undefined;
  #offset: number | undefined;
  /** Last commitTs read, complete or not; it must rise. */
  #readTs = -1;
  #current: MysqlGtid | undefined;
  readonly #held = new Map<string, MysqlGtid>();
  readonly #until: GtidSet | null;
  #isAtEnd: boolean;

  constructor(start: Position, fileBase: number, until: string | null = null) {
    this.#fileBase = fileBase;
    this.#startTs = start.ts;
    this.#ts = start.ts;
    this.#executed = GtidSet.parse(start.gtid);
    this.#until = until === null ? null : GtidSet.parse(until);
    this.#isAtEnd = this.#hasAll();
    this.#file = start.file;
    this.#offset = start.offset;
  }

  begin(event: LogEvent, file: string, offset: number): GroupStart {
    if (event.type === eventType.anonymousGtid) {
      fail('SOURCE_UNSUPPORTED', 'the log has a transaction without GTID: start after it');
    }
    const gtid = readMysqlGtid(event);
    this.#current = gtid;
    const ts = mysqlTs(this.#fileBase, file, offset);
    if (ts <= this.#readTs) {
      fail(
        'SOURCE_CORRUPT',
        `a transaction at ${file} ${offset} does not lie behind the last one`,
        {
          retry: 'Reconnect',
        },
      );
    }
    this.#readTs = ts;
    const micros = gtid.immediateMicros;
    return {
      ts,
      commitMs: micros > 0 ? Math.floor(micros / 1000) : event.timestamp * 1000,
      gtid: printMysqlGtid(gtid),
      seen: ts <= this.#startTs,
      standalone: undefined,
      preparedXid: undefined,
      completedXid: undefined,
      alter: undefined,
    };
  }

  complete(_group: GroupStart, file: string, offset: number): void {
    const gtid = this.#current;
    if (gtid !== undefined) this.#add(gtid);
    this.#current = undefined;
    this.idle(file, offset);
  }

  hold(_group: GroupStart, xid: string): void {
    if (this.#current !== undefined) this.#held.set(xid, this.#current);
    this.#current = undefined;
  }

  release(xid: string): void {
    const gtid = this.#held.get(xid);
    if (gtid === undefined) return;
    this.#held.delete(xid);
    this.#add(gtid);
  }

  idle(file: string, offset: number): void {
    this.#file = file;
    this.#offset = offset;
    // The next group begins here at the earliest, so all before is complete.
    this.#ts = Math.max(
      this.#ts,
      mysqlTs(this.#fileBase, file, Math.min(offset, offsetsPerFile - 1)) - 1,
    );
  }

  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  position(): Position {
    this.#executedText ??= this.#executed.toString();
    return {
      ts: this.#ts,
      gtid: this.#executedText,
      ...(this.#file === undefined ? {} : { file: this.#file }),
      ...(this.#offset === undefined ? {} : { offset: this.#offset }),
    };
  }

  #add(gtid: MysqlGtid): void {
    this.#executed.add(gtid.source, gtid.number);
    this.#executedText = undefined;
    this.#isAtEnd = this.#hasAll();
  }

  #hasAll(): boolean {
    return this.#until !== null && this.#executed.contains(this.#until);
  }
}
