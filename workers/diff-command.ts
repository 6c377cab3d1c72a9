/** `sluice diff`: compares two servers and names the rows that differ. */
import { diffDatabases } from '#src/adapters/diff/diff-databases.ts';
import type { DiffResult, RowDifference } from '#src/adapters/diff/diff-result.ts';
import { readChangefeedFile } from '#src/config/changefeed-file.ts';

/** Options of the command line. */
export interface DiffCommandOptions {
  readonly upstream: string;
  readonly sinkUri: string;
  readonly config?: string;
  readonly json?: boolean;
}

/** Compares and prints; exit status 0 when equal, 1 when not. */
export async function diff(options: DiffCommandOptions): Promise<number> {
  const { rules } = readChangefeedFile(options.config, 'process');
  const result = await diffDatabases({
    upstreamUri: options.upstream,
    sinkUri: options.sinkUri,
    rules,
  });
  if (options.json === true)
    process.stdout.write(`${JSON.stringify({ ok: result.equal, ...result })}\n`);
  else print(result);
  return result.equal ? 0 : 1;
}

function print(result: DiffResult): void {
  for (const table of result.tables) {
    if (table.state === 'equal') continue;
    process.stdout.write(
      `${table.state.padEnd(9)} ${table.table}: ${table.differenceCount} rows\n`,
    );
    for (const line of table.definition) process.stdout.write(`    ${line}\n`);
  }
  for (const line of rowTexts(result.differences)) process.stdout.write(`  ${line}\n`);
  const more = result.truncated ? ' or more' : '';
  process.stdout.write(
    result.equal
      ? `equal: ${result.rowsCompared} rows in ${result.tables.length} tables\n`
      : `different: ${result.differenceCount}${more} rows; ${result.rowsCompared} rows in ${result.tables.length} tables compared\n`,
  );
}

/** A person looks at a few rows of each table; `--json` has them all. */
const shownRowCountMax = 10;

function* rowTexts(rows: DiffResult['differences']): Generator<string> {
  const counts = new Map<string, number>();
  for (const row of rows) {
    const count = (counts.get(row.table) ?? 0) + 1;
    counts.set(row.table, count);
    if (count <= shownRowCountMax) yield rowText(row);
  }
  for (const [table, count] of counts)
    if (count > shownRowCountMax) yield `${count - shownRowCountMax} more of ${table}`;
}

function rowText(row: RowDifference): string {
  const key =
    row.key === null
      ? `row ${row.digest ?? ''}`
      : Object.entries(row.key)
          .map(([column, value]) => `${column}=${value ?? 'NULL'}`)
          .join(', ');
  return `${row.kind} ${row.table} ${key}${row.count > 1 ? ` (${row.count} copies)` : ''}`;
}
