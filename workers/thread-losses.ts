/** Dead threads within {@link lossPeriodMs} above which a system gives up (RELIABILITY I-31). */
const lossCountMax = 5;
const lossPeriodMs = 60_000;

/** When threads died by themselves, lately. */
export class ThreadLosses {
  #atMs: readonly number[] = [];

  /** Another one, at a monotonic time. */
  add(nowMs: number): void {
    this.#atMs = [...this.#atMs, nowMs];
  }

  /** Whether there were too many to go on. */
  areTooMany(nowMs: number): boolean {
    this.#atMs = this.#atMs.filter((at) => nowMs - at < lossPeriodMs);
    return this.#atMs.length > lossCountMax;
  }
}
