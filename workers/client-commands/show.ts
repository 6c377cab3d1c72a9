/** What client commands print: tables and lists for people, one JSON line for scripts. */
import type { Answer, ClientOptions } from './api-client.ts';

/** Columns of a table: heading, and the cell of a row. */
export type Columns<Row> = readonly (readonly [heading: string, cell: (row: Row) => unknown])[];

/** Prints `answer` as the result line, or what `people` makes of it. */
export function show(options: ClientOptions, answer: Answer, people: () => string): void {
  const text = options.json === true ? JSON.stringify({ ok: true, ...answer }) : people();
  if (text !== '') process.stdout.write(`${text}\n`);
}

/** Rows under headings, columns two spaces apart; only the headings when there is no row. */
export function tableText<Row>(rows: readonly Row[], columns: Columns<Row>): string {
  const lines = [
    columns.map(([heading]) => heading.toUpperCase()),
    ...rows.map((row) => columns.map(([, cell]) => textOf(cell(row)))),
  ];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** One fact a line, names aligned; empty values are left out. */
export function factsText(facts: readonly (readonly [name: string, value: unknown])[]): string {
  const shown = facts.map(([name, value]) => [name, textOf(value)] as const);
  const filled = shown.filter(([, value]) => value !== '');
  const width = Math.max(...filled.map(([name]) => name.length));
  return filled.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join('\n');
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (Array.isArray(value)) return value.map(textOf).join('; ');
  return typeof value === 'string' ? value : JSON.stringify(value);
}
