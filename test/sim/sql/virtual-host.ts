import { TestRandom } from '../../fixtures/random.ts';

import type { SimHost } from './connection.ts';

/** Virtual time for a server alone: what is due first happens first, equal times in the order of making. */
export class VirtualHost implements SimHost {
  readonly random: () => number;
  readonly #due: { readonly at: number; readonly run: () => void }[] = [];
  #now = 0;

  constructor(seed: number) {
    const dice = new TestRandom(seed);
    this.random = () => dice.below(2 ** 30) / 2 ** 30;
  }

  readonly now = (): number => this.#now;

  readonly after = (ms: number, run: () => void): (() => void) => {
    const event = { at: this.#now + ms, run };
    const place = this.#due.findLastIndex(({ at }) => at <= event.at) + 1;
    this.#due.splice(place, 0, event);
    return () => {
      const found = this.#due.indexOf(event);
      if (found >= 0) this.#due.splice(found, 1);
    };
  };

  /** Does the next thing that is due until `untilMs`; false when there is none. */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    const event = this.#due[0];
    if (event === undefined || event.at > untilMs) return false;
    this.#due.shift();
    this.#now = Math.max(this.#now, event.at);
    event.run();
    return true;
  }
}
