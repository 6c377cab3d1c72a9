import { inflateSync } from 'node:zlib';
import { fail } from '../../../base/failure.ts';
import type { StatementSession } from '../../../model/position.ts';
import { ByteReader } from './byte-reader.ts';

/** A statement as the log has it, with the session state it ran in. */
export interface QueryEvent extends StatementSession {
  /** Default database; empty when none. */
  readonly schema: string;
  /** The statement in the character set of the client that sent it. */
  readonly statement: Uint8Array;
  readonly errorNumber: number;
  /** Option bits of the session (foreign_key_checks and others); absent when not logged. */
  readonly options?: number;
}

type SessionState = Omit<QueryEvent, 'schema' | 'statement' | 'errorNumber'>;
type Session = { -readonly [Key in keyof SessionState]: SessionState[Key] };

/** Bytes of each status variable of fixed size, by code. */
const fixedBytes: Readonly<Record<number, number>> = {
  3: 4, // auto_increment
  7: 2, // lc_time_names
  8: 2, // charset_database
  9: 8, // tables for update
  10: 4, // master data written
  13: 3, // microseconds
  14: 8,
  15: 8,
  17: 8, // xid of the DDL
  18: 2, // default collation of utf8mb4
  19: 1, // sql_require_primary_key
  20: 1, // default table encryption
  128: 3, // microseconds (MariaDB)
  129: 8, // xid of the DDL (MariaDB)
};

/** Reads a QUERY event (2), or with `compressed` a QUERY_COMPRESSED event (165) unpacked to at most `byteCountMax`. */
export function readQuery(body: Uint8Array, compressed: boolean, byteCountMax: number): QueryEvent {
  const reader = new ByteReader(body, 'QUERY event');
  reader.skip(8);
  const schemaBytes = reader.u8();
  const errorNumber = reader.u16();
  const statusBytes = reader.u16();
  const session = readSession(new ByteReader(reader.raw(statusBytes), 'QUERY status'));
  const schema = reader.text(schemaBytes);
  reader.skip(1);
  const rest = reader.rest();
  const statement = compressed ? unpackStatement(rest, byteCountMax) : rest;
  return { schema, statement, errorNumber, ...session };
}

function readSession(reader: ByteReader): Session {
  const session: Session = {};
  while (reader.remaining > 0) {
    const code = reader.u8();
    const fixed = fixedBytes[code];
    if (fixed !== undefined) reader.skip(fixed);
    // Codes of newer servers have sizes nobody here knows; they stand last, and what we need stands before them.
    else if (!readVariable(code, reader, session)) return session;
  }
  return session;
}

function readVariable(code: number, reader: ByteReader, session: Session): boolean {
  switch (code) {
    case 0:
      session.options = reader.u32();
      return true;
    case 1:
      session.sqlMode = reader.u64();
      return true;
    case 2: {
      const length = reader.u8();
      reader.skip(length + 1);
      return true;
    }
    case 4:
      session.charset = { client: reader.u16(), connection: reader.u16(), server: reader.u16() };
      return true;
    case 5: {
      const length = reader.u8();
      session.timeZone = reader.text(length);
      return true;
    }
    case 6:
      reader.skip(reader.u8());
      return true;
    case 11:
      reader.skip(reader.u8());
      reader.skip(reader.u8());
      return true;
    case 12:
      skipDatabases(reader);
      return true;
    case 16:
      session.explicitDefaultsForTimestamp = reader.u8() !== 0;
      return true;
    default:
      return false;
  }
}

/** Above this count the event lists no names. */
const databasesUnlisted = 254;

function skipDatabases(reader: ByteReader): void {
  const count = reader.u8();
  if (count === databasesUnlisted) return;
  for (let i = 0; i < count; i++) reader.textUntilZero();
}

/** MariaDB's form: one byte of flags and width, the size big-endian, then zlib data. */
function unpackStatement(packed: Uint8Array, byteCountMax: number): Uint8Array {
  const reader = new ByteReader(packed, 'QUERY_COMPRESSED event');
  const head = reader.u8();
  const width = head & 7;
  if ((head & 0x80) === 0 || (head & 0x70) !== 0 || width === 0 || width > 4) {
    reader.corrupt('an unknown form of compression');
  }
  let size = 0;
  for (let i = 0; i < width; i++) size = size * 256 + reader.u8();
  if (size > byteCountMax) reader.corrupt(`a statement of ${size} bytes, bound ${byteCountMax}`);
  try {
    const statement = inflateSync(reader.rest(), { maxOutputLength: Math.max(1, size) });
    if (statement.byteLength === size) return statement;
  } catch (error) {
    return fail('SOURCE_CORRUPT', 'QUERY_COMPRESSED event: the zlib data is broken', {
      retry: 'Reconnect',
      cause: String(error),
    });
  }
  return reader.corrupt('the unpacked size is wrong');
}
