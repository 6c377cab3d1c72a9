/** Which adapter stands behind which port, by URI scheme. The only file where the process meets its adapters. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fail, FailureError, messageOf } from '#src/base/failure.ts';
import { readEndpoint } from '#src/adapters/mysql-sink/endpoint.ts';
import { parseUpstreamUri } from '#src/adapters/mysql-upstream/upstream-uri.ts';
import { parseSqliteUri } from '#src/adapters/sqlite-sink/sqlite-uri.ts';
import { parseWorkloadUri } from '#src/adapters/workload/workload-uri.ts';
import { openWriteDeadline } from '#src/adapters/write-deadline/write-deadline.ts';
import type { GateLife } from '#src/kernel/host.ts';
import type { CoordinationPort } from '#src/ports/coordination.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { Log } from '#src/ports/log.ts';
import type { SinkPort } from '#src/ports/sink.ts';
import type { UpstreamPort } from '#src/ports/upstream.ts';
import type { ChangefeedEndpoints } from '#src/protocol/changefeed.ts';
import type { Gate } from './gate.ts';
import { openLater } from './late-port.ts';
import { leaseDeadline } from './lease-deadline.ts';
import type { CaptureSettings } from './settings.ts';
import { gateCountMax } from './shared-memory.ts';
import type { AnyPort } from './thread-host.ts';
import { uncutPort } from './uncut.ts';
import { UriSeal } from './uri-seal.ts';
import type { FeedPort, PortParts } from './world.ts';

/** Factories of the ports a thread may call, by life of a subtree; each opens on first use. */
export function openPorts(
  settings: CaptureSettings,
  gate: Gate,
  log: Log,
): Record<string, (life: GateLife) => AnyPort> {
  const { dataDirectory } = settings;
  return {
    upstream: () => openUpstream(settings, log) as AnyPort,
    sink: (life) => openSink(settings, gate.of(life), log) as AnyPort,
    'event-store': () => openEventStore(join(dataDirectory, 'events'), { settings, gate, log }),
    coordination: () => openCoordination(settings) as AnyPort,
    'write-deadline': () => openWriteDeadline(leaseDeadline(gate, allGates, log)) as AnyPort,
  };
}

/** Losing the session fences all that a plan can have: a gate that the plan has not is shut without effect. */
const allGates: readonly number[] = Array.from({ length: gateCountMax }, (_, gate) => gate);

/** etcd in a cluster; else the process's own store, of which there may be one instance a process. */
function openCoordination(settings: CaptureSettings): CoordinationPort {
  const { cluster, isTemporary, dataDirectory } = settings;
  return openLater(async () => {
    if (cluster !== undefined) {
      const { openEtcdCoordination } =
        await import('#src/adapters/etcd-coordination/etcd-coordination.ts');
      return openEtcdCoordination({ urls: cluster.etcdUrls });
    }
    const { openEmbeddedCoordination } =
      await import('#src/adapters/embedded-coordination/embedded-coordination.ts');
    return openEmbeddedCoordination({
      directory: isTemporary ? null : join(dataDirectory, 'coordination'),
    });
  });
}

const upstreamSchemes = ['mysql', 'mariadb', 'workload'];
const sinkSchemes = ['mysql', 'mariadb', 'sqlite', 'blackhole'];

/** What the two URIs are called where they were given. */
export interface UriNames {
  readonly upstream: string;
  readonly sink: string;
}

const optionNames: UriNames = { upstream: '--upstream', sink: '--sink-uri' };

/** Sinks whose slots every node finds at the same place; those of the others fence and remember for one process. */
const sharedSinkSchemes = ['mysql', 'mariadb'];

/** CONFIG_INVALID with every problem of both URIs, before any thread starts. */
export function checkUris(upstreamUri: string, sinkUri: string, names = optionNames): void {
  refuse([...upstreamProblems(names.upstream, upstreamUri), ...sinkProblems(names.sink, sinkUri)]);
}

/** CONFIG_INVALID when the nodes of a cluster cannot share this sink: each would write its own copy of its own tables. */
export function checkSharedSink(sinkUri: string, name: string): void {
  const scheme = schemeOf(sinkUri);
  if (sharedSinkSchemes.includes(scheme)) return;
  const known = sharedSinkSchemes.map((one) => `${one}://`).join(' or ');
  refuse([`${name}: ${scheme}:// is one process's own; nodes of a cluster need ${known}`]);
}

/** CONFIG_INVALID with every problem of an upstream's URI. */
export function checkUpstreamUri(upstreamUri: string, name: string): void {
  refuse(upstreamProblems(name, upstreamUri));
}

/** CONFIG_INVALID with every problem of a sink's URI. */
export function checkSinkUri(sinkUri: string): void {
  refuse(sinkProblems(optionNames.sink, sinkUri));
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0) fail('CONFIG_INVALID', problems.join('; '));
}

function upstreamProblems(name: string, uri: string): readonly string[] {
  return problemsOf(name, uri, upstreamSchemes, (scheme) =>
    scheme === 'workload' ? parseWorkloadUri(uri) : parseUpstreamUri(uri),
  );
}

function sinkProblems(name: string, uri: string): readonly string[] {
  return problemsOf(name, uri, sinkSchemes, (scheme) => {
    if (scheme === 'sqlite') return parseSqliteUri(uri);
    return scheme === 'blackhole' ? null : readEndpoint(uri);
  });
}

function problemsOf(
  name: string,
  uri: string,
  schemes: readonly string[],
  parse: (scheme: string) => unknown,
): readonly string[] {
  const scheme = schemeOf(uri);
  if (!schemes.includes(scheme)) {
    return [`${name}: unknown scheme; use ${schemes.map((one) => `${one}://`).join(', ')}`];
  }
  const problem = attempt(() => parse(scheme));
  return problem === null ? [] : [`${name}: ${problem}`];
}

function attempt(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    if (error instanceof FailureError) return error.failure.message;
    throw error;
  }
}

/** The upstream of a URI, by its scheme; its calls answer CONFIG_INVALID when the URI is wrong. */
export function openUpstream(
  { upstreamUri: uri }: Pick<CaptureSettings, 'upstreamUri'>,
  log: Log,
): UpstreamPort {
  return openLater(async () => {
    if (schemeOf(uri) === 'workload') {
      const { openWorkloadUpstream } = await import('#src/adapters/workload/workload-upstream.ts');
      return openWorkloadUpstream({ uri, log });
    }
    const [{ openMysqlUpstream }, { openCpuPool }] = await Promise.all([
      import('#src/adapters/mysql-upstream/mysql-upstream.ts'),
      import('#src/adapters/cpu-pool/cpu-pool.ts'),
    ]);
    return openMysqlUpstream({ uri, log, cpu: openCpuPool() });
  });
}

/** The sink of a URI, by its scheme; its calls answer CONFIG_INVALID when the URI is wrong. */
export function openSink(
  settings: Pick<CaptureSettings, 'sinkUri' | 'captureId' | 'laneCount'>,
  gate: SubmitGate,
  log: Log,
): SinkPort {
  const { sinkUri: uri, captureId: owner, laneCount } = settings;
  return openLater(async () => {
    switch (schemeOf(uri)) {
      case 'sqlite': {
        const { openSqliteSink } = await import('#src/adapters/sqlite-sink/sqlite-sink.ts');
        return openSqliteSink({ uri, log, gate });
      }
      case 'blackhole': {
        const { openBlackholeSink } =
          await import('#src/adapters/blackhole-sink/blackhole-sink.ts');
        return openBlackholeSink({ log });
      }
      default: {
        const { openMysqlSink } = await import('#src/adapters/mysql-sink/sink.ts');
        const connectionCount = Math.max(2, laneCount);
        return openMysqlSink({ uri, log, gate, owner, laneCount, connectionCount });
      }
    }
  });
}

/** The scheme of a URI, lower case; empty when it has none. */
export function schemeOf(uri: string): string {
  const cut = uri.indexOf('://');
  return cut < 0 ? '' : uri.slice(0, cut).toLowerCase();
}

function openEventStore(directory: string, { settings, gate, log }: PortParts): AnyPort {
  // The event service stops reading well before this.
  const byteCountMax = settings.storeBytesMax * 2;
  // At once, not later: an append takes its bytes within the call, and the very next message moves them away.
  const { openLmdbEventStore } = load(
    '#src/adapters/lmdb-event-store/lmdb-event-store.ts',
  ) as typeof import('#src/adapters/lmdb-event-store/lmdb-event-store.ts');
  return uncutPort(gate, () => openLmdbEventStore({ directory, log, byteCountMax }) as AnyPort);
}

const load = createRequire(import.meta.url);

/** A changefeed's own port: its endpoints where it has some, else those the process was started with. */
export function openPortOfFeed(
  { name, feed, life }: FeedPort,
  { settings, gate, log }: PortParts,
): AnyPort {
  const own = { ...settings, ...openEndpoints(feed.endpoints, settings) };
  switch (name) {
    case 'upstream':
      return openUpstream(own, log) as AnyPort;
    case 'sink':
      return openSink(own, gate.of(life), log) as AnyPort;
    case 'event-store':
      return openEventStore(newFeedEvents(settings, feed.id, log), { settings, gate, log });
    default:
      throw new Error(`changefeeds have no port ${name} of their own`);
  }
}

/** Only here, where connections are opened, are passwords in plain. */
function openEndpoints(
  endpoints: ChangefeedEndpoints | null,
  { server }: CaptureSettings,
): ChangefeedEndpoints | null {
  if (endpoints === null || server === undefined) return endpoints;
  const seal = new UriSeal(server.secretKey);
  const { upstreamUri, sinkUri, laneCount } = endpoints;
  return { upstreamUri: seal.open(upstreamUri), sinkUri: seal.open(sinkUri), laneCount };
}

/**
 * A directory of its own for each opening: a store knows only what it has itself stored, so it must find nothing. What an
 * earlier life has left goes, also while that one is still closing it.
 */
function newFeedEvents(settings: CaptureSettings, id: string, log: Log): string {
  const home = feedEventsOf(settings, id);
  const own = randomUUID();
  mkdirSync(join(home, own), { recursive: true });
  for (const other of readdirSync(home)) {
    if (other === own) continue;
    rm(join(home, other), { recursive: true, force: true }).catch((error: unknown) =>
      log('warn', 'feed-events-left', { path: join(home, other), message: messageOf(error) }),
    );
  }
  return join(home, own);
}

/** Removes the event store of a changefeed whose ports are closed; the next one begins empty anyway. */
export async function dropFeedEvents(settings: CaptureSettings, id: string): Promise<void> {
  await rm(feedEventsOf(settings, id), { recursive: true, force: true });
}

function feedEventsOf({ dataDirectory }: CaptureSettings, id: string): string {
  return join(dataDirectory, 'feed-events', id);
}
