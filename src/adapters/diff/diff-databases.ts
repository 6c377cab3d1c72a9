import { fail } from '#src/base/failure.ts';
import { parseDatabaseUri } from '#src/config/uri.ts';
import { compileTableFilter } from '#src/model/table-filter.ts';
import { canBound, textForm } from './column-text.ts';
import { makeCollector } from './comparison.ts';
import { diffDefinitions } from './definition-diff.ts';
import { DiffServer } from './diff-server.ts';
import { KeyedTable } from './keyed-table.ts';
import { compareKeylessTable } from './keyless-table.ts';
import { readTableNames, readTableShape } from './table-shape.ts';

import type { TableName } from '#src/model/span.ts';
import type { ComparedTable, DiffCollector, DiffServers } from './comparison.ts';
import type { DiffOptions, DiffResult, TableDiff } from './diff-result.ts';
import type { ComparedColumn } from './row-hash.ts';
import type { KeyShape, TableShape } from './table-shape.ts';

const chunkRowsDefault = 20_000;

/**
 * Compares the tables that `rules` select on two servers, row for row, by checksums that the servers compute. Nothing is
 * locked and nothing is written; while rows are still being replicated they may show as differences, so compare when
 * the downstream has caught up and the upstream rests. A table that an account may not read counts as absent. Failures: CONFIG_INVALID, SOURCE_… and SINK_… UNREACHABLE or
 * ACCESS_DENIED, DIFF_FAILED, INTERNAL_STOPPED.
 */
export async function diffDatabases(options: DiffOptions): Promise<DiffResult> {
  const chunkRows = options.chunkRows ?? chunkRowsDefault;
  if (!Number.isInteger(chunkRows) || chunkRows < 100 || chunkRows > 1_000_000) {
    fail('CONFIG_INVALID', 'chunk rows must be 100 … 1,000,000');
  }
  const upstream = await DiffServer.open('upstream', options.upstreamUri);
  const opened = [upstream];
  const closeAll = (): void => {
    for (const server of opened) server.close();
  };
  options.signal?.addEventListener('abort', closeAll, { once: true });
  try {
    const sink = await DiffServer.open('downstream', options.sinkUri);
    opened.push(sink);
    return await diffTables({ upstream, sink }, options, chunkRows);
  } catch (error) {
    // Closing the connections under a query gives some driver error; the caller asked for the end.
    if (options.signal?.aborted === true) fail('INTERNAL_STOPPED', 'the comparison was stopped');
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', closeAll);
    closeAll();
  }
}

async function diffTables(
  servers: DiffServers,
  options: DiffOptions,
  chunkRows: number,
): Promise<DiffResult> {
  const { ours, theirs, all } = await selectTables(servers, options);
  const tables: TableDiff[] = [];
  let current = '';
  const collector = makeCollector(
    { perTable: options.listedRowsPerTable ?? 100, inAll: options.listedRows ?? 10_000 },
    {
      where: () => ({ table: current, tablesDone: tables.length, tableCount: all.size }),
      onProgress: options.onProgress,
      signal: options.signal,
    },
  );
  for (const [id, name] of all) {
    const label = `${name.schema}.${name.table}`;
    current = label;
    collector.nextTable();
    if (!theirs.has(id)) tables.push(absent(label, 'missing'));
    else if (!ours.has(id)) tables.push(absent(label, 'extra'));
    else tables.push(await diffTable(servers, { label, name, chunkRows, collector }));
  }
  return {
    equal: tables.every(({ state }) => state === 'equal'),
    tables,
    rowsCompared: collector.rowsCompared,
    differenceCount: collector.differenceCount,
    truncated: collector.truncated,
    differences: collector.differences,
  };
}

async function selectTables(
  servers: DiffServers,
  options: DiffOptions,
): Promise<{ ours: Set<string>; theirs: Set<string>; all: Map<string, TableName> }> {
  const filter = compileTableFilter(options.rules);
  const metaDatabase = parseDatabaseUri(options.sinkUri).parameters.get('meta-database');
  const lists = await Promise.all(
    [servers.upstream, servers.sink].map(async (server) => {
      const names = await readTableNames(server);
      const selected = names.filter(
        ({ schema, table }) => schema !== metaDatabase && filter.matchesTable(schema, table),
      );
      // Not by `schema.table`: names may hold dots themselves.
      return new Map(selected.map((name) => [`${name.schema}\0${name.table}`, name]));
    }),
  );
  const [ours, theirs] = [lists[0]!, lists[1]!];
  return {
    ours: new Set(ours.keys()),
    theirs: new Set(theirs.keys()),
    all: new Map([...ours, ...theirs]),
  };
}

function absent(table: string, state: 'missing' | 'extra'): TableDiff {
  return {
    table,
    state,
    rowsCompared: 0,
    differenceCount: 0,
    truncated: false,
    definition: [],
    notCompared: [],
  };
}

async function diffTable(
  servers: DiffServers,
  work: { label: string; name: TableName; chunkRows: number; collector: DiffCollector },
): Promise<TableDiff> {
  const { label, name, chunkRows, collector } = work;
  const [upstream, sink] = await Promise.all([
    readTableShape(servers.upstream, name),
    readTableShape(servers.sink, name),
  ]);
  // Dropped since the names were read.
  if (sink.columns.length === 0) return absent(label, 'missing');
  if (upstream.columns.length === 0) return absent(label, 'extra');
  const definition = diffDefinitions(upstream, sink);
  const { columns, notCompared } = comparedColumns(upstream, sink);
  const before = { rows: collector.rowsCompared, found: collector.differenceCount };
  const wasTruncated = collector.truncated;
  collector.truncated = false;
  if (columns.length > 0) {
    const key = sharedKey(upstream, sink, columns);
    const shownKey = key.length > 0 ? key : namingKey(upstream, columns);
    const table: ComparedTable = { name, columns, key, shownKey };
    if (table.key.length > 0) await new KeyedTable(table, servers, collector).compare(chunkRows);
    else await compareKeylessTable(table, servers, collector);
  }
  const differenceCount = collector.differenceCount - before.found;
  const { truncated } = collector;
  collector.truncated ||= wasTruncated;
  return {
    table: label,
    state: differenceCount === 0 && definition.length === 0 ? 'equal' : 'different',
    rowsCompared: collector.rowsCompared - before.rows,
    differenceCount,
    truncated,
    definition,
    notCompared,
  };
}

function comparedColumns(
  upstream: TableShape,
  sink: TableShape,
): { columns: ComparedColumn[]; notCompared: string[] } {
  const theirs = new Map(sink.columns.map((column) => [column.name, column]));
  const columns: ComparedColumn[] = [];
  const notCompared: string[] = [];
  for (const column of upstream.columns) {
    const other = theirs.get(column.name);
    if (other === undefined) continue;
    const form = textForm(column, other);
    if (form === null) notCompared.push(column.name);
    else columns.push({ upstream: column, sink: other, form });
  }
  return { columns, notCompared };
}

/**
 * The key by which both servers find the same rows in the same order: the primary key, else a unique key that never is
 * NULL. Empty when there is none, or when a key column differs in type or collation, so that ranges would too.
 */
function sharedKey(
  upstream: TableShape,
  sink: TableShape,
  columns: readonly ComparedColumn[],
): ComparedColumn[] {
  const candidates = upstream.keys.filter(({ identifies }) => identifies);
  candidates.sort((a, b) => Number(b.name === 'PRIMARY') - Number(a.name === 'PRIMARY'));
  for (const key of candidates) {
    const same = sink.keys.some(
      (other) => other.identifies && other.columns.join('\0') === key.columns.join('\0'),
    );
    const found = columnsOf(key, columns);
    if (same && found.length > 0 && found.every((each) => canBound(each.upstream, each.sink))) {
      return found;
    }
  }
  return [];
}

/** The upstream's primary key, however its parts are stored, else its first unique key that names a row. */
function namingKey(upstream: TableShape, columns: readonly ComparedColumn[]): ComparedColumn[] {
  const key =
    upstream.keys.find(({ name }) => name === 'PRIMARY') ??
    upstream.keys.find(({ identifies }) => identifies);
  return key === undefined ? [] : columnsOf(key, columns);
}

/** The columns of a key in order; empty when one of them is not compared. */
function columnsOf(key: KeyShape, columns: readonly ComparedColumn[]): ComparedColumn[] {
  const byName = new Map(columns.map((column) => [column.upstream.name, column]));
  const found = key.columns.flatMap((name) => byName.get(name) ?? []);
  return found.length === key.columns.length ? found : [];
}
