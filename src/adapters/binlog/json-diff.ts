/** MySQL's partial updates of JSON (binlog_row_value_options=PARTIAL_JSON): a cell is a list of changes to the old value. */
import type { ByteWriter } from '#src/base/byte-writer.ts';
import { ByteCursor } from './byte-cursor.ts';
import type { LogColumn } from './column.ts';
import { corrupt } from './corrupt.ts';
import { writeHexText, writeJsonExpression } from './json-expression.ts';

/** What a change does: replaces the value at its path, inserts one there, or removes it. */
export type JsonOperation = 'replace' | 'insert' | 'remove';

/** One change. */
export interface JsonDiff {
  readonly operation: JsonOperation;
  /** A JSON path of MySQL, e.g. `$.a[2]`. */
  readonly path: string;
  /** Binary JSON of the new value; null for `remove`. */
  readonly value: Uint8Array | null;
}

const operations: readonly JsonOperation[] = ['replace', 'insert', 'remove'];

/** The changes of a partial cell (`RowImage.isPartial`), to be applied in order; an empty list changes nothing. */
export function readJsonDiffs(
  column: LogColumn,
  bytes: Uint8Array,
  start: number,
  end: number,
): JsonDiff[] {
  const cursor = new ByteCursor(bytes, 'a JSON change', start + column.meta, end);
  const diffs: JsonDiff[] = [];
  while (cursor.left > 0) {
    const operation = operations[cursor.uint8()] ?? corrupt('a JSON change is of an unknown kind');
    const path = cursor.text(cursor.lenenc());
    const value = operation === 'remove' ? null : cursor.view(cursor.lenenc());
    diffs.push({ operation, path, value });
  }
  return diffs;
}

/**
 * Writes an SQL expression for the new value of a partial cell; `target` is SQL for the old value (a quoted column name
 * or an expression of type JSON). It is ASCII but for `target`.
 */
export function writeJsonDiffs(
  out: ByteWriter,
  diffs: readonly JsonDiff[],
  target: Uint8Array,
): void {
  for (let i = diffs.length - 1; i >= 0; i--) out.ascii(functionOf(diffs[i]!));
  out.raw(target);
  for (const { path, value } of diffs) {
    out.byte(0x2c);
    const text = encoder.encode(path);
    writeHexText(out, text, 0, text.byteLength);
    if (value !== null) {
      out.byte(0x2c);
      writeJsonExpression(out, value, 0, value.byteLength);
    }
    out.byte(0x29);
  }
}

const encoder = new TextEncoder();

function functionOf(diff: JsonDiff): string {
  if (diff.operation === 'replace') return 'JSON_REPLACE(';
  if (diff.operation === 'remove') return 'JSON_REMOVE(';
  // Into an array everything behind moves on; into an object there is no behind.
  return diff.path.endsWith(']') ? 'JSON_ARRAY_INSERT(' : 'JSON_INSERT(';
}
