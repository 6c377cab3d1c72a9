/**
 * A set of MySQL GTIDs: for each source (a server's UUID, or `uuid:tag`) the transaction numbers as disjoint ascending
 * intervals. A value that grows in place (`add`, `addAll`); everything else leaves it as it is. Adding the next number
 * of a source is O(1); memory is proportional to the number of gaps.
 */
import { fail } from '../../../base/failure.ts';
import { ByteReader } from './byte-reader.ts';
import { uuidText } from './mysql-gtid.ts';

/** First and last transaction number, both included; 1 ≤ first ≤ last < 2^53. */
export interface GtidInterval {
  readonly first: number;
  readonly last: number;
}

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const tagPattern = /^[a-z_][a-z0-9_]{0,31}$/;
const intervalPattern = /^(\d{1,16})(?:-(\d{1,16}))?$/;

/** See the file's head. */
export class GtidSet {
  readonly #sources = new Map<string, GtidInterval[]>();

  /** Reads `uuid:1-5:7:tag:1-3,uuid2:…`, in any order and with overlaps; CONFIG_INVALID for anything else. */
  static parse(text: string): GtidSet {
    const set = new GtidSet();
    for (const part of text.replaceAll(/\s/g, '').toLowerCase().split(',')) {
      if (part !== '') set.#parseSource(part);
    }
    return set;
  }

  /** Reads the binary form (PREVIOUS_GTIDS events). */
  static decode(bytes: Uint8Array): GtidSet {
    const set = new GtidSet();
    const reader = new ByteReader(bytes, 'GTID set');
    const head = reader.big64();
    const tagged = head >> 56n === 1n;
    const count = Number(tagged ? (head >> 8n) & 0xffffffffffffn : head);
    for (let i = 0; i < count; i++) {
      const uuid = uuidText(reader.raw(16));
      const tag = tagged ? reader.text(reader.u8() >> 1) : '';
      const source = tag === '' ? uuid : `${uuid}:${tag}`;
      const intervals = reader.u64();
      for (let k = 0; k < intervals; k++) {
        const first = reader.u64();
        const end = reader.u64();
        if (first < 1 || end <= first) reader.corrupt('an empty interval');
        set.#insert(source, first, end - 1);
      }
    }
    return set;
  }

  /** True when it holds nothing. */
  get isEmpty(): boolean {
    return this.#sources.size === 0;
  }

  /** The sources in order of their text. */
  sources(): readonly string[] {
    return [...this.#sources.keys()].sort();
  }

  /** The intervals of one source, ascending, disjoint, never touching. */
  intervals(source: string): readonly GtidInterval[] {
    return this.#sources.get(source) ?? [];
  }

  /** Adds one transaction. */
  add(source: string, number: number): void {
    this.#insert(source, number, number);
  }

  /** Adds everything in `other`. */
  addAll(other: GtidSet): void {
    for (const [source, intervals] of other.#sources) {
      for (const { first, last } of intervals) this.#insert(source, first, last);
    }
  }

  /** A new set with everything of both. */
  union(other: GtidSet): GtidSet {
    const set = this.clone();
    set.addAll(other);
    return set;
  }

  /** A new set with what is here and not in `other`. */
  minus(other: GtidSet): GtidSet {
    const set = new GtidSet();
    for (const [source, intervals] of this.#sources) {
      const holes = other.intervals(source);
      let h = 0;
      for (const { first, last } of intervals) {
        let from = first;
        while (h < holes.length && holes[h]!.last < from) h++;
        for (let k = h; k < holes.length && holes[k]!.first <= last; k++) {
          if (holes[k]!.first > from) set.#insert(source, from, holes[k]!.first - 1);
          from = holes[k]!.last + 1;
        }
        if (from <= last) set.#insert(source, from, last);
      }
    }
    return set;
  }

  /** A copy that grows on its own. */
  clone(): GtidSet {
    const set = new GtidSet();
    for (const [source, intervals] of this.#sources) set.#sources.set(source, [...intervals]);
    return set;
  }

  /** True when the transaction is in the set. */
  has(source: string, number: number): boolean {
    const intervals = this.intervals(source);
    const at = firstNotBefore(intervals, number);
    return at < intervals.length && intervals[at]!.first <= number;
  }

  /** True when every transaction of `other` is here. */
  contains(other: GtidSet): boolean {
    for (const [source, intervals] of other.#sources) {
      const mine = this.intervals(source);
      for (const { first, last } of intervals) {
        const at = firstNotBefore(mine, first);
        if (at >= mine.length || mine[at]!.first > first || mine[at]!.last < last) return false;
      }
    }
    return true;
  }

  /** The server's text form: sources in order, plain ids of a server before its tags, no spaces. */
  toString(): string {
    const parts: string[] = [];
    let uuid = '';
    for (const source of this.sources()) {
      const ranges = this.intervals(source)
        .map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`))
        .join(':');
      if (uuid !== '' && source.startsWith(`${uuid}:`)) {
        parts.push(`${parts.pop()}:${source.slice(uuid.length + 1)}:${ranges}`);
      } else {
        parts.push(`${source}:${ranges}`);
        uuid = source.slice(0, 36);
      }
    }
    return parts.join(',');
  }

  /** The binary form that COM_BINLOG_DUMP_GTID takes; the newer one only when a tag is in the set. */
  encode(): Uint8Array {
    const tagged = [...this.#sources.keys()].some((source) => source.includes(':'));
    const out: Buffer[] = [];
    const count = BigInt(this.#sources.size);
    out.push(u64(tagged ? (1n << 56n) | (count << 8n) | 1n : count));
    for (const source of this.sources()) {
      const [uuid = '', tag = ''] = source.split(':');
      out.push(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
      if (tagged) out.push(Buffer.from([tag.length << 1]), Buffer.from(tag, 'latin1'));
      const intervals = this.intervals(source);
      out.push(u64(BigInt(intervals.length)));
      for (const { first, last } of intervals) out.push(u64(BigInt(first)), u64(BigInt(last) + 1n));
    }
    return Buffer.concat(out);
  }

  #parseSource(part: string): void {
    const [uuid = '', ...fields] = part.split(':');
    if (!uuidPattern.test(uuid)) fail('CONFIG_INVALID', 'a GTID set begins with a server UUID');
    if (fields.length === 0) fail('CONFIG_INVALID', 'a GTID set needs transaction numbers');
    let source = uuid;
    for (const field of fields) {
      const match = intervalPattern.exec(field);
      if (match === null) {
        if (!tagPattern.test(field)) fail('CONFIG_INVALID', `GTID set: "${field}" is no interval`);
        source = `${uuid}:${field}`;
        continue;
      }
      const first = Number(match[1]);
      const last = match[2] === undefined ? first : Number(match[2]);
      if (first < 1 || last < first || !Number.isSafeInteger(last)) {
        fail('CONFIG_INVALID', `GTID set: "${field}" is no interval`);
      }
      this.#insert(source, first, last);
    }
  }

  #insert(source: string, first: number, last: number): void {
    const intervals = this.#sources.get(source);
    if (intervals === undefined) {
      this.#sources.set(source, [{ first, last }]);
      return;
    }
    const newest = intervals[intervals.length - 1]!;
    if (first === newest.last + 1) {
      intervals[intervals.length - 1] = { first: newest.first, last };
      return;
    }
    // Everything that overlaps or touches [first, last] becomes one interval with it.
    const from = firstNotBefore(intervals, first - 1);
    let to = from;
    let low = first;
    let high = last;
    while (to < intervals.length && intervals[to]!.first <= last + 1) {
      low = Math.min(low, intervals[to]!.first);
      high = Math.max(high, intervals[to]!.last);
      to++;
    }
    intervals.splice(from, to - from, { first: low, last: high });
  }
}

/** Index of the first interval that does not end before `number`. */
function firstNotBefore(intervals: readonly GtidInterval[], number: number): number {
  let low = 0;
  let high = intervals.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (intervals[middle]!.last < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}
