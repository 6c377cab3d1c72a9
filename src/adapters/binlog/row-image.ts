import { corrupt } from './corrupt.ts';
import type { RowLayout } from './row-layout.ts';

/** The state of a cell: not in this image, NULL, or there. */
export const cellState = { absent: 0, null: 1, present: 2 } as const;

/** A state of {@link cellState}. */
export type CellState = 0 | 1 | 2;

/** Which columns an image has, in order. */
export interface Presence {
  readonly columns: Int32Array;
  readonly count: number;
}

/**
 * One image of a row: where each cell begins and ends in the bytes of the event. It is overwritten by the next row, and
 * the bytes stay those of the event (or of its inflated copy).
 */
export class RowImage {
  #bytes: Uint8Array = new Uint8Array(0);
  #states = new Uint8Array(0);
  #starts = new Uint32Array(0);
  #ends = new Uint32Array(0);
  #partial: Uint8Array | null = null;
  #rowStart = 0;
  #rowEnd = 0;

  /** The bytes that `start` and `end` point into. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }

  /** Where the image begins (its NULL bits). */
  get rowStart(): number {
    return this.#rowStart;
  }

  /** Where the image ends. */
  get rowEnd(): number {
    return this.#rowEnd;
  }

  /** 0 absent, 1 NULL, 2 present; `column` is a column index of the table. */
  state(column: number): CellState {
    return this.#states[column]! as CellState;
  }

  /** Where the cell begins, with its length prefix if it has one; only for present cells. */
  start(column: number): number {
    return this.#starts[column]!;
  }

  /** Where the cell ends; only for present cells. */
  end(column: number): number {
    return this.#ends[column]!;
  }

  /** True when the cell is a list of changes to a JSON value (MySQL partial updates) instead of a value. */
  isPartial(column: number): boolean {
    return this.#partial !== null && this.#partial[column] === 1;
  }

  /** Prepares for the images of one event; `RowEvent` alone calls it. */
  open(bytes: Uint8Array, columnCount: number): void {
    this.#bytes = bytes;
    this.#partial = null;
    this.#rowStart = 0;
    this.#rowEnd = 0;
    if (this.#states.length < columnCount) {
      this.#states = new Uint8Array(columnCount);
      this.#starts = new Uint32Array(columnCount);
      this.#ends = new Uint32Array(columnCount);
    } else {
      this.#states.fill(0, 0, columnCount);
    }
  }

  /** Marks the JSON columns whose cells are lists of changes; null for none. `RowEvent` alone calls it. */
  setPartial(partial: Uint8Array | null): void {
    this.#partial = partial;
  }

  /** Finds the cells of the image at `at` and answers where the next one begins; `RowEvent` alone calls it. */
  scan(at: number, limit: number, layout: RowLayout, presence: Presence): number {
    const bytes = this.#bytes;
    const states = this.#states;
    const starts = this.#starts;
    const ends = this.#ends;
    const { widths } = layout;
    const { columns, count } = presence;
    this.#rowStart = at;
    const nulls = at;
    let next = at + ((count + 7) >> 3);
    // The NULL bits must lie inside; cells are checked where a length is read and once at the end.
    if (next > limit) corrupt('a row is cut short');
    for (let k = 0; k < count; k++) {
      const column = columns[k]!;
      if ((bytes[nulls + (k >> 3)]! & (1 << (k & 7))) !== 0) {
        states[column] = 1;
        continue;
      }
      states[column] = 2;
      starts[column] = next;
      const width = widths[column]!;
      if (width >= 0) {
        next += width;
      } else {
        if (next - width > limit) corrupt('a row is cut short');
        let length = bytes[next]!;
        if (width !== -1) {
          length |= bytes[next + 1]! << 8;
          if (width !== -2) {
            length |= bytes[next + 2]! << 16;
            if (width !== -3) length += bytes[next + 3]! * 0x1000000;
          }
        }
        next += length - width;
      }
      ends[column] = next;
    }
    if (next > limit) corrupt('a row is cut short');
    this.#rowEnd = next;
    return next;
  }
}
