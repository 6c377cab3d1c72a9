/** `sluice server`: a node with its API, until it is told to stop, or ends by itself. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { lockDirectory } from '#src/adapters/embedded-coordination/directory-lock.ts';
import { parseEtcdUrls } from '#src/adapters/etcd-coordination/etcd-url.ts';
import { fail, FailureError } from '#src/base/failure.ts';
import { isLoopback, parseAddress } from '#src/config/address.ts';
import { readServerFile, type ServerFile } from '#src/config/server-file.ts';
import { isKeyPart } from '#src/model/coordination-key.ts';
import { startApiServer } from './api/api-server.ts';
import { openMetrics } from './api/metrics.ts';
import { NodeControlPlane } from './api/node-control-plane.ts';
import { Capture } from './capture.ts';
import { readToken } from './client-commands/api-client.ts';
import { ClusterNode, type NodeEnd } from './cluster-node.ts';
import { LocalNode } from './local-node.ts';
import { openLog } from './log.ts';
import { keyOfCluster, keyOfDirectory, readKey } from './secret-key.ts';
import type { CaptureSettings } from './settings.ts';
import { defaultWorkThreadCount } from './shared-memory.ts';
import { UriSeal } from './uri-seal.ts';

/** Options of the command line. */
export interface ServerOptions {
  readonly addr: string;
  readonly peerAddr: string;
  readonly dataDir: string;
  readonly etcd?: string;
  readonly clusterId: string;
  readonly config?: string;
  readonly workers?: number;
  readonly leaseTtl: number;
  readonly onFence: 'rejoin' | 'exit';
  readonly logLevel: CaptureSettings['logLevel'];
}

/** A node of either kind, as long as it runs. */
interface RunningNode {
  readonly node: LocalNode | ClusterNode;
  /** Begins once the API listens; resolves when the node may be asked, which does not mean that it has a session. */
  readonly start: (apiAddress: string) => Promise<void>;
  readonly ended: Promise<NodeEnd>;
  readonly close: () => Promise<unknown>;
}

/** Exit statuses of DESIGN §17. */
const doneStatus = 0;
const fencedStatus = 3;

/** Threads of a node that has lost its claim and do not end by themselves end with the process after this time. */
const lingerMsMax = 5_000;

/** Seconds. Below this, etcd itself makes leases longer; above, a dead node is waited for too long. */
const leaseTtlMin = 2;
const leaseTtlMax = 300;

/** A node that needs something of etcd before it can begin waits for it so long. */
const etcdMsMax = 60_000;

/** Runs a node; the exit status (DESIGN §17). */
export async function server(options: ServerOptions, version: string): Promise<number> {
  const file = checkOptions(options);
  const token =
    file.apiTokenPath === null ? null : readToken(file.apiTokenPath, 'security.api-token-path');
  makeDirectory(options.dataDir);
  const secretKey = await secretKeyOf(options, file);
  const running =
    options.etcd === undefined
      ? await localNode(options, secretKey)
      : clusterNode(options, { file, secretKey, version, etcdUrls: options.etcd });
  const { node } = running;
  let address = options.addr;
  const seal = new UriSeal(secretKey);
  const { clusterId } = options;
  const log = openLog('main', { captureId: node.captureId, logLevel: options.logLevel });
  const isCluster = options.etcd !== undefined;
  const plane = new NodeControlPlane({
    clusterId,
    isCluster,
    node,
    address: () => address,
    seal,
    log,
  });
  try {
    const metrics = openMetrics(plane);
    const api = await startApiServer({ plane, listen: options.addr, version, metrics, token, log });
    ({ address } = api);
    try {
      await running.start(address);
      process.stdout.write(`sluice ${version}, capture ${node.captureId}: http://${address}\n`);
      log('info', 'server-started', { address, cluster: clusterId });
      return statusOf(await Promise.race([stopAsked(), running.ended]));
    } finally {
      await api.close();
    }
  } finally {
    await running.close();
    log('info', 'server-stopped');
  }
}

function statusOf(end: NodeEnd): number {
  if (end.kind === 'gave-up') throw new FailureError(end.failure);
  if (end.kind === 'stopped') return doneStatus;
  setTimeout(() => process.exit(fencedStatus), lingerMsMax).unref();
  return fencedStatus;
}

async function localNode(options: ServerOptions, secretKey: string): Promise<RunningNode> {
  const node = await LocalNode.start({
    settings: { ...settingsOf(options), captureId: Capture.newId() },
    secretKey,
    workThreadCount: options.workers ?? defaultWorkThreadCount(),
  });
  return {
    node,
    start: () => Promise.resolve(),
    ended: node.over.then((failure) => ({ kind: 'gave-up', failure })),
    close: () => node.close(),
  };
}

/** What a node of a cluster is made of, besides its options. */
interface ClusterParts {
  readonly file: ServerFile;
  readonly secretKey: string;
  readonly version: string;
  readonly etcdUrls: string;
}

function clusterNode(options: ServerOptions, parts: ClusterParts): RunningNode {
  const { file, secretKey, version, etcdUrls } = parts;
  // The same lock as that of a node without a cluster: its files are not another's.
  const unlock = lockDirectory(join(options.dataDir, 'coordination'));
  const node = new ClusterNode({
    settings: {
      ...settingsOf(options),
      server: { changefeedCountMax: clusterChangefeedCountMax, secretKey },
    },
    cluster: {
      etcdUrls,
      leaseTtlMs: options.leaseTtl * 1_000,
      peerAddress: options.peerAddr,
      tls: file.tls,
      allowPlainText: file.allowPlainText,
      version,
    },
    workThreadCount: options.workers ?? defaultWorkThreadCount(),
    onFence: options.onFence,
  });
  return {
    node,
    start: (apiAddress) => node.start(apiAddress),
    ended: node.ended,
    close: async () => {
      await node.stop();
      unlock();
    },
  };
}

/** Changefeeds of a cluster. */
const clusterChangefeedCountMax = 1_000;

function settingsOf(
  options: ServerOptions,
): Omit<CaptureSettings, 'captureId' | 'cluster' | 'server'> {
  return {
    clusterId: options.clusterId,
    upstreamUri: '',
    sinkUri: '',
    dataDirectory: options.dataDir,
    isTemporary: false,
    logLevel: options.logLevel,
    storeBytesMax: 8 * 2 ** 30,
    laneCount: 1,
  };
}

/** CONFIG_INVALID with every problem of the options that can be seen before anything is opened. */
function checkOptions(options: ServerOptions): ServerFile {
  const { clusterId, etcd } = options;
  parseAddress(options.addr, '--addr');
  const peer = parseAddress(options.peerAddr, '--peer-addr');
  if (!isKeyPart(clusterId)) {
    fail(
      'CONFIG_INVALID',
      `--cluster-id: "${clusterId}": letters, digits and . _ : -, at most 128`,
    );
  }
  if (etcd === undefined) return readServerFile(options.config);
  parseEtcdUrls(etcd);
  const file = readServerFile(options.config);
  if (options.leaseTtl < leaseTtlMin || options.leaseTtl > leaseTtlMax)
    fail('CONFIG_INVALID', `--lease-ttl: from ${leaseTtlMin} to ${leaseTtlMax} seconds`);
  demandReachable(options.addr, '--addr');
  demandReachable(options.peerAddr, '--peer-addr');
  if (file.tls === null && !file.allowPlainText && !isLoopback(peer.host)) {
    const what = 'set security.ca-path, cert-path and key-path';
    fail('CONFIG_INVALID', `--peer-addr: ${options.peerAddr} is not loopback: ${what}`);
  }
  return file;
}

/** Nodes are told to each other by the address at which they listen. */
function demandReachable(address: string, option: string): void {
  const { host } = parseAddress(address, option);
  if (host !== '0.0.0.0' && host !== '::') return;
  fail('CONFIG_INVALID', `${option}: ${address}: name the address at which other nodes reach it`);
}

/** From the file that is named, else the node's own, or the one that its cluster keeps in etcd. */
async function secretKeyOf(
  { dataDir, etcd: urls, clusterId }: ServerOptions,
  { secretKeyPath }: ServerFile,
): Promise<string> {
  if (secretKeyPath !== null) return readKey(secretKeyPath, 'security.secret-key-path');
  if (urls === undefined) return keyOfDirectory(dataDir);
  const { openEtcdCoordination } =
    await import('#src/adapters/etcd-coordination/etcd-coordination.ts');
  const store = openEtcdCoordination({ urls });
  try {
    return await keyOfCluster(store, clusterId, etcdMsMax);
  } finally {
    await store.close();
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    fail('CONFIG_INVALID', `--data-dir: ${path} cannot be made`, { cause: String(error) });
  }
}

function stopAsked(): Promise<NodeEnd> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve({ kind: 'stopped' }));
    process.once('SIGTERM', () => resolve({ kind: 'stopped' }));
  });
}
