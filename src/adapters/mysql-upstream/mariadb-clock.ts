import { fail } from '../../base/failure.ts';
import type { Position } from '../../model/position.ts';
import type { LogEvent } from '../binlog/stream/log-event.ts';
import {
  parseMariadbGtids,
  printMariadbGtid,
  readMariadbGtid,
} from '../binlog/stream/mariadb-gtid.ts';
import type { GroupStart, LogClock } from './log-clock.ts';

/**
 * MariaDB's clock: commitTs is the `seq_no` of the one domain. While an XA transaction is prepared and not ended, the
 * GTID to restart from stays before its PREPARE, and groups read a second time are known by their commitTs. `until` is the
 * GTID of the last group wanted; null for all.
 */
export class MariadbClock implements LogClock {
  readonly #startTs: number;
  #domain: number | undefined;
  #ts: number;
  #gtid: string;
  #file: string | undefined;
  #offset: number | undefined;
  /** Last commitTs read, complete or not; it must rise. */
  #readTs: number;
  /** GTID of the last group read to its end, handed over before or not. */
  #readGtid: string;
  /** For each prepared XA transaction, the GTID before it; in log order. */
  readonly #held = new Map<string, string>();
  readonly #untilTs: number;

  constructor(start: Position, until: string | null = null) {
    this.#untilTs = until === null ? Infinity : (parseMariadbGtids(until)[0]?.sequence ?? Infinity);
    this.#startTs = start.ts;
    this.#ts = start.ts;
    this.#gtid = start.gtid;
    this.#readGtid = start.gtid;
    const [gtid] = parseMariadbGtids(start.gtid);
    this.#domain = gtid?.domain;
    this.#readTs = gtid?.sequence ?? 0;
    this.#file = start.file;
    this.#offset = start.offset;
  }

  begin(event: LogEvent): GroupStart {
    const start = readMariadbGtid(event);
    const { gtid } = start;
    this.#domain ??= gtid.domain;
    if (gtid.domain !== this.#domain) {
      fail(
        'SOURCE_SETTING_WRONG',
        `the log has transactions of gtid_domain_id ${this.#domain} and ${gtid.domain}: set one domain for all sessions`,
      );
    }
    if (gtid.sequence <= this.#readTs) {
      fail(
        'SOURCE_DIVERGED',
        `GTID ${printMariadbGtid(gtid)} comes after sequence ${this.#readTs}: set gtid_strict_mode=ON`,
      );
    }
    this.#readTs = gtid.sequence;
    return {
      ts: gtid.sequence,
      commitMs: event.timestamp * 1000,
      gtid: printMariadbGtid(gtid),
      seen: gtid.sequence <= this.#startTs,
      standalone: start.standalone,
      preparedXid: start.preparedXa ? start.xid : undefined,
      completedXid: start.completedXa ? start.xid : undefined,
      alter: start.alter,
    };
  }

  complete(group: GroupStart, file: string, offset: number): void {
    this.#readGtid = group.gtid;
    if (group.ts > this.#ts) {
      this.#ts = group.ts;
      this.#gtid = group.gtid;
    }
    this.idle(file, offset);
  }

  hold(group: GroupStart, xid: string): void {
    if (!this.#held.has(xid)) this.#held.set(xid, this.#readGtid);
    this.#readGtid = group.gtid;
    if (group.ts > this.#ts) {
      this.#ts = group.ts;
      this.#gtid = group.gtid;
    }
  }

  release(xid: string): void {
    this.#held.delete(xid);
  }

  idle(file: string, offset: number): void {
    this.#file = file;
    this.#offset = offset;
  }

  /** Sequence numbers may have gaps: then the next group tells. */
  get isAtEnd(): boolean {
    return this.#ts >= this.#untilTs || this.#readTs > this.#untilTs;
  }

  position(): Position {
    const [held] = this.#held.values();
    return {
      ts: this.#ts,
      gtid: held ?? this.#gtid,
      ...(this.#file === undefined ? {} : { file: this.#file }),
      ...(this.#offset === undefined ? {} : { offset: this.#offset }),
    };
  }
}
