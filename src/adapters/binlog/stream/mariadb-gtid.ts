import { fail } from '../../../base/failure.ts';
import { ByteReader } from './byte-reader.ts';
import type { LogEvent } from './log-event.ts';

/** A MariaDB global transaction id. */
export interface MariadbGtid {
  readonly domain: number;
  readonly server: number;
  readonly sequence: number;
}

/** The flags of a MariaDB GTID event that decide how its group is read. */
export interface MariadbGroupStart {
  readonly gtid: MariadbGtid;
  /** The group is one statement without an end of its own. */
  readonly standalone: boolean;
  /** The group contains DDL. */
  readonly ddl: boolean;
  /** The group ends in XA PREPARE: nothing is committed yet. `xid` names it. */
  readonly preparedXa: boolean;
  /** The group is the XA COMMIT or XA ROLLBACK of an earlier one. */
  readonly completedXa: boolean;
  readonly xid: string;
  /** Part of a two-phase ALTER (`binlog_alter_two_phase`). */
  readonly alter: 'start' | 'commit' | 'rollback' | undefined;
}

const flag = { standalone: 1, groupCommit: 2, ddl: 32, preparedXa: 64, completedXa: 128 } as const;
const extraFlag = { multiEngine: 1, startAlter: 2, commitAlter: 4, rollbackAlter: 8 } as const;

/** Reads a MariaDB GTID event (162). */
export function readMariadbGtid(event: LogEvent): MariadbGroupStart {
  const reader = new ByteReader(event.bytes, 'GTID event', event.bodyStart, event.bodyEnd);
  const sequence = reader.u64();
  const domain = reader.u32();
  const flags = reader.u8();
  if ((flags & flag.groupCommit) !== 0) reader.skip(8);
  let xid = '';
  if ((flags & (flag.preparedXa | flag.completedXa)) !== 0) xid = readXid(reader);
  let extra = 0;
  // Short events are padded to 19 bytes with zeros, which read as "no extra flags".
  if (reader.remaining > 0) extra = reader.u8();
  return {
    gtid: { domain, server: event.serverId, sequence },
    standalone: (flags & flag.standalone) !== 0,
    ddl: (flags & flag.ddl) !== 0,
    preparedXa: (flags & flag.preparedXa) !== 0,
    completedXa: (flags & flag.completedXa) !== 0,
    xid,
    alter:
      (extra & extraFlag.startAlter) !== 0
        ? 'start'
        : (extra & extraFlag.commitAlter) !== 0
          ? 'commit'
          : (extra & extraFlag.rollbackAlter) !== 0
            ? 'rollback'
            : undefined,
  };
}

/** The same transaction has the same text, whatever way the log writes its xid. */
function readXid(reader: ByteReader): string {
  const format = reader.u32();
  const globalBytes = reader.u8();
  const branchBytes = reader.u8();
  return xidText(format, reader.raw(globalBytes), reader.raw(branchBytes));
}

/** The name of an XA transaction, from its parts. */
export function xidText(format: number, global: Uint8Array, branch: Uint8Array): string {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return `${hex(global)}.${hex(branch)}.${format}`;
}

/** `domain-server-sequence`. */
export function printMariadbGtid(gtid: MariadbGtid): string {
  return `${gtid.domain}-${gtid.server}-${gtid.sequence}`;
}

/** Reads a comma-separated list of `domain-server-sequence`; CONFIG_INVALID when it is anything else. */
export function parseMariadbGtids(text: string): readonly MariadbGtid[] {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  return trimmed.split(',').map((part) => {
    const match = /^\s*(\d{1,10})-(\d{1,10})-(\d{1,16})\s*$/.exec(part);
    if (match === null) {
      return fail('CONFIG_INVALID', 'a MariaDB GTID has the form domain-server-sequence');
    }
    const [domain, server, sequence] = match.slice(1).map(Number);
    if (!Number.isSafeInteger(sequence)) fail('CONFIG_INVALID', 'GTID sequence of 2^53 or more');
    return { domain: domain!, server: server!, sequence: sequence! };
  });
}
