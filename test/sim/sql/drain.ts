/**
 * How asynchronous adapters run inside the synchronous simulator.
 *
 * An adapter only ever goes on when the simulation makes it: a call, bytes of the simulated server, a timer of virtual time.
 * Everything it does then is a run of microtasks that ends by itself, because nothing in it waits for the real world. One
 * turn of `setImmediate` lets all of them run, whatever their number, and is the cheapest way that needs no counting
 * (below 1 µs; awaiting a fixed number of turns costs about the same and is wrong as soon as somebody adds an `await`).
 *
 * So a world that holds such adapters takes its steps like this, and stays exactly as deterministic as before:
 *
 *     while (world.step()) await drain.settleIfNeeded();
 */
export class Drain {
  #isNeeded = false;

  /** Whether something was started since the last {@link settle} that may go on in microtasks. */
  get isNeeded(): boolean {
    return this.#isNeeded;
  }

  /** Says that an adapter was called, or that something it waits for came. */
  mark(): void {
    this.#isNeeded = true;
  }

  /** {@link settle} when something was started, else at once: for worlds that ask after every step. */
  settleIfNeeded(): Promise<void> {
    return this.#isNeeded ? this.settle() : settled;
  }

  /** Resolves when every adapter has gone as far as it can without the simulation. */
  settle(): Promise<void> {
    this.#isNeeded = false;
    return new Promise((resolve) => setImmediate(resolve));
  }
}

const settled = Promise.resolve();
