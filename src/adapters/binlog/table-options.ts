/** The optional part of a table map: fields of a type byte, a length and a value, in any order; unknown types are skipped. */
import type { LogFlavor } from '#src/model/block.ts';
import { ByteCursor } from './byte-cursor.ts';
import { charsetOfCollation, decodeCharset } from './charset.ts';
import { typeClass } from './column.ts';
import { corrupt } from './corrupt.ts';

/** Labels of an enum or set column. */
export interface Labels {
  readonly bytes: readonly Uint8Array[];
  /** Null when the charset has no exact decoder here. */
  readonly texts: readonly string[] | null;
}

/** What the optional fields say, by column index. */
export interface TableOptions {
  names: readonly string[] | null;
  readonly unsigned: Set<number>;
  readonly collations: Map<number, number>;
  readonly labels: Map<number, Labels>;
  readonly geometries: Map<number, number>;
  readonly keys: Map<number, { readonly ordinal: number; readonly prefix: number }>;
  readonly invisible: Set<number>;
}

interface Shape {
  readonly type: number;
}

const field = {
  signedness: 1,
  defaultCharset: 2,
  columnCharset: 3,
  columnName: 4,
  setLabels: 5,
  enumLabels: 6,
  geometryType: 7,
  primaryKey: 8,
  primaryKeyPrefix: 9,
  labelDefaultCharset: 10,
  labelColumnCharset: 11,
  visibility: 12,
} as const;

/** Most labels a column may have. */
const enumLabelsMax = 65_535;
const setLabelsMax = 64;

/** Reads the optional fields from `cursor` to its end. */
export function readTableOptions(
  cursor: ByteCursor,
  shapes: readonly Shape[],
  flavor: LogFlavor,
): TableOptions {
  const reader = new OptionReader(shapes, flavor);
  while (cursor.left > 0) {
    const type = cursor.uint8();
    const length = cursor.lenenc();
    const start = cursor.skip(length);
    reader.field(type, new ByteCursor(cursor.bytes, 'a table map', start, start + length));
  }
  return reader.finish();
}

/** Columns with a sign bit; both makes of server count years among them, as unsigned. */
const numericClasses: ReadonlySet<string | undefined> = new Set([
  'integer',
  'decimal',
  'float',
  'double',
  'year',
]);

class OptionReader {
  readonly #options: TableOptions = {
    names: null,
    unsigned: new Set(),
    collations: new Map(),
    labels: new Map(),
    geometries: new Map(),
    keys: new Map(),
    invisible: new Set(),
  };
  readonly #count: number;
  readonly #seen = new Set<number>();
  readonly #numeric: number[] = [];
  readonly #character: number[] = [];
  readonly #enums: number[] = [];
  readonly #sets: number[] = [];
  readonly #labelled: number[] = [];
  readonly #geometries: number[] = [];
  readonly #labelBytes = new Map<number, Uint8Array[]>();

  constructor(shapes: readonly Shape[], flavor: LogFlavor) {
    this.#count = shapes.length;
    shapes.forEach(({ type }, i) => {
      const name = typeClass(type);
      if (numericClasses.has(name)) {
        this.#numeric.push(i);
      } else if (name === 'character' || (name === 'vector' && flavor === 'mysql')) {
        // MySQL counts vectors among the character columns.
        this.#character.push(i);
      } else if (name === 'geometry') {
        this.#geometries.push(i);
        // MariaDB counts geometries among the character columns; MySQL does not.
        if (flavor === 'mariadb') this.#character.push(i);
      } else if (name === 'enum' || name === 'set') {
        this.#labelled.push(i);
        (name === 'enum' ? this.#enums : this.#sets).push(i);
      }
    });
  }

  field(type: number, value: ByteCursor): void {
    // Each kind comes once; were it to come often, the work would be more than linear in the input.
    if (this.#seen.has(type)) corrupt('a table map has the same field twice');
    this.#seen.add(type);
    switch (type) {
      case field.signedness:
        this.#numeric.forEach((column, i) => {
          if (bitOf(value, i)) this.#options.unsigned.add(column);
        });
        break;
      case field.defaultCharset:
        this.#defaultCharset(this.#character, value);
        break;
      case field.columnCharset:
        this.#columnCharset(this.#character, value);
        break;
      case field.labelDefaultCharset:
        this.#defaultCharset(this.#labelled, value);
        break;
      case field.labelColumnCharset:
        this.#columnCharset(this.#labelled, value);
        break;
      case field.columnName:
        this.#names(value);
        break;
      case field.setLabels:
        this.#labels(this.#sets, value, setLabelsMax);
        break;
      case field.enumLabels:
        this.#labels(this.#enums, value, enumLabelsMax);
        break;
      case field.geometryType:
        for (const column of this.#geometries) this.#options.geometries.set(column, value.lenenc());
        break;
      case field.primaryKey:
        this.#primaryKey(value, false);
        break;
      case field.primaryKeyPrefix:
        this.#primaryKey(value, true);
        break;
      case field.visibility:
        for (let i = 0; i < this.#count; i++) {
          if (!bitOf(value, i)) this.#options.invisible.add(i);
        }
        break;
      default:
        break;
    }
  }

  finish(): TableOptions {
    for (const [column, bytes] of this.#labelBytes) {
      const charset = charsetOfCollation(this.#options.collations.get(column) ?? 0) ?? 'utf8mb4';
      const texts: string[] = [];
      for (const label of bytes) {
        const text = decodeCharset(charset, label, 0, label.byteLength);
        if (text !== null) texts.push(text);
      }
      const whole = texts.length === bytes.length;
      this.#options.labels.set(column, { bytes, texts: whole ? texts : null });
    }
    return this.#options;
  }

  #defaultCharset(columns: readonly number[], value: ByteCursor): void {
    const collation = value.lenenc();
    for (const column of columns) this.#options.collations.set(column, collation);
    while (value.left > 0) {
      const ordinal = value.lenenc();
      const column = columns[ordinal];
      if (column === undefined) corrupt('a table map has a charset for a column it does not have');
      this.#options.collations.set(column, value.lenenc());
    }
  }

  #columnCharset(columns: readonly number[], value: ByteCursor): void {
    for (const column of columns) this.#options.collations.set(column, value.lenenc());
  }

  #names(value: ByteCursor): void {
    const names: string[] = [];
    while (value.left > 0) names.push(value.text(value.lenenc()));
    if (names.length !== this.#count) corrupt('a table map has more or fewer names than columns');
    this.#options.names = names;
  }

  #labels(columns: readonly number[], value: ByteCursor, countMax: number): void {
    for (const column of columns) {
      const count = value.lenenc();
      if (count > countMax) corrupt('a table map has too many labels');
      const labels: Uint8Array[] = [];
      for (let i = 0; i < count; i++) labels.push(new Uint8Array(value.view(value.lenenc())));
      this.#labelBytes.set(column, labels);
    }
  }

  #primaryKey(value: ByteCursor, withPrefix: boolean): void {
    let ordinal = 0;
    while (value.left > 0) {
      const column = value.lenenc();
      if (column >= this.#count) corrupt('a table map has a key over a column it does not have');
      this.#options.keys.set(column, {
        ordinal: ordinal++,
        prefix: withPrefix ? value.lenenc() : 0,
      });
    }
  }
}

/** Bit `i` of a field whose bytes are filled from the highest bit down. */
function bitOf(value: ByteCursor, i: number): boolean {
  const at = value.at + (i >> 3);
  if (at >= value.end) corrupt('a table map has too few bits');
  return (value.bytes[at]! & (0x80 >> (i & 7))) !== 0;
}
