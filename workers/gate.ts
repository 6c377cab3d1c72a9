/**
 * The gate (DESIGN §4): one shared word that every thread reads immediately before each submit. Shutting it is one atomic
 * store; a shut gate is never opened again.
 */
export class Gate {
  /** Memory to hand to other threads. */
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  /** False once fenced: nothing may be submitted any more. */
  mayWrite(): boolean {
    return Atomics.load(this.#words, 0) === 0;
  }

  /** Shuts the gate for all threads, for good. */
  shut(): void {
    Atomics.store(this.#words, 0, 1);
  }
}
