/** `sluice server`: a node with its API, until it is told to stop. */
import { mkdirSync } from 'node:fs';
import { parseEtcdUrls } from '#src/adapters/etcd-coordination/etcd-url.ts';
import { fail } from '#src/base/failure.ts';
import { parseAddress } from '#src/config/address.ts';
import { readServerFile } from '#src/config/server-file.ts';
import { isKeyPart } from '#src/model/coordination-key.ts';
import { startApiServer } from './api/api-server.ts';
import { openMetrics } from './api/metrics.ts';
import { Capture } from './capture.ts';
import { readToken } from './client-commands/api-client.ts';
import { LocalControlPlane } from './local-control-plane.ts';
import { openLog } from './log.ts';
import type { CaptureSettings } from './settings.ts';

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
  let address = options.addr;
  const plane = await LocalControlPlane.open({
    clusterId: options.clusterId,
    captureId,
    address: () => address,
    dataDirectory: options.dataDir,
    logLevel: options.logLevel,
    log,
    ...(options.workers === undefined ? {} : { workThreadCount: options.workers }),
  });
  try {
    const metrics = openMetrics(plane);
    const api = await startApiServer({ plane, listen: options.addr, version, metrics, token, log });
    ({ address } = api);
    process.stdout.write(`sluice ${version}, capture ${captureId}: http://${address}\n`);
    log('info', 'server-started', { address, cluster: options.clusterId });
    await stopAsked();
    await api.close();
  } finally {
    await plane.close();
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

function stopAsked(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
}
