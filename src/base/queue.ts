const smallCapacity = 16;
/** An empty queue gives back more than this. */
const keptCapacity = 4_096;
/** The ring of a queue that never held anything, as most queues of most cells; never written to. */
const noItems: undefined[] = [];

/** A first-in first-out queue with O(1) push and shift, in a ring; the holder states and checks its bound. */
export class Queue<T> {
  /** Its length is a power of two, or 0. */
  #items: (T | undefined)[] = noItems;
  #head = 0;
  #length = 0;

  /** Items waiting. */
  get length(): number {
    return this.#length;
  }

  /** Appends. */
  push(item: T): void {
    if (this.#length === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item;
    this.#length++;
  }

  /** Takes the oldest, or undefined when empty. */
  shift(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#length--;
    if (this.#length === 0 && this.#items.length > keptCapacity) this.clear();
    return item;
  }

  /** The oldest without taking it. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** Drops everything. */
  clear(): void {
    if (this.#length === 0 && this.#items.length <= keptCapacity) return;
    this.#items = noItems;
    this.#head = 0;
    this.#length = 0;
  }

  /** Oldest first. */
  *[Symbol.iterator](): IterableIterator<T> {
    const mask = this.#items.length - 1;
    for (let i = 0; i < this.#length; i++) yield this.#items[(this.#head + i) & mask] as T;
  }

  #grow(): void {
    const mask = this.#items.length - 1;
    const capacity = Math.max(smallCapacity, this.#length * 2);
    const items: (T | undefined)[] = [];
    for (let i = 0; i < this.#length; i++) items.push(this.#items[(this.#head + i) & mask]);
    while (items.length < capacity) items.push(undefined);
    this.#items = items;
    this.#head = 0;
  }
}
