/** Items of one list for another thread: that one begins while the rest is still made here. */
export const batchItemCount = 512;

/** Gathers what is given to it in one tick and hands it on as one list, or few, in order. Bounded by what one tick can make. */
export class Batch<T> {
  readonly #send: (items: readonly T[]) => void;
  readonly #itemCountMax: number;
  #items: T[] = [];
  #isScheduled = false;

  /** With `itemCountMax` a full list is sent at once, within `push`. */
  constructor(send: (items: readonly T[]) => void, itemCountMax = Infinity) {
    this.#send = send;
    this.#itemCountMax = itemCountMax;
  }

  /** Adds an item; the list leaves when it is full, or the present turn is over. */
  push(item: T): void {
    this.#items.push(item);
    if (this.#items.length >= this.#itemCountMax) this.#flush();
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    const items = this.#items;
    if (items.length === 0) return;
    this.#items = [];
    this.#send(items);
  }
}
