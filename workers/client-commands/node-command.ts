/** `sluice capture …` and `sluice coordinator …`. */
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
    ]),
  );
  return 0;
}

/** Moves everything away from a node, so that it can be stopped. */
export async function drainCapture(
  options: ClientOptions & { readonly captureId: string },
): Promise<number> {
  const path = `/captures/${encodeURIComponent(options.captureId)}/drain`;
  const answer = await new ApiClient(options).post(path);
  show(options, answer, () => `draining capture ${options.captureId}`);
  return 0;
}

/** The coordinator steps down; another node is elected. */
export async function resignCoordinator(options: ClientOptions): Promise<number> {
  const answer = await new ApiClient(options).post('/owner/resign');
  show(options, answer, () => 'the coordinator has resigned');
  return 0;
}
