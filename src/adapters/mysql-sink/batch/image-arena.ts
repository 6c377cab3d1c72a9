import type { RowImage } from '#src/adapters/binlog/row-image.ts';

/** Start of a cell that its image lacks. */
export const absentCell = -1;
/** Start of a cell that is NULL. */
export const nullCell = -2;

/**
 * Row images kept for folding: where their cells lie, not the cells themselves. An image is known by its place: `cells[place]`
 * is the number of its bytes in `buffers`, then come start and end of each column's cell. Grows by doubling;
 * its bound is that of the blocks of one batch.
 */
export class ImageArena {
  /** The bytes the images lie in. */
  readonly buffers: Uint8Array[] = [];
  /** Places of all images; changes identity when it grows. */
  cells: Int32Array;
  readonly #columnCount: number;
  #length = 0;

  constructor(columnCount: number, imageCount = 64) {
    this.#columnCount = columnCount;
    this.cells = new Int32Array(imageCount * (1 + 2 * columnCount));
  }

  /** Keeps an image and answers its place. The event's bytes must not change while the arena is used. */
  keep(image: RowImage): number {
    const columnCount = this.#columnCount;
    const place = this.#length;
    const size = 1 + 2 * columnCount;
    if (place + size > this.cells.length) this.#grow();
    const cells = this.cells;
    cells[place] = this.#buffer(image.bytes);
    let at = place + 1;
    for (let i = 0; i < columnCount; i++) {
      const state = image.state(i);
      cells[at] = state === 2 ? image.start(i) : state === 1 ? nullCell : absentCell;
      cells[at + 1] = state === 2 ? image.end(i) : 0;
      at += 2;
    }
    this.#length = place + size;
    return place;
  }

  /** The bytes of an image. */
  bytes(place: number): Uint8Array {
    return this.buffers[this.cells[place]!]!;
  }

  /** Where a cell begins; {@link absentCell} or {@link nullCell} when it has no bytes. */
  start(place: number, column: number): number {
    return this.cells[place + 1 + 2 * column]!;
  }

  /** Where a cell ends. */
  end(place: number, column: number): number {
    return this.cells[place + 2 + 2 * column]!;
  }

  /** Whether two images have the same bytes (or both NULL, or both none) in a column. */
  sameCell(a: number, b: number, column: number): boolean {
    const startA = this.start(a, column);
    const startB = this.start(b, column);
    if (startA < 0 || startB < 0) return startA === startB;
    const length = this.end(a, column) - startA;
    if (this.end(b, column) - startB !== length) return false;
    const bytesA = this.bytes(a);
    const bytesB = this.bytes(b);
    for (let i = 0; i < length; i++) if (bytesA[startA + i] !== bytesB[startB + i]) return false;
    return true;
  }

  /** Forgets all images. */
  reset(): void {
    this.#length = 0;
    this.buffers.length = 0;
  }

  #buffer(bytes: Uint8Array): number {
    const last = this.buffers.length - 1;
    if (last >= 0 && this.buffers[last] === bytes) return last;
    // Updates alternate between two images of one event, whose bytes are the same object.
    return this.buffers.push(bytes) - 1;
  }

  #grow(): void {
    const grown = new Int32Array(this.cells.length * 2);
    grown.set(this.cells);
    this.cells = grown;
  }
}
