/**
 * The token of a slot's assignment, `maintainerEpoch · 2^20 + assignmentSeq` (FENCE §1.1): the fencing number that the
 * downstream compares. It rises with every assignment, and each token of an epoch is above all of the epochs before it.
 */

/**
 * Tokens of one epoch: `epoch * tokenAssignments` is its first. With epochs below 2^33 a token is below 2^53, so a number
 * holds it exactly.
 */
export const tokenAssignments = 2 ** 20;

/** The last epoch whose tokens a number holds; above it is an error, never a wrap (spec/02 2b). */
export const epochMax = 2 ** 33 - 1;

/** The epoch of the maintainer that gave `token`. */
export function epochOf(token: number): number {
  return Math.floor(token / tokenAssignments);
}

/** The last token of an epoch: above all that its maintainer gives, below all of the next. */
export function lastTokenOf(epoch: number): number {
  return (epoch + 1) * tokenAssignments - 1;
}

/** True of an epoch that has tokens and another epoch above it: a tombstone's has neither. */
export function isEpochBelowMax(epoch: number): boolean {
  return Number.isSafeInteger(epoch) && epoch >= 0 && epoch < epochMax;
}
