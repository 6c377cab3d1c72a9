import { FailureError } from '#src/base/failure.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';
import { readJsonDiffs, writeJsonDiffs } from '#src/adapters/binlog/json-diff.ts';
import { isPlainJson, writeJsonExpression } from '#src/adapters/binlog/json-expression.ts';
import { RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import {
  readTableMap,
  withTemporalDigits,
  type LogColumn,
  type TableMap,
} from '#src/adapters/binlog/table-map.ts';
import { writeText } from '#src/adapters/binlog/text.ts';
import { readValue } from '#src/adapters/binlog/value.ts';
import type { LogFlavor } from '#src/model/block.ts';
import type { TestRandom } from '#test/fixtures/random.ts';

/** A rows event and the table map before it. */
export interface Specimen {
  readonly flavor: LogFlavor;
  readonly map: Uint8Array;
  readonly type: number;
  readonly body: Uint8Array;
}

const out = new ByteWriter(1 << 16);
const target = new TextEncoder().encode('`j`');
const cursor = new RowEvent();

/** Decodes everything of a specimen in every way. Answers the rows read; a FailureError of the two right codes ends it early. */
export function decodeAll({ flavor, map, type, body }: Specimen): {
  rows: number;
  failed: boolean;
} {
  let rows = 0;
  try {
    let table = readTableMap(map, flavor);
    if (table.layout.hasOldTemporals) {
      table = withTemporalDigits(
        table,
        table.columns.map(({ index }) => (index + body.length) % 7),
      );
    }
    cursor.open(type, body, table);
    while (cursor.next()) {
      rows++;
      if (cursor.operation !== 'insert') decodeImage(table, cursor.before);
      if (cursor.operation !== 'delete') decodeImage(table, cursor.after);
    }
    return { rows, failed: false };
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    const { code } = error.failure;
    if (code !== 'SOURCE_CORRUPT' && code !== 'SOURCE_UNSUPPORTED') throw error;
    return { rows, failed: true };
  }
}

function decodeImage(table: TableMap, image: RowImage): void {
  for (const column of table.columns) {
    if (image.state(column.index) === 2) tolerant(column, image);
  }
}

/** One bad cell must not hide the others. */
function tolerant(column: LogColumn, image: RowImage): void {
  const { bytes } = image;
  const start = image.start(column.index);
  const end = image.end(column.index);
  if (start < 0 || end < start || end > bytes.byteLength)
    throw new Error('a cell outside its event');
  out.truncate(0);
  if (image.isPartial(column.index)) {
    attempt(() => writeJsonDiffs(out, readJsonDiffs(column, bytes, start, end), target));
    return;
  }
  attempt(() => writeText(out, column, bytes, start, end));
  attempt(() => readValue(column, bytes, start, end));
  if (column.type === 245) {
    attempt(() => isPlainJson(bytes, start + column.meta, end));
    attempt(() => writeJsonExpression(out, bytes, start + column.meta, end));
  }
}

function attempt(task: () => unknown): void {
  try {
    task();
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
  }
}

const striking = [0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 127, 128, 250, 251, 252, 253, 254, 255];

/** A damaged copy of `bytes`; `other` lends parts. */
export function mutate(bytes: Uint8Array, other: Uint8Array, random: TestRandom): Uint8Array {
  let copy = new Uint8Array(bytes);
  const times = random.chance(60) ? 1 : 1 + random.below(4);
  for (let i = 0; i < times && copy.byteLength > 0; i++) copy = damage(copy, other, random);
  return copy;
}

function damage(
  bytes: Uint8Array<ArrayBuffer>,
  other: Uint8Array,
  random: TestRandom,
): Uint8Array<ArrayBuffer> {
  // Damage near the front reaches lengths and bitmaps.
  const reach = random.chance(50) ? Math.min(64, bytes.byteLength) : bytes.byteLength;
  const at = random.below(reach);
  switch (random.below(8)) {
    case 0:
    case 1:
      bytes[at]! ^= 1 << random.below(8);
      return bytes;
    case 2:
      bytes[at] = random.pick(striking);
      return bytes;
    case 3:
      for (let i = at; i < Math.min(at + 4, bytes.byteLength); i++) bytes[i] = random.below(256);
      return bytes;
    case 4:
      return bytes.slice(0, at);
    case 5: {
      const end = at + random.below(bytes.byteLength - at + 1);
      return joined(bytes.subarray(0, at), bytes.subarray(end));
    }
    case 6: {
      const from = random.below(other.byteLength);
      const part = other.subarray(from, from + random.below(64));
      return joined(bytes.subarray(0, at), part, bytes.subarray(at));
    }
    default: {
      const part = other.subarray(random.below(other.byteLength));
      return joined(bytes.subarray(0, at), part);
    }
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}
