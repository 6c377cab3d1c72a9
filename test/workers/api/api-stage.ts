/** A node without a cluster, in this process: its control plane, and its API at a free port. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Secret } from '#src/base/secret.ts';
import { startApiServer, type ApiServer } from '#workers/api/api-server.ts';
import { openMetrics } from '#workers/api/metrics.ts';
import { NodeControlPlane } from '#workers/api/node-control-plane.ts';
import { LocalNode } from '#workers/local-node.ts';
import { keyOfDirectory } from '#workers/secret-key.ts';
import { UriSeal } from '#workers/uri-seal.ts';

import type { ControlPlane } from '#workers/api/control-plane.ts';

/** An answer of the API. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const limitMs = 30_000;

/** See the top of this file. */
export class TestNode {
  readonly directory: string;
  readonly node: LocalNode;
  readonly plane: ControlPlane;
  readonly api: ApiServer;
  /** Everything that was logged, as text. */
  readonly logged: string[];
  readonly #ownsDirectory: boolean;

  private constructor(
    parts: Pick<TestNode, 'directory' | 'node' | 'plane' | 'api' | 'logged'>,
    ownsDirectory: boolean,
  ) {
    this.directory = parts.directory;
    this.node = parts.node;
    this.plane = parts.plane;
    this.api = parts.api;
    this.logged = parts.logged;
    this.#ownsDirectory = ownsDirectory;
  }

  /**
   * Starts a node on a directory; without one, on a new one that is removed at the end. One that is told it belongs to a
   * cluster checks what it is asked as such a node does.
   */
  static async start(given?: string, isCluster = false): Promise<TestNode> {
    const directory = given ?? mkdtempSync(join(tmpdir(), 'sluice-node-'));
    const logged: string[] = [];
    const log = (...line: readonly unknown[]): void => void logged.push(JSON.stringify(line));
    const secretKey = keyOfDirectory(directory);
    const node = await LocalNode.start({
      settings: {
        clusterId: 'c',
        upstreamUri: '',
        sinkUri: '',
        dataDirectory: directory,
        isTemporary: false,
        captureId: 'node-1',
        logLevel: 'silent',
        storeBytesMax: 1 << 30,
        laneCount: 1,
      },
      secretKey,
      workThreadCount: 1,
    });
    const plane = new NodeControlPlane({
      clusterId: 'c',
      isCluster,
      node,
      address: () => '127.0.0.1:8300',
      seal: new UriSeal(secretKey),
      log,
    });
    const api = await serve(plane, null, log);
    return new TestNode({ directory, node, plane, api, logged }, given === undefined);
  }

  /** Ends it; the directory goes when it was made for it. */
  async stop(): Promise<void> {
    await this.api.close();
    await this.node.close();
    if (this.#ownsDirectory) rmSync(this.directory, { recursive: true });
  }

  /** One request. */
  call(method: string, path: string, body?: unknown): Promise<ApiAnswer> {
    return call(this.api, method, path, body);
  }

  /** Waits until a changefeed is as wanted; its last picture. */
  async until(
    id: string,
    holds: (body: Readonly<Record<string, unknown>>) => boolean,
  ): Promise<Readonly<Record<string, unknown>>> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const { body } = await this.call('GET', `/api/v2/changefeeds/${id}`);
      if (holds(body)) return body;
      if (performance.now() > deadline) throw new Error(`never: ${JSON.stringify(body)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** An API in front of a control plane. */
export function serve(
  plane: ControlPlane,
  token: string | null,
  log: (...line: readonly unknown[]) => void = () => undefined,
): Promise<ApiServer> {
  return startApiServer({
    plane,
    listen: '127.0.0.1:0',
    version: '1.2.3',
    metrics: openMetrics(plane),
    token: token === null ? null : new Secret(token),
    log,
  });
}

/** One request to an API; a body that is text goes as it is. */
export async function call(
  api: ApiServer,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<ApiAnswer> {
  const response = await fetch(`http://${api.address}${path}`, {
    method,
    headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return {
    status: response.status,
    body: isJson ? (JSON.parse(text) as ApiAnswer['body']) : { text },
  };
}
