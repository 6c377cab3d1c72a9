/** A first-in first-out queue with O(1) push and shift; the holder states and checks its bound. */
export class Queue<T> {
  #items: (T | undefined)[] = [];
  #head = 0;

  /** Items waiting. */
  get length(): number {
    return this.#items.length - this.#head;
  }

  /** Appends. */
  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the oldest, or undefined when empty. */
  shift(): T | undefined {
    if (this.#head === this.#items.length) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head++] = undefined;
    // Compact once half is dead, so that memory follows the number of live items.
    if (this.#head > 512 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    } else if (this.#head === this.#items.length) {
      this.#items.length = 0;
      this.#head = 0;
    }
    return item;
  }

  /** The oldest without taking it. */
  peek(): T | undefined {
    return this.#items[this.#head];
  }

  /** Drops everything. */
  clear(): void {
    this.#items.length = 0;
    this.#head = 0;
  }

  /** Oldest first. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let i = this.#head; i < this.#items.length; i++) yield this.#items[i] as T;
  }
}
