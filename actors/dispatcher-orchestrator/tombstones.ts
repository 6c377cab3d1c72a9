/**
 * Which maintainers have closed their changefeed on this node (spec/04 E6): after a close under an epoch has succeeded, no
 * bootstrap of that epoch or an earlier one makes a manager again. Mutated in place by the orchestrator alone.
 */

/** Changefeeds remembered; the oldest are forgotten, which is what a restart of the node does too. */
const tombstoneCountMax = 10_000;

/** See the top of this file. */
export class Tombstones {
  readonly #epochs = new Map<string, number>();

  /** A close of `id` under `epoch` found no manager, or its manager has ended. The highest epoch counts. */
  bury(id: string, epoch: number): void {
    const known = this.#epochs.get(id) ?? 0;
    this.#epochs.delete(id);
    this.#epochs.set(id, Math.max(known, epoch));
    if (this.#epochs.size <= tombstoneCountMax) return;
    for (const oldest of this.#epochs.keys()) {
      this.#epochs.delete(oldest);
      return;
    }
  }

  /**
   * Only a maintainer above this epoch may have a manager here; 0 when none has closed. It stays when a manager is made: one
   * that ends by itself must not open the way for those before it.
   */
  epochOf(id: string): number {
    return this.#epochs.get(id) ?? 0;
  }

  get size(): number {
    return this.#epochs.size;
  }
}
