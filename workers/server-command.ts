/** `sluice server`: a node with its API, until it is told to stop. */
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseEtcdUrls } from '#src/adapters/etcd-coordination/etcd-url.ts';
import { fail, FailureError } from '#src/base/failure.ts';
import { parseAddress } from '#src/config/address.ts';
import { readServerFile } from '#src/config/server-file.ts';
import { isKeyPart } from '#src/model/coordination-key.ts';
import { startApiServer } from './api/api-server.ts';
import { openMetrics } from './api/metrics.ts';
import { Capture } from './capture.ts';
import { readToken } from './client-commands/api-client.ts';
import { NodeControlPlane } from './api/node-control-plane.ts';
import { LocalNode } from './local-node.ts';
import { openLog } from './log.ts';
import { keyOfDirectory } from './secret-key.ts';
import type { CaptureSettings } from './settings.ts';
import { workThreadCountMax } from './shared-memory.ts';
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

/** Runs a node; the exit status (DESIGN §17). */
export async function server(options: ServerOptions, version: string): Promise<number> {
  const file = checkOptions(options);
  const token =
    file.apiTokenPath === null ? null : readToken(file.apiTokenPath, 'security.api-token-path');
  const captureId = Capture.newId();
  const log = openLog('main', { captureId, logLevel: options.logLevel });
  makeDirectory(options.dataDir);
  const secretKey = keyOfDirectory(options.dataDir);
  const node = await LocalNode.start({
    settings: {
      clusterId: options.clusterId,
      upstreamUri: '',
      sinkUri: '',
      dataDirectory: options.dataDir,
      isTemporary: false,
      captureId,
      logLevel: options.logLevel,
      storeBytesMax: 8 * 2 ** 30,
      laneCount: 1,
    },
    secretKey,
    workThreadCount: options.workers ?? workThreadsOf(availableParallelism()),
  });
  let address = options.addr;
  const plane = new NodeControlPlane({
    clusterId: options.clusterId,
    node,
    address: () => address,
    seal: new UriSeal(secretKey),
    log,
  });
  try {
    const metrics = openMetrics(plane);
    const api = await startApiServer({ plane, listen: options.addr, version, metrics, token, log });
    ({ address } = api);
    process.stdout.write(`sluice ${version}, capture ${captureId}: http://${address}\n`);
    log('info', 'server-started', { address, cluster: options.clusterId });
    const over = await Promise.race([stopAsked(), node.over]);
    await api.close();
    if (over !== null) throw new FailureError(over);
  } finally {
    await node.close();
  }
  log('info', 'server-stopped');
  return 0;
}

/** CONFIG_INVALID with every problem of the options that can be seen before anything is opened. */
function checkOptions(options: ServerOptions): ReturnType<typeof readServerFile> {
  parseAddress(options.addr, '--addr');
  parseAddress(options.peerAddr, '--peer-addr');
  if (!isKeyPart(options.clusterId)) {
    fail(
      'CONFIG_INVALID',
      `--cluster-id: "${options.clusterId}": letters, digits and . _ : -, at most 128`,
    );
  }
  if (options.etcd !== undefined) {
    parseEtcdUrls(options.etcd);
    fail('CONFIG_INVALID', '--etcd: this version runs on one node only; leave the option away');
  }
  return readServerFile(options.config);
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    fail('CONFIG_INVALID', `--data-dir: ${path} cannot be made`, { cause: String(error) });
  }
}

function stopAsked(): Promise<null> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve(null));
    process.once('SIGTERM', () => resolve(null));
  });
}

/** One core is for main and ingest. */
function workThreadsOf(coreCount: number): number {
  return Math.min(workThreadCountMax, Math.max(1, coreCount - 1));
}
