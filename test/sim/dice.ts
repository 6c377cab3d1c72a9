/**
 * Seeded chance in streams of their own: workload, faults, each link, each port. What one stream is asked does not change
 * what another answers, so taking one fault away does not reshuffle the rest of a run.
 */
import { UniformSource } from '#test/fixtures/random.ts';

/** A hash of 32 bits over text and numbers. */
export function hashOf(...parts: readonly (string | number)[]): number {
  let hash = 0x811c_9dc5;
  for (const part of parts) {
    const text = String(part);
    for (let i = 0; i < text.length; i++)
      hash = Math.imul(hash ^ text.charCodeAt(i), 0x0100_0193) >>> 0;
    hash = Math.imul(hash ^ 0xff, 0x0100_0193) >>> 0;
  }
  return hash;
}

/** One stream: the same name gives the same numbers. */
export class Dice {
  /** Uniform in [0, 1). */
  readonly next: () => number;

  constructor(...name: readonly (string | number)[]) {
    this.next = new UniformSource(hashOf(...name)).next;
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** An integer from 0 to below `count`. */
  pick(count: number): number {
    return Math.floor(this.next() * count);
  }

  /** An integer from `min` to `max`, both possible. */
  between(min: number, max: number): number {
    return min + this.pick(max - min + 1);
  }

  /** One of `values`, which is not empty. */
  of<T>(values: readonly T[]): T {
    return values[this.pick(values.length)]!;
  }

  /** Between 1 and `max`, each order of magnitude as likely as the others: most are small, some are not. */
  magnitude(max: number): number {
    return max ** this.next();
  }
}
