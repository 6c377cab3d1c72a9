/** Beyond this many in a row each such many-eth is told. */
const everyMax = 128;

/**
 * Whether the `count`th of a thing that happens again and again is worth a line in the log: the 1st, 2nd, 4th, 8th, …, and then
 * every 128th. What is tried twice a second for a day then says so about 1,400 times instead of 170,000.
 */
export function isSeldom(count: number): boolean {
  return count % everyMax === 0 || (count < everyMax && Number.isInteger(Math.log2(count)));
}
