/** Passing a request on to the coordinator's node: once, so that two nodes of different minds do not play ball with it. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { fail } from '#src/base/failure.ts';
import type { Secret } from '#src/base/secret.ts';

const mark = 'x-sluice-forwarded';
const forwardMsMax = 60_000;

/** Answers `reply` with what the node at `address` says; INTERNAL_STOPPED when there is no coordinator to be asked. */
export async function passOn(
  address: string | null,
  request: FastifyRequest,
  reply: FastifyReply,
  token: Secret | null,
): Promise<void> {
  if (address === null || request.headers[mark] !== undefined) {
    return fail('INTERNAL_STOPPED', 'there is no coordinator at the moment', { retry: 'Again' });
  }
  const body = request.body === undefined ? null : JSON.stringify(request.body);
  const response = await fetch(`http://${address}${request.url}`, {
    method: request.method,
    headers: {
      [mark]: '1',
      ...(body === null ? {} : { 'content-type': 'application/json' }),
      ...(token === null ? {} : { authorization: `Bearer ${token.reveal()}` }),
    },
    body,
    signal: AbortSignal.timeout(forwardMsMax),
  }).catch((error: unknown) =>
    fail('INTERNAL_STOPPED', `the coordinator at ${address} does not answer`, {
      retry: 'Again',
      cause: String(error),
    }),
  );
  reply.status(response.status).type('application/json');
  // As bytes: the answer was made by the same schemas there.
  await reply.send(Buffer.from(await response.arrayBuffer()));
}
