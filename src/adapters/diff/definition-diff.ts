import type { ColumnShape, TableShape } from './table-shape.ts';

/**
 * How two definitions of a table differ, one sentence each: columns by name, type, NULL, character set and collation,
 * their order, and keys. Defaults, comments, engines and partitions are not looked at: they change no row.
 */
export function diffDefinitions(upstream: TableShape, sink: TableShape): string[] {
  const found: string[] = [];
  const theirs = new Map(sink.columns.map((column) => [column.name, column]));
  for (const column of upstream.columns) {
    const other = theirs.get(column.name);
    if (other === undefined) {
      found.push(`column ${column.name} is missing in the downstream`);
      continue;
    }
    const texts = [columnTextOf(column), columnTextOf(other)] as const;
    if (texts[0] !== texts[1]) {
      found.push(
        `column ${column.name} is ${texts[0]} in the upstream, ${texts[1]} in the downstream`,
      );
    }
  }
  const ours = new Set(upstream.columns.map(({ name }) => name));
  for (const { name } of sink.columns) {
    if (!ours.has(name)) found.push(`column ${name} is only in the downstream`);
  }
  if (found.length === 0) {
    const orders = [upstream, sink].map(({ columns }) =>
      columns.map(({ name }) => name).join('\0'),
    );
    if (orders[0] !== orders[1]) found.push('the columns stand in another order');
  }
  return [...found, ...diffKeys(upstream, sink)];
}

function diffKeys(upstream: TableShape, sink: TableShape): string[] {
  const texts = [upstream, sink].map(({ keys }) => new Set(keys.map(({ text }) => text)));
  const [ours, theirs] = [texts[0]!, texts[1]!];
  return [
    ...[...ours]
      .filter((text) => !theirs.has(text))
      .map((text) => `${text} is missing in the downstream`),
    ...[...theirs]
      .filter((text) => !ours.has(text))
      .map((text) => `${text} is only in the downstream`),
  ];
}

function columnTextOf(column: ColumnShape): string {
  const charset = column.collation === null ? '' : ` ${column.charset} ${column.collation}`;
  const generated = column.generated ? ' generated' : '';
  return `${plainType(column)}${charset}${column.nullable ? '' : ' NOT NULL'}${generated}`;
}

/** Display widths of integers say nothing about values, and MySQL no longer keeps them. */
function plainType({ dataType, columnType }: ColumnShape): string {
  if (!/^(tinyint|smallint|mediumint|int|bigint|year)$/.test(dataType)) return columnType;
  return columnType.includes('zerofill') ? columnType : columnType.replace(/\(\d+\)/, '');
}
