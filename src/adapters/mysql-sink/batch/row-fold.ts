import { ImageArena, absentCell } from './image-arena.ts';

import type { RowEvent, RowOperation } from '#src/adapters/binlog/row-event.ts';

/** No image: the row does not exist. */
export const noImage = -1;

/**
 * Folds row changes of many transactions to one net change per row key, in order of first touch.
 *
 * For each key it keeps the row before the batch (`first`) and after it (`last`); what happened in between is gone. A
 * change of the key is a deletion under the old key and an insertion under the new one. Keys are compared by their bytes
 * in the log: a before image always repeats the bytes of the image that wrote the row, so one row never appears under
 * two spellings of its key without an event that deletes the one and inserts the other.
 */
export class RowFold {
  /** Holds all images. */
  readonly arena: ImageArena;
  /** Per entry: image before the batch, or {@link noImage} when the row did not exist. */
  first: Int32Array;
  /** Per entry: image after the batch, or {@link noImage} when the row no longer exists. */
  last: Int32Array;
  /** Entries so far. */
  count = 0;
  readonly #keyColumns: readonly number[];
  /** Per entry: an image that has the key, and the key's hash. */
  #keys: Int32Array;
  #hashes: Int32Array;
  /** Open addressing: entry + 1, 0 = free. Its size is a power of two, at most half full. */
  #slots: Int32Array;

  constructor(columnCount: number, keyColumns: readonly number[], entryCount = 256) {
    this.arena = new ImageArena(columnCount, entryCount);
    this.#keyColumns = keyColumns;
    this.first = new Int32Array(entryCount);
    this.last = new Int32Array(entryCount);
    this.#keys = new Int32Array(entryCount);
    this.#hashes = new Int32Array(entryCount);
    let slotCount = 16;
    while (slotCount < entryCount * 2) slotCount *= 2;
    this.#slots = new Int32Array(slotCount);
  }

  /**
   * Adds the current row of `event`, of an update perhaps only what it takes away or adds; false when an image lacks a key
   * column, so that it cannot be folded.
   */
  add(event: RowEvent, operation: RowOperation = event.operation): boolean {
    switch (operation) {
      case 'insert':
        return this.#insert(this.arena.keep(event.after));
      case 'delete':
        return this.#delete(this.arena.keep(event.before));
      case 'update': {
        const before = this.arena.keep(event.before);
        const after = this.arena.keep(event.after);
        if (!this.#sameKey(before, after)) return this.#delete(before) && this.#insert(after);
        return this.#update(before, after);
      }
    }
  }

  /** An image that has the key of an entry. */
  keyImage(entry: number): number {
    return this.#keys[entry]!;
  }

  #insert(after: number): boolean {
    const entry = this.#entry(after, noImage);
    if (entry < 0) return false;
    this.last[entry] = after;
    return true;
  }

  #delete(before: number): boolean {
    const entry = this.#entry(before, before);
    if (entry < 0) return false;
    this.last[entry] = noImage;
    return true;
  }

  #update(before: number, after: number): boolean {
    const entry = this.#entry(before, before);
    if (entry < 0) return false;
    this.last[entry] = after;
    return true;
  }

  /** The entry of the key of `image`, made with `first` when new; -1 when the image lacks its key. */
  #entry(image: number, first: number): number {
    const hash = this.#hash(image);
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let found = this.#slots[slot]!; found !== 0; found = this.#slots[slot]!) {
      const entry = found - 1;
      if (this.#hashes[entry] === hash && this.#sameKey(this.#keys[entry]!, image)) return entry;
      slot = (slot + 1) & mask;
    }
    for (const column of this.#keyColumns) {
      if (this.arena.start(image, column) === absentCell) return -1;
    }
    if (this.count === this.first.length) this.#growEntries();
    const entry = this.count++;
    this.first[entry] = first;
    this.#keys[entry] = image;
    this.#hashes[entry] = hash;
    this.#slots[slot] = entry + 1;
    if (this.count * 2 > this.#slots.length) this.#growSlots();
    return entry;
  }

  #hash(image: number): number {
    const { arena } = this;
    const bytes = arena.bytes(image);
    let hash = 0x1505;
    for (const column of this.#keyColumns) {
      const end = arena.end(image, column);
      for (let i = arena.start(image, column); i < end; i++) {
        hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
      }
    }
    // The low bits choose the slot: let the high ones take part.
    hash ^= hash >>> 15;
    hash = Math.imul(hash, 0x2c1b3c6d);
    return hash ^ (hash >>> 13);
  }

  #sameKey(a: number, b: number): boolean {
    for (const column of this.#keyColumns) {
      if (!this.arena.sameCell(a, b, column)) return false;
    }
    return true;
  }

  #growEntries(): void {
    const grow = (old: Int32Array): Int32Array => {
      const grown = new Int32Array(old.length * 2);
      grown.set(old);
      return grown;
    };
    this.first = grow(this.first);
    this.last = grow(this.last);
    this.#keys = grow(this.#keys);
    this.#hashes = grow(this.#hashes);
  }

  #growSlots(): void {
    const slots = new Int32Array(this.#slots.length * 2);
    const mask = slots.length - 1;
    for (let entry = 0; entry < this.count; entry++) {
      let slot = this.#hashes[entry]! & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry + 1;
    }
    this.#slots = slots;
  }
}
