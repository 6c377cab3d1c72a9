/**
 * Folding of character values for conflict keys (FEATURES §6.3). Two values that the server holds equal under the
 * column's collation get the same hash; values that it holds different may share one too, which only costs parallelism.
 *
 * Where a collation is not plain bytes, the server itself is asked for the primary weights of single characters, and a
 * value's hash is that of its characters' weights in a row. That is right as long as characters do not weigh
 * differently in company (contractions): language-specific collations are therefore not folded at all, and a value with
 * a character outside the ranges asked for, with a combining mark or malformed is `wild`: it may equal anything.
 */

/** The hash of a value that may equal any other. */
export const wildHash = -1;

/** The hash of a value none of whose characters counts; every fold begins here. */
export const emptyHash = 0x1505;

/** A hash, at least 0, of `bytes[start, end)`, or {@link wildHash}. `charMax` > 0: only that many characters count. */
export type CollationFold = (
  bytes: Uint8Array,
  start: number,
  end: number,
  charMax: number,
) => number;

/** Weight of one character as the server answered {@link foldQuery}: hexadecimal digits, empty = ignored. */
export interface CharacterWeight {
  readonly code: number;
  readonly weights: string;
}

const singleByteCharsets = new Set(
  `latin1 latin2 latin5 latin7 ascii cp850 cp852 cp866 cp1250 cp1251 cp1256 cp1257 dec8 hp8 swe7 koi8r koi8u greek
  hebrew armscii8 macce macroman keybcs2 geostd8 tis620`.split(/\s+/),
);
const unicodeCharsets = new Set([
  'utf8',
  'utf8mb3',
  'utf8mb4',
  'ucs2',
  'utf16',
  'utf16le',
  'utf32',
]);
const asciiCharsets = new Set('big5 gbk gb2312 gb18030 sjis cp932 ujis eucjpms euckr'.split(' '));
/** In these, several characters weigh together. tis620 reorders vowels. */
const contracting = /^(latin2_czech|cp1250_czech|tis620)/;
/** Unicode collations without language rules. */
const plainUnicode =
  /^[a-z0-9]+_(general|general_mysql500|unicode|unicode_520|uca1400|0900)(_nopad)?(_a[is])?(_c[is])?$/;

/** Characters asked for: Latin, Greek, Cyrillic; punctuation, currency, letterlike; kana; full width forms. */
const unicodeRanges: readonly (readonly [number, number])[] = [
  [0x00, 0x52f],
  [0x1e00, 0x1fff],
  [0x2010, 0x20bf],
  [0x2100, 0x218f],
  [0x3000, 0x30ff],
  [0xff00, 0xffef],
];

/** Weighs by its neighbours in some version of the Unicode collation: marks, l·, kana sound and iteration marks. */
function isContextual(code: number): boolean {
  return (
    (code >= 0x300 && code <= 0x36f) ||
    (code >= 0x483 && code <= 0x489) ||
    code === 0xb7 ||
    code === 0x387 ||
    (code >= 0x3099 && code <= 0x309f) ||
    (code >= 0x30fb && code <= 0x30ff) ||
    (code >= 0x302a && code <= 0x3035) ||
    code === 0xff70 ||
    (code >= 0xff9e && code <= 0xffa0)
  );
}

/** One statement that asks the server for the weights {@link collationFold} needs; null when it needs none. */
export function foldQuery(charset: string, collation: string): string | null {
  if (!/^\w+$/.test(collation) || !/^\w+$/.test(charset)) return null;
  // Weights of several levels do not simply follow one another: the coarser collation of one level has no such trouble.
  const place = `COLLATE ${collation.replace(/_a[is]_c[is]$/, '_ai_ci')}`;
  switch (foldKindOf(charset, collation)) {
    case 'bytes':
      return weightQuery(`CHAR(n.code USING ${charset}) ${place}`, 'n.code BETWEEN 0 AND 255');
    case 'ascii':
      return weightQuery(`CHAR(n.code USING ${charset}) ${place}`, 'n.code BETWEEN 0 AND 127');
    case 'unicode': {
      const asked = unicodeRanges.map(([from, to]) => `n.code BETWEEN ${from} AND ${to}`);
      return weightQuery(
        `CONVERT(CHAR(n.code USING utf32) USING ${charset}) ${place}`,
        asked.join(' OR '),
      );
    }
    default:
      return null;
  }
}

/** The fold of a collation; `weights` is the answer to {@link foldQuery}, empty when that is null. */
export function collationFold(
  charset: string,
  collation: string,
  weights: readonly CharacterWeight[],
): CollationFold {
  const kind = foldKindOf(charset, collation);
  if (kind === 'none') return () => wildHash;
  if (kind === 'binary') {
    // The prefix of a multi-byte value would need its characters counted: all of it may differ, so it is wild.
    const isWide = !singleByteCharsets.has(charset);
    return (bytes, start, end, charMax) =>
      isWide && charMax > 0 && end - start > charMax
        ? wildHash
        : foldBytes(bytes, start, charMax > 0 ? Math.min(end, start + charMax) : end, charset);
  }
  const table = new WeightTable(weights);
  const decode =
    kind === 'unicode' ? unicodeReader(charset) : kind === 'ascii' ? readAscii : readByte;
  return (bytes, start, end, charMax) => table.fold(decode, { bytes, start, end, charMax });
}

/** How values of a collation are folded; `binary`: by their bytes, and never wild when all of a value counts. */
export function foldKindOf(
  charset: string,
  collation: string,
): 'none' | 'binary' | 'bytes' | 'ascii' | 'unicode' {
  if (collation.endsWith('_bin') || collation.endsWith('_nopad_bin') || collation === 'binary')
    return 'binary';
  if (contracting.test(collation)) return 'none';
  if (singleByteCharsets.has(charset)) return 'bytes';
  if (asciiCharsets.has(charset)) return 'ascii';
  return unicodeCharsets.has(charset) && plainUnicode.test(collation) ? 'unicode' : 'none';
}

function weightQuery(text: string, condition: string): string {
  const digit = Array.from({ length: 16 }, (_, i) => `SELECT ${i} AS d`).join(' UNION ALL ');
  const code = 'a.d+16*b.d+256*c.d+4096*e.d';
  const codes = `(SELECT ${code} AS code FROM (${digit}) a, (${digit}) b, (${digit}) c, (${digit}) e) n`;
  return `SELECT n.code AS code, HEX(WEIGHT_STRING(${text})) AS weights FROM ${codes} WHERE ${condition}`;
}

/** Exact bytes, but without what PAD SPACE ignores: spaces at the end in the charset's own form. */
function foldBytes(bytes: Uint8Array, start: number, end: number, charset: string): number {
  let last = end;
  if (charset !== 'binary') {
    // A space is 20 with, in wide charsets, zero bytes around: dropping both is coarse and never wrong.
    while (last > start && (bytes[last - 1] === 0x20 || bytes[last - 1] === 0)) last--;
  }
  let hash = emptyHash;
  for (let i = start; i < last; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 1;
}

/** Reads the character at `at`: its code · 8 + its bytes; negative when malformed or not foldable. */
type CharacterReader = (bytes: Uint8Array, at: number, end: number) => number;

const readByte: CharacterReader = (bytes, at) => bytes[at]! * 8 + 1;
const readAscii: CharacterReader = (bytes, at) => (bytes[at]! < 0x80 ? bytes[at]! * 8 + 1 : -1);

function unicodeReader(charset: string): CharacterReader {
  switch (charset) {
    case 'ucs2':
    case 'utf16':
      return (bytes, at, end) => readUnit(at + 1 < end ? bytes[at]! * 256 + bytes[at + 1]! : -1);
    case 'utf16le':
      return (bytes, at, end) => readUnit(at + 1 < end ? bytes[at + 1]! * 256 + bytes[at]! : -1);
    case 'utf32':
      return (bytes, at, end) =>
        at + 3 < end && bytes[at] === 0 && bytes[at + 1] === 0
          ? (bytes[at + 2]! * 256 + bytes[at + 3]!) * 8 + 4
          : -1;
    default:
      return readUtf8;
  }
}

function readUnit(code: number): number {
  return code < 0 || (code >= 0xd800 && code <= 0xdfff) ? -1 : code * 8 + 2;
}

/** Characters above U+FFFF are not folded: they read as malformed. */
const readUtf8: CharacterReader = (bytes, at, end) => {
  const first = bytes[at]!;
  if (first < 0x80) return first * 8 + 1;
  if (first >= 0xc2 && first < 0xe0 && at + 1 < end) {
    return (((first & 31) << 6) | (bytes[at + 1]! & 63)) * 8 + 2;
  }
  if (first >= 0xe0 && first < 0xf0 && at + 2 < end) {
    return (((first & 15) << 12) | ((bytes[at + 1]! & 63) << 6) | (bytes[at + 2]! & 63)) * 8 + 3;
  }
  return -1;
};

const unknownWeight = 0xffffffff;

/** Weights of the characters below U+10000, by code. */
class WeightTable {
  /** Per code: offset · 64 + length into `#weights`, or unknown. */
  readonly #places = new Uint32Array(0x10000).fill(unknownWeight);
  readonly #weights: Uint8Array;
  readonly #space: number;

  constructor(weights: readonly CharacterWeight[]) {
    const all: number[] = [];
    for (const { code, weights: digits } of weights) {
      const unit = Buffer.from(digits, 'hex');
      if (isContextual(code) || unit.length > 63) continue;
      this.#places[code] = all.length * 64 + unit.length;
      all.push(...unit);
    }
    // Ideographs and Hangul syllables differ from one another in every collation without language rules.
    for (const [from, to] of [[0x4e00, 0x9fa5] as const, [0xac00, 0xd7a3] as const]) {
      for (let code = from; code <= to; code++) {
        this.#places[code] = all.length * 64 + 3;
        all.push(0xfe, code >> 8, code & 255);
      }
    }
    this.#weights = Uint8Array.from(all);
    this.#space = this.#places[0x20]!;
  }

  fold(
    read: CharacterReader,
    value: { bytes: Uint8Array; start: number; end: number; charMax: number },
  ): number {
    const { bytes, start, end, charMax } = value;
    let hash = emptyHash;
    // Spaces, and what weighs like them, count only when something follows.
    let counted = emptyHash;
    let charCount = 0;
    for (let at = start; at < end; charCount++) {
      if (charMax > 0 && charCount === charMax) break;
      const character = read(bytes, at, end);
      if (character < 0) return wildHash;
      const place = this.#places[character >>> 3]!;
      if (place === unknownWeight) return wildHash;
      const length = place & 63;
      const offset = (place - length) / 64;
      for (let i = 0; i < length; i++) {
        hash = Math.imul(hash ^ this.#weights[offset + i]!, 0x01000193);
      }
      if (length > 0 && !this.#isSpace(offset, length)) counted = hash;
      at += character & 7;
    }
    return counted >>> 1;
  }

  #isSpace(offset: number, length: number): boolean {
    const spaceLength = this.#space & 63;
    if (this.#space === unknownWeight || length !== spaceLength) return false;
    const space = (this.#space - spaceLength) / 64;
    for (let i = 0; i < length; i++) {
      if (this.#weights[offset + i] !== this.#weights[space + i]) return false;
    }
    return true;
  }
}
