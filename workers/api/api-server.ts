/**
 * The HTTP API v2 (DESIGN §13). Any node takes any request: the control plane asks the coordinator, wherever it is.
 * Errors are `{error_code, error_msg}`, lists `{total, items}`.
 */
import { randomUUID, timingSafeEqual } from 'node:crypto';
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { fail, failure, FailureError, type Failure } from '#src/base/failure.ts';
import type { Secret } from '#src/base/secret.ts';
import { addressText, isLoopback, parseAddress } from '#src/config/address.ts';
import type { TableName } from '#src/model/span.ts';
import type { Log } from '#src/ports/log.ts';
import { verifyTables } from '../preflight.ts';
import {
  changefeedStatus,
  listedChangefeed,
  livenessOf,
  shownChangefeed,
  syncedAnswer,
} from './answers.ts';
import { failureOf, statusOf } from './api-error.ts';
import type { ControlPlane } from './control-plane.ts';
import type { Metrics } from './metrics.ts';
import { configOf } from './replica-config.ts';
import { schemas } from './schemas.ts';

/** What the API is made of. */
export interface ApiServerParts {
  readonly plane: ControlPlane;
  /** `HOST:PORT` to listen at; port 0 asks the system for one. */
  readonly listen: string;
  readonly version: string;
  readonly metrics: Metrics;
  /** When set, every request but /metrics and health must show it as a bearer token. Needed beyond loopback. */
  readonly token: Secret | null;
  readonly log: Log;
}

const bodyBytesMax = 1 << 20;
const requestMsMax = 120_000;
const connectionCountMax = 1_024;

/** What a client waits before it asks again; an election takes about so long. */
const retryAfterSeconds = 1;

/** A running API. */
export interface ApiServer {
  /** `HOST:PORT` where it listens. */
  readonly address: string;
  readonly close: () => Promise<void>;
}

type WithId = { readonly Params: { readonly id: string } };

/** Listens; CONFIG_INVALID when the address is taken, or beyond loopback without a token. */
export async function startApiServer(parts: ApiServerParts): Promise<ApiServer> {
  const listen = parseAddress(parts.listen, '--addr');
  if (parts.token === null && !isLoopback(listen.host)) {
    fail('CONFIG_INVALID', `--addr: ${parts.listen} is not loopback: set security.api-token-path`);
  }
  const app = makeApi(parts);
  try {
    await app.listen({ host: listen.host, port: listen.port });
  } catch (error) {
    await app.close();
    return fail('CONFIG_INVALID', `--addr: cannot listen at ${parts.listen}`, {
      cause: String(error),
    });
  }
  app.server.maxConnections = connectionCountMax;
  const bound = app.server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : listen.port;
  return {
    address: addressText({ host: listen.host, port }),
    close: async () => {
      app.server.closeAllConnections();
      await app.close();
    },
  };
}

function makeApi(parts: ApiServerParts): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: bodyBytesMax,
    requestTimeout: requestMsMax,
    routerOptions: { maxParamLength: 256 },
    // What the router refuses never reaches the error handler.
    frameworkErrors: (error, request, reply) => answerError(parts.log, error, request, reply),
    ajv: {
      customOptions: {
        allErrors: true,
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: true,
      },
    },
  });
  // A POST without a body may say that it is JSON all the same.
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(String(body)));
    } catch {
      done(new FailureError(failure('API_INVALID', 'the body is not JSON')));
    }
  });
  app.setErrorHandler((error, request, reply) => answerError(parts.log, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendFailure(reply, failure('API_UNKNOWN', `there is no ${request.method} ${pathOf(request)}`)),
  );
  app.addHook('onRequest', async (request) => demandToken(parts.token, request));
  addNodeRoutes(app, parts);
  addChangefeedRoutes(app, parts.plane);
  addTableRoutes(app, parts.plane);
  app.addHook('onResponse', async (request, reply) => audit(parts.log, request, reply));
  return app;
}

// ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Paths that ask for no token. */
const openPaths: readonly string[] = ['/metrics', '/api/v2/health'];

function addNodeRoutes(app: FastifyInstance, { plane, version, metrics }: ApiServerParts): void {
  const status = (): object => ({
    version,
    id: plane.captureId(),
    cluster_id: plane.clusterId,
    pid: process.pid,
    is_owner: plane.isCoordinator(),
    owner_id: plane.coordinator() ?? '',
    liveness: livenessOf(plane.trouble()),
  });
  app.get('/api/v2/status', { schema: schemas.status }, status);
  app.get('/status', { schema: schemas.status }, status);
  app.get('/api/v2/health', { schema: schemas.health }, () => {
    const trouble = plane.trouble();
    if (trouble !== null) throw new FailureError(trouble);
    return {};
  });
  app.get('/api/v2/captures', { schema: schemas.captures }, async () =>
    list(
      (await plane.captures()).map((one) => ({
        id: one.id,
        address: one.address,
        is_owner: one.isCoordinator,
        cluster_id: one.clusterId,
        state: one.state,
        changefeed_count: one.maintainerCount,
        table_count: one.spanCount,
      })),
    ),
  );
  app.post<WithId>('/api/v2/captures/:id/drain', { schema: schemas.drain }, async ({ params }) =>
    done(plane.drain(params.id)),
  );
  app.delete<WithId>('/api/v2/captures/:id/drain', { schema: schemas.drain }, ({ params }) =>
    done(endDrain(plane, params.id)),
  );
  app.post('/api/v2/owner/resign', { schema: schemas.resign }, () => done(plane.resign()));
  app.get('/api/v2/tree', { schema: schemas.tree }, async () => list(await plane.inspect()));
  app.get('/metrics', async (_, reply) => {
    reply.type(metrics.contentType);
    return metrics.text();
  });
}

interface CreateBody {
  readonly changefeed_id?: string;
  readonly upstream_uri: string;
  readonly sink_uri: string;
  readonly start: string;
  readonly target_gtid?: string;
  readonly replica_config?: unknown;
}

interface UpdateBody {
  readonly sink_uri?: string;
  /** Null: it has no end any more. */
  readonly target_gtid?: string | null;
  readonly replica_config?: unknown;
}

interface ResumeBody {
  /** TiCDC's; 0: it goes on where it stands, which is all that can be done here. */
  readonly overwrite_checkpoint_ts?: number;
}

function addChangefeedRoutes(app: FastifyInstance, plane: ControlPlane): void {
  const base = '/api/v2/changefeeds';
  app.get<{ Querystring: { readonly state?: string } }>(
    base,
    { schema: schemas.list },
    async ({ query }) => {
      const views = await plane.list();
      const wanted = views.filter(
        ({ status }) =>
          query.state === undefined || query.state === 'all' || status.state === query.state,
      );
      return list(wanted.map(listedChangefeed));
    },
  );
  app.post<{ Body: CreateBody }>(base, { schema: schemas.create }, async ({ body }) => {
    const view = await plane.create({
      id: body.changefeed_id ?? randomUUID(),
      upstreamUri: body.upstream_uri,
      sinkUri: body.sink_uri,
      start: body.start,
      target: body.target_gtid ?? null,
      config: configOf(body.replica_config ?? {}),
    });
    return shownChangefeed(view, await addresses(plane));
  });
  app.post<{ Body: { readonly upstream_uri: string; readonly replica_config?: unknown } }>(
    '/api/v2/verify_table',
    { schema: schemas.verifyTable },
    async ({ body }) => {
      const { rules } = configOf(body.replica_config ?? {});
      const { keyed, keyless } = await verifyTables(body.upstream_uri, rules);
      return {
        eligible_tables: keyed.map(tableAnswer),
        ineligible_tables: keyless.map(tableAnswer),
        all_tables: [...keyed, ...keyless].map(tableAnswer),
      };
    },
  );
  app.get<WithId>(`${base}/:id`, { schema: schemas.query }, async ({ params }) =>
    shownChangefeed(await plane.query(params.id), await addresses(plane)),
  );
  app.put<WithId & { Body: UpdateBody }>(
    `${base}/:id`,
    { schema: schemas.update },
    async ({ params, body }) => {
      const view = await plane.update(params.id, {
        ...(body.sink_uri === undefined ? {} : { sinkUri: body.sink_uri }),
        ...(body.target_gtid === undefined ? {} : { target: body.target_gtid }),
        ...(body.replica_config === undefined ? {} : { config: configOf(body.replica_config) }),
      });
      return shownChangefeed(view, await addresses(plane));
    },
  );
  app.post<WithId>(`${base}/:id/pause`, { schema: schemas.action }, ({ params }) =>
    done(plane.pause(params.id)),
  );
  app.post<WithId & { Body: ResumeBody | null | undefined }>(
    `${base}/:id/resume`,
    { schema: schemas.resume },
    ({ params, body }) => {
      refuseOverwrite(body?.overwrite_checkpoint_ts ?? 0);
      return done(plane.resume(params.id));
    },
  );
  app.delete<WithId>(`${base}/:id`, { schema: schemas.action }, ({ params }) =>
    done(plane.remove(params.id)),
  );
  app.get<WithId>(`${base}/:id/status`, { schema: schemas.changefeedStatus }, async ({ params }) =>
    changefeedStatus(await plane.query(params.id)),
  );
  app.get<WithId>(`${base}/:id/synced`, { schema: schemas.synced }, async ({ params }) =>
    syncedAnswer(await plane.query(params.id), Date.now()),
  );
}

function addTableRoutes(app: FastifyInstance, plane: ControlPlane): void {
  const base = '/api/v2/changefeeds/:id';
  app.get<WithId>(`${base}/tables`, { schema: schemas.tables }, async ({ params }) =>
    list(
      (await plane.tables(params.id)).map(({ captureId, spans }) => ({
        node_id: captureId ?? '',
        tables: spans,
      })),
    ),
  );
  app.post<WithId & { Body: { readonly table: string; readonly target_node_id: string } }>(
    `${base}/move_table`,
    { schema: schemas.moveTable },
    ({ params, body }) =>
      done(plane.moveTable(params.id, { table: body.table, captureId: body.target_node_id })),
  );
  app.post<WithId & { Body: { readonly table: string; readonly part_count: number } }>(
    `${base}/split_table`,
    { schema: schemas.splitTable },
    ({ params, body }) => done(plane.splitTable(params.id, body.table, body.part_count)),
  );
  app.post<WithId & { Body: { readonly table: string } }>(
    `${base}/merge_table`,
    { schema: schemas.mergeTable },
    ({ params, body }) => done(plane.mergeTable(params.id, body.table)),
  );
  app.post<WithId & { Body: { readonly target_node_id: string } }>(
    `${base}/move`,
    { schema: schemas.moveChangefeed },
    ({ params, body }) => done(plane.moveChangefeed(params.id, body.target_node_id)),
  );
}

// ── helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function list<T>(items: readonly T[]): { readonly total: number; readonly items: readonly T[] } {
  return { total: items.length, items };
}

function tableAnswer({ schema, table }: TableName): object {
  return { database_name: schema, table_name: table };
}

async function done(work: Promise<void>): Promise<object> {
  await work;
  return {};
}

/**
 * A position stands in the downstream, in the transactions of the data it tells of. Set back, rows would be applied twice; set
 * forward, changes would be left out: a copy that is to begin elsewhere is another changefeed.
 */
function refuseOverwrite(ts: number): void {
  if (ts === 0) return;
  const what = 'the position of a changefeed stands downstream, with its data, and cannot be set';
  fail(
    'CONFIG_INVALID',
    `overwrite_checkpoint_ts: ${what}: remove it, and create another one, of another id, that starts elsewhere`,
  );
}

/** Another node may be drained by now: its drain goes on. */
async function endDrain(plane: ControlPlane, captureId: string): Promise<void> {
  const known = (await plane.captures()).find(({ id }) => id === captureId);
  if (known === undefined) fail('CAPTURE_UNKNOWN', `there is no capture ${captureId}`);
  if (known.state === 'draining') await plane.drain(null);
}

async function addresses(plane: ControlPlane): Promise<(captureId: string) => string> {
  const known = new Map((await plane.captures()).map(({ id, address }) => [id, address]));
  return (captureId) => known.get(captureId) ?? '';
}

function pathOf(request: FastifyRequest): string {
  return request.url.replace(/\?.*$/, '');
}

function demandToken(token: Secret | null, request: FastifyRequest): void {
  if (token === null || openPaths.includes(pathOf(request))) return;
  const given = Buffer.from(request.headers.authorization ?? '');
  const wanted = Buffer.from(`Bearer ${token.reveal()}`);
  if (given.length === wanted.length && timingSafeEqual(given, wanted)) return;
  fail('API_UNAUTHORIZED', 'show the API token: Authorization: Bearer TOKEN');
}

function sendFailure(reply: FastifyReply, why: Failure, error?: unknown): void {
  const answer = { error_code: why.code, error_msg: why.message };
  const status = statusOf(why, error);
  if (status === 503) reply.header('retry-after', retryAfterSeconds);
  void reply.status(status).send(answer);
}

function answerError(log: Log, error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const why = failureOf(error);
  if (why.code === 'INTERNAL_FAULT') {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    log('error', 'api-fault', { path: pathOf(request), message: text });
  }
  sendFailure(reply, why, error);
}

/** One line for each request that changes something; bodies hold credentials and are never logged. */
function audit(log: Log, request: FastifyRequest, reply: FastifyReply): void {
  if (request.method === 'GET') return;
  const detail = { method: request.method, path: pathOf(request), status: reply.statusCode };
  log('info', 'api-request', { ...detail, from: request.ip });
}
