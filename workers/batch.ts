/** Gathers what is given to it in one tick and hands it on as one list, in order. Bounded by what one tick can make. */
export class Batch<T> {
  readonly #send: (items: readonly T[]) => void;
  #items: T[] = [];

  constructor(send: (items: readonly T[]) => void) {
    this.#send = send;
  }

  /** Adds an item; the list leaves when the present turn is over. */
  push(item: T): void {
    this.#items.push(item);
    if (this.#items.length === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    const items = this.#items;
    this.#items = [];
    this.#send(items);
  }
}
