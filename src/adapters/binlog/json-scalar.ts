/** The text of JSON scalars exactly as MySQL writes it. */
import type { ByteWriter } from '#src/base/byte-writer.ts';

const shortEscapes = new Map([
  [0x22, '\\"'],
  [0x5c, '\\\\'],
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
]);

/** For each byte the escape that JSON text needs, or null. */
const escapes: readonly (string | null)[] = Array.from({ length: 256 }, (_, byte) => {
  const short = shortEscapes.get(byte);
  if (short !== undefined) return short;
  return byte < 0x20 ? `\\u00${byte.toString(16).padStart(2, '0')}` : null;
});

/** Writes utf-8 text as a JSON string with its quotes. */
export function writeJsonString(
  out: ByteWriter,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  out.byte(0x22);
  let from = start;
  for (let i = start; i < end; i++) {
    const escape = escapes[bytes[i]!]!;
    if (escape === null) continue;
    out.raw(bytes, from, i);
    out.ascii(escape);
    from = i + 1;
  }
  out.raw(bytes, from, end);
  out.byte(0x22);
}

/** Places of the decimal point outside of which MySQL writes an exponent. */
const pointMin = -14;
const pointMax = 15;

/** Writes a finite double as MySQL shows it in JSON: shortest digits, `.0` when whole, exponent form when far from 1. */
export function writeJsonDouble(out: ByteWriter, value: number): void {
  if (Object.is(value, -0) || value < 0) out.byte(0x2d);
  const [mantissa = '0', exponentText = '0'] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(exponentText);
  const point = exponent + 1;
  if (value !== 0 && (point < pointMin || point > pointMax)) {
    out.ascii(`${mantissa}e${exponent}`);
  } else if (point <= 0) {
    out.ascii(`0.${'0'.repeat(-point)}${digits}`);
  } else if (digits.length <= point) {
    out.ascii(`${digits.padEnd(point, '0')}.0`);
  } else {
    out.ascii(`${digits.slice(0, point)}.${digits.slice(point)}`);
  }
}

/** Characters of base64 per line; MySQL breaks longer ones, and the break is escaped inside the string. */
const base64LineCharacters = 76;

/** Writes an opaque value as MySQL shows it: `"base64:type<column type>:<content>"`. */
export function writeOpaque(
  out: ByteWriter,
  type: number,
  bytes: Uint8Array,
  range: { readonly start: number; readonly end: number },
): void {
  out.ascii(`"base64:type${type}:`);
  // Whole lines at a time, so that no string grows with the value.
  const lineBytes = (base64LineCharacters / 4) * 3;
  for (let at = range.start; at < range.end; at += lineBytes) {
    if (at > range.start) out.ascii('\\n');
    const line = bytes.subarray(at, Math.min(at + lineBytes, range.end));
    out.ascii(Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString('base64'));
  }
  out.byte(0x22);
}
