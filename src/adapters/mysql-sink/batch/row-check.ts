const encoder = new TextEncoder();

/** Error number of a failed row check: a number out of range. */
const outOfRange = 1690;

/**
 * A statement that fails unless the statement before it changed (matched) exactly `rowCount` rows: error 1690 with
 * `row_count()` in its message, which no replicated statement gives. Needs CLIENT_FOUND_ROWS for updates to count matches.
 */
export function rowCheck(rowCount: number): Uint8Array {
  // The sum is out of range whatever ROW_COUNT() is, and only computed when the counts differ.
  return encoder.encode(
    `SET @sluice_ok=IF(ROW_COUNT()=${rowCount},1,18446744073709551615+(ROW_COUNT()+2))`,
  );
}

/** Whether an error of the downstream says that a {@link rowCheck} failed: a row to change is not there. */
export function isRowCheckError(errno: number, message: string): boolean {
  return errno === outOfRange && /row_count\(\)/i.test(message);
}
