/** How benches print and round. */

/** Two digits after the point. */
export function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** The value below which the share `p` of the sorted values lies; 0 when there are none. */
export function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0;
}

/** The middle one of the values, in any order. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

/** One line of a table: the first cell left, the others right. */
export function printLine(cells: readonly (string | number)[]): void {
  const [first, ...rest] = cells.map((cell) =>
    typeof cell === 'number' ? cell.toLocaleString('en') : cell,
  );
  const line = first!.padEnd(16) + rest.map((cell) => cell.padStart(16)).join('');
  process.stdout.write(`${line}\n`);
}
