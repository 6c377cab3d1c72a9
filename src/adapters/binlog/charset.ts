/**
 * Character sets of the servers: names by collation id, and exact decoding where it is possible. Sinks send raw bytes and
 * never decode; decoding serves labels, tests and sinks that keep text themselves.
 */
import { collationRuns } from './collations.generated.ts';
import { upperHalves, wholeSets } from './single-byte.generated.ts';

/** Index of the run that holds an id, or of the run before it. */
function runIndex(id: number): number {
  let low = 0;
  let high = collationRuns.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (collationRuns[middle]![0] <= id) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** The character set of a collation id of MariaDB or MySQL; null when the id is unknown. */
export function charsetOfCollation(id: number): string | null {
  const [first, last, charset] = collationRuns[runIndex(id)]!;
  return id >= first && id <= last ? charset : null;
}

type Decode = (bytes: Uint8Array, start: number, end: number) => string | null;

const asciiHalf = String.fromCharCode(...Array.from({ length: 128 }, (_, i) => i));
const decoders = new Map<string, Decode>();
for (const [charset, label] of [
  ['utf8mb3', 'utf-8'],
  ['utf8mb4', 'utf-8'],
  ['ucs2', 'utf-16be'],
  ['utf16', 'utf-16be'],
  ['utf16le', 'utf-16le'],
] as const) {
  decoders.set(charset, platformDecoder(label));
}
decoders.set('gbk', gbkDecoder());
// Only their ASCII half is the same everywhere: the platform's tables differ from the servers' in the rest.
const asciiOnly = 'big5 cp932 euckr eucjpms gb2312 gb18030 sjis ujis binary';
for (const charset of asciiOnly.split(' ')) {
  decoders.set(charset, decodeAscii);
}
decoders.set('utf32', decodeUtf32);
for (const [charset, upper] of Object.entries(upperHalves)) {
  decoders.set(charset, singleByteDecoder(asciiHalf + upper));
}
for (const [charset, whole] of Object.entries(wholeSets)) {
  decoders.set(charset, singleByteDecoder(whole));
}

/**
 * The text of `bytes[start, end)`, or null when it cannot be decoded exactly: the bytes mean nothing in their character
 * set, or they are not ASCII and it is one of big5, cp932, euckr, eucjpms, gb2312, gb18030, sjis, ujis or binary.
 */
export function decodeCharset(
  charset: string,
  bytes: Uint8Array,
  start: number,
  end: number,
): string | null {
  return decoders.get(charset)?.(bytes, start, end) ?? null;
}

function platformDecoder(label: string): Decode {
  // A byte order mark is a character like any other in a column.
  const decoder = new TextDecoder(label, { fatal: true, ignoreBOM: true });
  return (bytes, start, end) => {
    try {
      return decoder.decode(bytes.subarray(start, end));
    } catch {
      return null;
    }
  };
}

function gbkDecoder(): Decode {
  const decode = platformDecoder('gbk');
  return (bytes, start, end) => {
    const text = decode(bytes, start, end);
    // The platform knows more than the servers' gbk: user areas, and characters of four bytes.
    return text === null || /[\uD800-\uF8FF]/.test(text) ? null : text;
  };
}

function singleByteDecoder(characters: string): Decode {
  return (bytes, start, end) => {
    let text = '';
    for (let i = start; i < end; i++) {
      const character = characters[bytes[i]!]!;
      if (character === '\uFFFD') return null;
      text += character;
    }
    return text;
  };
}

function decodeAscii(bytes: Uint8Array, start: number, end: number): string | null {
  let text = '';
  for (let i = start; i < end; i++) {
    if (bytes[i]! >= 0x80) return null;
    text += asciiHalf[bytes[i]!]!;
  }
  return text;
}

function decodeUtf32(bytes: Uint8Array, start: number, end: number): string | null {
  if ((end - start) % 4 !== 0) return null;
  let text = '';
  for (let i = start; i < end; i += 4) {
    const high = (bytes[i]! << 8) | bytes[i + 1]!;
    if (high > 0x10) return null;
    const point = (high << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!;
    if (point >= 0xd800 && point <= 0xdfff) return null;
    text += String.fromCodePoint(point);
  }
  return text;
}
