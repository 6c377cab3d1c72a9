/**
 * Dates and times as the server shows them. Two families: those of MySQL 5.6 and later (packed, big-endian, fraction in
 * (digits + 1) / 2 bytes) and those before (MariaDB with mysql56_temporal_format=OFF: decimal digits in little-endian
 * numbers, or MariaDB's own packing when there are digits after the second).
 */
import type { ByteWriter } from '#src/base/byte-writer.ts';
import { columnType, type LogColumn } from './column.ts';
import { corrupt } from './corrupt.ts';

const powers = [1, 10, 100, 1e3, 1e4, 1e5, 1e6];

/** What a fraction of so many bytes counts to. */
const fractionScales = [1, 2 ** 8, 2 ** 16, 2 ** 24];

/** Writes `YYYY-MM-DD` of a 3-byte date. */
export function writeDate(out: ByteWriter, bytes: Uint8Array, at: number): void {
  const packed = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
  putDate(out, packed >> 9, (packed >> 5) & 15, packed & 31);
}

/** Writes `YYYY-MM-DD HH:MM:SS` and the column's digits after the second, of a DATETIME. */
export function writeDatetime(
  out: ByteWriter,
  column: LogColumn,
  bytes: Uint8Array,
  at: number,
): void {
  if (column.type === columnType.datetime) {
    writeOldDatetime(out, column.meta, bytes, at);
    return;
  }
  const high = bytes[at]!;
  if (high < 0x80) corrupt('a datetime is negative');
  // 1 sign, 17 year * 13 + month, 5 day, 5 hour, 6 minute, 6 second bits.
  const days = ((high & 0x7f) << 15) | (bytes[at + 1]! << 7) | (bytes[at + 2]! >> 1);
  const seconds = ((bytes[at + 2]! & 1) << 16) | (bytes[at + 3]! << 8) | bytes[at + 4]!;
  const months = days >> 5;
  const year = (months / 13) | 0;
  putDate(out, year, months - year * 13, days & 31);
  out.byte(0x20);
  putClock(out, seconds >> 12, (seconds >> 6) & 63, seconds & 63);
  writeFraction(out, bytes, at + 5, column.meta);
}

/** Writes a TIMESTAMP in UTC as a DATETIME; the zero timestamp is `0000-00-00 00:00:00`. Seconds go to 2106. */
export function writeTimestamp(
  out: ByteWriter,
  column: LogColumn,
  bytes: Uint8Array,
  at: number,
): void {
  const { type, meta } = column;
  const littleEndian = type === columnType.timestamp && meta === 0;
  const seconds = littleEndian ? littleInt(bytes, at, 4) : bigInt(bytes, at, 4);
  if (seconds === 0 && isZero(bytes, at + 4, (meta + 1) >> 1)) {
    putDate(out, 0, 0, 0);
    out.byte(0x20);
    putClock(out, 0, 0, 0);
  } else {
    putUtc(out, seconds);
  }
  // The old kind stores the fraction in units of its own digits, the new one in pairs of digits.
  if (type === columnType.timestamp) putOldFraction(out, bytes, at + 4, meta);
  else writeFraction(out, bytes, at + 4, meta);
}

/** Writes `[-]HH:MM:SS` and the column's digits after the second, of a TIME; hours take two digits or three. */
export function writeTime(out: ByteWriter, column: LogColumn, bytes: Uint8Array, at: number): void {
  const { type, meta } = column;
  if (type === columnType.time) {
    writeOldTime(out, meta, bytes, at);
    return;
  }
  const fractionBytes = (meta + 1) >> 1;
  const scale = fractionScales[fractionBytes]!;
  // Hour, minute, second and fraction as one signed number: negative times count down in all parts at once.
  let packed = bigInt(bytes, at, 3 + fractionBytes) - 0x800000 * scale;
  if (packed < 0) {
    out.byte(0x2d);
    packed = -packed;
  }
  const whole = Math.floor(packed / scale);
  const hours = whole >> 12;
  if (hours > 838) corrupt('a time is out of range');
  putClock(out, hours, (whole >> 6) & 63, whole & 63);
  if (meta > 0) putStoredFraction(out, packed - whole * scale, meta);
}

/** Writes `YYYY` of a one-byte year; 0 is 0000. */
export function writeYear(out: ByteWriter, bytes: Uint8Array, at: number): void {
  const value = bytes[at]!;
  out.uint(value === 0 ? 0 : 1900 + value, 4);
}

/** Writes a datetime, date or time packed as MySQL's JSON does: 8 bytes, little-endian, always with six digits. */
export function writePackedTemporal(
  out: ByteWriter,
  kind: 'date' | 'datetime' | 'time',
  bytes: Uint8Array,
  at: number,
): void {
  const fraction = littleInt(bytes, at, 3);
  let whole = littleInt(bytes, at + 3, 4);
  let high = bytes[at + 7]!;
  let micro = fraction;
  if (high >= 0x80) {
    if (kind !== 'time') corrupt('a date inside JSON is negative');
    out.byte(0x2d);
    // Two's complement over 64 bits in two parts.
    micro = (0x1000000 - fraction) % 0x1000000;
    const total = 2 ** 40 - (high * 2 ** 32 + whole) - (micro === 0 ? 0 : 1);
    high = Math.floor(total / 2 ** 32);
    whole = total - high * 2 ** 32;
  }
  if (kind === 'time') {
    const hours = whole >>> 12;
    if (high !== 0 || hours > 838) corrupt('a time inside JSON is out of range');
    putClock(out, hours, (whole >>> 6) & 63, whole & 63);
  } else {
    const days = high * 2 ** 15 + Math.floor(whole / 2 ** 17);
    const months = Math.floor(days / 32);
    const year = Math.floor(months / 13);
    putDate(out, year, months - year * 13, days & 31);
    if (kind === 'date') return;
    const seconds = whole & 0x1ffff;
    out.byte(0x20);
    putClock(out, seconds >> 12, (seconds >> 6) & 63, seconds & 63);
  }
  putFraction(out, micro, 6);
}

function writeOldDatetime(out: ByteWriter, digits: number, bytes: Uint8Array, at: number): void {
  if (digits === 0) {
    const low = littleInt(bytes, at, 4);
    const high = littleInt(bytes, at + 4, 4);
    if (high > 0x5af3) corrupt('a datetime is out of range');
    const packed = high * 2 ** 32 + low;
    const date = Math.floor(packed / 1e6);
    putDecimalDate(out, date);
    out.byte(0x20);
    putDecimalClock(out, packed - date * 1e6);
    return;
  }
  const byteCount = digits > 5 ? 8 : digits > 2 ? 7 : 6;
  const unit = powers[digits]!;
  // Up to 2^60: the seconds are divided off in two steps so that every number stays exact.
  const split = splitBig(bytes, at, byteCount, unit);
  let rest = split.quotient;
  const second = rest % 60;
  rest = Math.floor(rest / 60);
  const minute = rest % 60;
  rest = Math.floor(rest / 60);
  const hour = rest % 24;
  rest = Math.floor(rest / 24);
  const day = rest % 32;
  rest = Math.floor(rest / 32);
  putDate(out, Math.floor(rest / 13), rest % 13, day);
  out.byte(0x20);
  putClock(out, hour, minute, second);
  putFraction(out, split.remainder, digits);
}

function writeOldTime(out: ByteWriter, digits: number, bytes: Uint8Array, at: number): void {
  if (digits === 0) {
    const packed = (littleInt(bytes, at, 3) << 8) >> 8;
    if (packed < 0) out.byte(0x2d);
    const clock = Math.abs(packed);
    if (clock > 8_385_959) corrupt('a time is out of range');
    putDecimalClock(out, clock);
    return;
  }
  const byteCount = digits > 5 ? 6 : digits > 2 ? 5 : 4;
  const unit = powers[digits]!;
  // One second more than the largest time, so that the stored number is never negative.
  let packed = bigInt(bytes, at, byteCount) - 3_020_400 * unit;
  if (packed < 0) {
    out.byte(0x2d);
    packed = -packed;
  }
  const seconds = Math.floor(packed / unit);
  if (seconds > 3_020_399) corrupt('a time is out of range');
  putClock(out, (seconds / 3600) | 0, ((seconds / 60) | 0) % 60, seconds % 60);
  putFraction(out, packed - seconds * unit, digits);
}

/** A big-endian number of up to 8 bytes divided by `unit`. */
function splitBig(
  bytes: Uint8Array,
  at: number,
  byteCount: number,
  unit: number,
): { quotient: number; remainder: number } {
  let quotient = 0;
  let remainder = 0;
  for (let i = 0; i < byteCount; i++) {
    const part = remainder * 256 + bytes[at + i]!;
    const digit = Math.floor(part / unit);
    quotient = quotient * 256 + digit;
    remainder = part - digit * unit;
  }
  if (quotient > 2 ** 50) corrupt('a datetime is out of range');
  return { quotient, remainder };
}

function writeFraction(out: ByteWriter, bytes: Uint8Array, at: number, digits: number): void {
  if (digits === 0) return;
  putStoredFraction(out, bigInt(bytes, at, (digits + 1) >> 1), digits);
}

/** A fraction of pairs of digits: with an odd number of digits the last stored one is not part of the column. */
function putStoredFraction(out: ByteWriter, value: number, digits: number): void {
  putFraction(out, (digits & 1) === 0 ? value : Math.floor(value / 10), digits);
}

function putOldFraction(out: ByteWriter, bytes: Uint8Array, at: number, digits: number): void {
  if (digits > 0) putFraction(out, bigInt(bytes, at, (digits + 1) >> 1), digits);
}

function putFraction(out: ByteWriter, value: number, digits: number): void {
  if (value >= powers[digits]!) corrupt('a fraction of a second is out of range');
  out.byte(0x2e);
  out.uint(value, digits);
}

function putDecimalDate(out: ByteWriter, date: number): void {
  const year = Math.floor(date / 10_000);
  const rest = date - year * 10_000;
  putDate(out, year, (rest / 100) | 0, rest % 100);
}

function putDecimalClock(out: ByteWriter, clock: number): void {
  putClock(out, (clock / 10_000) | 0, ((clock / 100) | 0) % 100, clock % 100);
}

/** Days since 1970 to a civil date, by eras of 400 years that begin in March. */
function putUtc(out: ByteWriter, seconds: number): void {
  const days = (seconds / 86_400) | 0;
  const clock = seconds - days * 86_400;
  const sinceMarch = days + 719_468;
  const era = (sinceMarch / 146_097) | 0;
  const dayOfEra = sinceMarch - era * 146_097;
  const yearOfEra =
    ((dayOfEra - ((dayOfEra / 1460) | 0) + ((dayOfEra / 36_524) | 0) - ((dayOfEra / 146_096) | 0)) /
      365) |
    0;
  const dayOfYear = dayOfEra - (365 * yearOfEra + ((yearOfEra / 4) | 0) - ((yearOfEra / 100) | 0));
  const marchMonth = ((5 * dayOfYear + 2) / 153) | 0;
  const day = dayOfYear - (((153 * marchMonth + 2) / 5) | 0) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  putDate(out, yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day);
  out.byte(0x20);
  putClock(out, (clock / 3600) | 0, ((clock / 60) | 0) % 60, clock % 60);
}

function putDate(out: ByteWriter, year: number, month: number, day: number): void {
  if (year > 9999 || month > 12 || day > 31) corrupt('a date is out of range');
  const at = out.reserve(10);
  const target = out.buffer();
  const century = (year / 100) | 0;
  putPair(target, at, century);
  putPair(target, at + 2, year - century * 100);
  target[at + 4] = 0x2d;
  putPair(target, at + 5, month);
  target[at + 7] = 0x2d;
  putPair(target, at + 8, day);
}

function putClock(out: ByteWriter, hour: number, minute: number, second: number): void {
  if (minute > 59 || second > 59) corrupt('a time is out of range');
  let hours = hour;
  if (hour > 99) {
    const hundreds = (hour / 100) | 0;
    out.byte(48 + hundreds);
    hours = hour - hundreds * 100;
  }
  const at = out.reserve(8);
  const target = out.buffer();
  putPair(target, at, hours);
  target[at + 2] = 0x3a;
  putPair(target, at + 3, minute);
  target[at + 5] = 0x3a;
  putPair(target, at + 6, second);
}

function putPair(target: Uint8Array, at: number, value: number): void {
  const tens = (value / 10) | 0;
  target[at] = 48 + tens;
  target[at + 1] = 48 + value - tens * 10;
}

function isZero(bytes: Uint8Array, at: number, count: number): boolean {
  for (let i = 0; i < count; i++) if (bytes[at + i] !== 0) return false;
  return true;
}

/** A big-endian number of up to 6 bytes. */
function bigInt(bytes: Uint8Array, at: number, byteCount: number): number {
  let value = 0;
  for (let i = 0; i < byteCount; i++) value = value * 256 + bytes[at + i]!;
  return value;
}

/** A little-endian number of up to 4 bytes. */
function littleInt(bytes: Uint8Array, at: number, byteCount: number): number {
  let value = 0;
  for (let i = byteCount - 1; i >= 0; i--) value = value * 256 + bytes[at + i]!;
  return value;
}
