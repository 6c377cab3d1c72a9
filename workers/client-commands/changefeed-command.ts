/** `sluice changefeed …`: each is one request to the API of a server. */
import { createInterface } from 'node:readline/promises';
import { readChangefeedFile, readToml } from '#src/config/changefeed-file.ts';
import { demandChangefeedId } from '../changefeed-id.ts';
import { checkSinkUri, checkUris } from '../ports.ts';
import { ApiClient, type Answer, type ClientOptions } from './api-client.ts';
import { factsText, show, tableText } from './show.ts';

/** Options that name a changefeed. */
export interface IdOptions extends ClientOptions {
  readonly changefeedId: string;
}

/** `create`. */
export interface CreateOptions extends ClientOptions {
  readonly changefeedId?: string;
  readonly upstream: string;
  readonly sinkUri: string;
  readonly config?: string;
  readonly start: string;
  readonly targetGtid?: string;
  readonly confirm: boolean;
}

/** `update`. */
export interface UpdateOptions extends IdOptions {
  readonly sinkUri?: string;
  /** `none`: it has no end any more. */
  readonly targetGtid?: string;
  readonly config?: string;
}

/** `move-table`, `split-table`, `merge-table`. */
export interface TableOptions extends IdOptions {
  readonly table: string;
}

/** Creates; everything that can be checked here is checked before the server is asked. */
export async function createChangefeed(options: CreateOptions): Promise<number> {
  const { changefeedId, upstream, sinkUri, config, start, targetGtid } = options;
  if (changefeedId !== undefined) demandChangefeedId(changefeedId);
  checkUris(upstream, sinkUri);
  readChangefeedFile(config, 'server');
  const client = new ApiClient(options);
  if (!(await isConfirmed(options, `create changefeed ${changefeedId ?? ''}`.trim()))) return 1;
  const answer = await client.post('/changefeeds', {
    ...(changefeedId === undefined ? {} : { changefeed_id: changefeedId }),
    upstream_uri: upstream,
    sink_uri: sinkUri,
    start,
    ...(targetGtid === undefined ? {} : { target_gtid: targetGtid }),
    replica_config: config === undefined ? {} : readToml(config),
  });
  show(options, answer, () => `created changefeed ${String(answer['id'])}\n${shown(answer)}`);
  return 0;
}

/** Lists all, or those of one state. */
export async function listChangefeeds(
  options: ClientOptions & { readonly state?: string },
): Promise<number> {
  const query = options.state === undefined ? '' : `?state=${encodeURIComponent(options.state)}`;
  const answer = await new ApiClient(options).get(`/changefeeds${query}`);
  show(options, answer, () =>
    tableText(answer['items'] as readonly Answer[], [
      ['id', (row) => row['id']],
      ['state', (row) => row['state']],
      ['stage', (row) => row['stage']],
      ['checkpoint', (row) => row['checkpoint_gtid']],
      ['lag', lagText],
      ['error', (row) => (row['error'] as Answer | null)?.['code']],
    ]),
  );
  return 0;
}

/** Shows one. */
export async function queryChangefeed(options: IdOptions): Promise<number> {
  const answer = await new ApiClient(options).get(pathOf(options));
  show(options, answer, () => shown(answer));
  return 0;
}

/** `pause`, `resume`. */
export async function actOnChangefeed(
  options: IdOptions,
  action: 'pause' | 'resume',
): Promise<number> {
  const answer = await new ApiClient(options).post(`${pathOf(options)}/${action}`);
  show(options, answer, () => `${action}d changefeed ${options.changefeedId}`);
  return 0;
}

/** Its maintainer goes to another node; its tables stay where they are. */
export async function moveChangefeed(
  options: IdOptions & { readonly targetNodeId: string },
): Promise<number> {
  const { changefeedId, targetNodeId } = options;
  const answer = await new ApiClient(options).post(`${pathOf(options)}/move`, {
    target_node_id: targetNodeId,
  });
  show(options, answer, () => `moved changefeed ${changefeedId} to ${targetNodeId}`);
  return 0;
}

/** Gives a stopped or failed changefeed another sink or configuration. */
export async function updateChangefeed(options: UpdateOptions): Promise<number> {
  const { sinkUri, config, targetGtid } = options;
  if (sinkUri !== undefined) checkSinkUri(sinkUri);
  readChangefeedFile(config, 'server');
  const answer = await new ApiClient(options).put(pathOf(options), {
    ...(sinkUri === undefined ? {} : { sink_uri: sinkUri }),
    ...(targetGtid === undefined ? {} : { target_gtid: targetGtid === 'none' ? null : targetGtid }),
    ...(config === undefined ? {} : { replica_config: readToml(config) }),
  });
  show(options, answer, () => `updated changefeed ${options.changefeedId}\n${shown(answer)}`);
  return 0;
}

/** Ends and forgets it; its bookkeeping downstream stays. */
export async function removeChangefeed(
  options: IdOptions & { readonly confirm: boolean },
): Promise<number> {
  const client = new ApiClient(options);
  if (!(await isConfirmed(options, `remove changefeed ${options.changefeedId}`))) return 1;
  const answer = await client.delete(pathOf(options));
  show(options, answer, () => `removed changefeed ${options.changefeedId}`);
  return 0;
}

/** Where its tables are. */
export async function listTables(options: IdOptions): Promise<number> {
  const answer = await new ApiClient(options).get(`${pathOf(options)}/tables`);
  const rows = (answer['items'] as readonly Answer[]).flatMap((node) =>
    (node['tables'] as readonly string[]).map((table) => ({ table, node: node['node_id'] })),
  );
  show(options, answer, () =>
    tableText(rows, [
      ['table', (row) => row.table],
      ['capture', (row) => row.node],
    ]),
  );
  return 0;
}

/** `move-table`. */
export async function moveTable(
  options: TableOptions & { readonly targetNodeId: string },
): Promise<number> {
  const { table, targetNodeId } = options;
  const answer = await new ApiClient(options).post(`${pathOf(options)}/move_table`, {
    table,
    target_node_id: targetNodeId,
  });
  show(options, answer, () => `moved ${table} to ${targetNodeId}`);
  return 0;
}

/** `split-table`. */
export async function splitTable(
  options: TableOptions & { readonly parts: number },
): Promise<number> {
  const { table, parts } = options;
  const answer = await new ApiClient(options).post(`${pathOf(options)}/split_table`, {
    table,
    part_count: parts,
  });
  show(options, answer, () => `split ${table} into ${parts} parts`);
  return 0;
}

/** `merge-table`. */
export async function mergeTable(options: TableOptions): Promise<number> {
  const { table } = options;
  const answer = await new ApiClient(options).post(`${pathOf(options)}/merge_table`, { table });
  show(options, answer, () => `merged ${table}`);
  return 0;
}

function pathOf({ changefeedId }: IdOptions): string {
  demandChangefeedId(changefeedId);
  return `/changefeeds/${changefeedId}`;
}

function shown(answer: Answer): string {
  const error = answer['error'] as Answer | null;
  return factsText([
    ['state', answer['state']],
    ['stage', answer['stage']],
    ['upstream', answer['upstream_uri']],
    ['sink', answer['sink_uri']],
    ['started at', answer['start_gtid']],
    ['ends at', answer['target_gtid']],
    ['checkpoint', answer['checkpoint_gtid']],
    ['lag', lagText(answer)],
    ['tables', answer['table_count']],
    ['rows', answer['rows']],
    ['capture', answer['maintainer_capture_id']],
    ['warnings', answer['warnings']],
    ['error', error === null ? '' : `${String(error['code'])}: ${String(error['message'])}`],
  ]);
}

/** One that does not run has no lag worth telling: it was true when it ended. */
function lagText({ state, lag_ms: lagMs }: Answer): string {
  const runs = ['starting', 'normal', 'warning'].includes(String(state));
  return runs ? `${String(lagMs)} ms` : '';
}

/** Asks a person on a terminal; scripts are not asked. */
async function isConfirmed(
  options: ClientOptions & { readonly confirm: boolean },
  what: string,
): Promise<boolean> {
  if (!options.confirm || options.json === true || !process.stdin.isTTY) return true;
  const line = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await line.question(`${what}? [y/N] `)).trim());
  } finally {
    line.close();
  }
}
