/** `sluice capture …` and `sluice coordinator …`. */
import { fail, FailureError } from '#src/base/failure.ts';
import { ApiClient, type Answer, type ClientOptions } from './api-client.ts';
import { show, tableText } from './show.ts';

/** Lists the nodes. */
export async function listCaptures(options: ClientOptions): Promise<number> {
  const answer = await new ApiClient(options).get('/captures');
  show(options, answer, () =>
    tableText(answer['items'] as readonly Answer[], [
      ['id', (row) => row['id']],
      ['address', (row) => row['address']],
      ['state', (row) => row['state']],
      ['coordinator', (row) => (row['is_owner'] === true ? 'yes' : '')],
      ['changefeeds', (row) => row['changefeed_count']],
      ['tables', (row) => row['table_count']],
    ]),
  );
  return 0;
}

/** `drain`. */
export interface DrainOptions extends ClientOptions {
  readonly captureId: string;
  readonly wait: boolean;
  readonly cancel?: boolean;
}

const lookEveryMs = 500;
const drainMsMax = 600_000;

/** Moves everything away from a node, so that it can be stopped; or ends that. */
export async function drainCapture(options: DrainOptions): Promise<number> {
  const { captureId, wait, cancel } = options;
  const client = new ApiClient(options);
  const path = `/captures/${encodeURIComponent(captureId)}/drain`;
  if (cancel === true) {
    const answer = await client.delete(path);
    show(options, answer, () => `capture ${captureId} is not drained any more`);
    return 0;
  }
  const answer = await client.post(path);
  if (wait) await untilEmpty(client, captureId);
  show(options, answer, () =>
    wait ? `capture ${captureId} is empty` : `draining capture ${captureId}`,
  );
  return 0;
}

/** A node that has left holds nothing either. An election on the way only takes time. */
async function untilEmpty(client: ApiClient, captureId: string): Promise<void> {
  const deadline = performance.now() + drainMsMax;
  for (;;) {
    const held = await heldBy(client, captureId);
    if (held === 0) return;
    if (performance.now() > deadline)
      fail('CHANGEFEED_STATE', `capture ${captureId} is not empty yet; its drain goes on`);
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
}

/** Changefeeds and tables of a node; null while nobody can tell. */
async function heldBy(client: ApiClient, captureId: string): Promise<number | null> {
  try {
    const { items } = await client.get('/captures');
    const found = (items as readonly Answer[]).find(({ id }) => id === captureId);
    return found === undefined
      ? 0
      : Number(found['changefeed_count']) + Number(found['table_count']);
  } catch (error) {
    if (error instanceof FailureError && error.failure.code === 'COORDINATOR_ABSENT') return null;
    throw error;
  }
}

/** The coordinator steps down; another node is elected. */
export async function resignCoordinator(options: ClientOptions): Promise<number> {
  const answer = await new ApiClient(options).post('/owner/resign');
  show(options, answer, () => 'the coordinator has resigned');
  return 0;
}
