import { ByteReader } from './byte-reader.ts';
import { eventType } from './event-type.ts';
import type { LogEvent } from './log-event.ts';

/** One MySQL transaction's identity and times. */
export interface MysqlGtid {
  /** `uuid`, or `uuid:tag` for tagged ids: the key under which {@link GtidSet} keeps it. */
  readonly source: string;
  readonly number: number;
  /** Commit time on the server that sent it and on the first server, microseconds since 1970; 0 when not logged. */
  readonly immediateMicros: number;
  readonly originalMicros: number;
}

/** Reads a GTID event of MySQL: 33, or 42 for ids with a tag. */
export function readMysqlGtid(event: LogEvent): MysqlGtid {
  return event.type === eventType.gtidTagged ? readTagged(event) : readPlain(event);
}

/** `source:number`. */
export function printMysqlGtid(gtid: MysqlGtid): string {
  return `${gtid.source}:${gtid.number}`;
}

/** A UUID from its 16 bytes, in the usual text form. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const commitTimesMarker = 2;
const originalTimeBit = 2 ** 55;

function readPlain(event: LogEvent): MysqlGtid {
  const reader = new ByteReader(event.body(), 'GTID event');
  reader.skip(1);
  const source = uuidText(reader.raw(16));
  const number = reader.u64();
  if (number < 1) reader.corrupt(`transaction number ${number}`);
  if (reader.remaining < 17 + 7 || reader.u8() !== commitTimesMarker) {
    return { source, number, immediateMicros: 0, originalMicros: 0 };
  }
  reader.skip(16);
  const [immediateMicros, differs] = splitBit(reader.uint(7));
  const originalMicros = differs && reader.remaining >= 7 ? reader.uint(7) : immediateMicros;
  return { source, number, immediateMicros, originalMicros };
}

/** The highest bit of the 55-bit time says that another time follows. */
function splitBit(value: number): readonly [number, boolean] {
  return value >= originalTimeBit ? [value - originalTimeBit, true] : [value, false];
}

const taggedField = { uuid: 1, number: 2, tag: 3, immediate: 6, original: 7 } as const;

/** The tagged event is a message of numbered fields; fields after the ones we need are not read. */
function readTagged(event: LogEvent): MysqlGtid {
  const reader = new ByteReader(event.body(), 'tagged GTID event');
  const version = readVarint(reader);
  if (version !== 1) reader.corrupt(`serialization version ${version}`);
  readVarint(reader); // size of the message
  readVarint(reader); // last field that a reader must know
  let uuid = '';
  let tag = '';
  let number = 0;
  let immediateMicros = 0;
  let originalMicros = 0;
  while (reader.remaining > 0) {
    const id = readVarint(reader);
    if (id > taggedField.original) break;
    if (id === taggedField.uuid) uuid = readUuid(reader);
    else if (id === taggedField.tag) tag = reader.text(readVarint(reader));
    else if (id === taggedField.number) number = readSigned(reader);
    else if (id === taggedField.immediate) immediateMicros = readVarint(reader);
    else if (id === taggedField.original) originalMicros = readVarint(reader);
    else if (id === 0) readVarint(reader);
    else readSigned(reader);
  }
  if (uuid === '' || number < 1) reader.corrupt('no transaction id');
  if (originalMicros === 0) originalMicros = immediateMicros;
  return { source: tag === '' ? uuid : `${uuid}:${tag}`, number, immediateMicros, originalMicros };
}

function readUuid(reader: ByteReader): string {
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 16; i++) bytes[i] = readVarint(reader);
  return uuidText(bytes);
}

/** An integer whose first byte tells, by its trailing ones, how many bytes follow. SOURCE_CORRUPT above 2^53. */
export function readVarint(reader: ByteReader): number {
  return Number(readVarintWhole(reader));
}

function readVarintWhole(reader: ByteReader): bigint {
  const first = reader.u8();
  let following = 0;
  while (following < 8 && (first & (1 << following)) !== 0) following++;
  let value = following < 8 ? BigInt(first >> (following + 1)) : 0n;
  let shift = BigInt(Math.max(0, 7 - following));
  for (let i = 0; i < following; i++) {
    value |= BigInt(reader.u8()) << shift;
    shift += 8n;
  }
  return value;
}

/** Signed integers are folded: the lowest bit is the sign. */
function readSigned(reader: ByteReader): number {
  const folded = readVarintWhole(reader);
  const magnitude = folded >> 1n;
  const value = Number((folded & 1n) === 0n ? magnitude : -magnitude - 1n);
  if (!Number.isSafeInteger(value)) reader.corrupt('an integer of 2^53 or more');
  return value;
}
