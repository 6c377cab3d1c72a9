/** A cluster of captures in this process, over a real etcd and two real MariaDB servers. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '#src/base/assert.ts';
import type { TreeOver } from '#src/kernel/tree.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import type {
  ChangefeedView,
  CoordinatorReply,
  CoordinatorRequest,
} from '#src/protocol/coordinator.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { Capture } from '#workers/capture.ts';
import type { FenceProof } from '#workers/fence-proof.ts';

/** One node of it. */
export interface ClusterCapture {
  readonly captureId: string;
  readonly capture: Capture;
  readonly overs: TreeOver[];
  readonly fences: FenceProof[];
}

/** See the top of this file. */
export class CaptureCluster {
  readonly etcd: EtcdServer;
  readonly nodes: ClusterCapture[] = [];

  private constructor(etcd: EtcdServer) {
    this.etcd = etcd;
  }

  /** Starts etcd and `count` nodes. */
  static async start(count: number, leaseTtlMs = 10_000): Promise<CaptureCluster> {
    const cluster = new CaptureCluster(await startEtcd());
    for (let i = 0; i < count; i += 1) await cluster.add(leaseTtlMs);
    return cluster;
  }

  /** Starts one more node; joining follows. */
  async add(leaseTtlMs = 10_000): Promise<ClusterCapture> {
    const captureId = `${String.fromCharCode(97 + this.nodes.length)}-${Capture.newId()}`;
    const overs: TreeOver[] = [];
    const fences: FenceProof[] = [];
    const capture = await Capture.start({
      settings: {
        clusterId: 'e2e',
        upstreamUri: '',
        sinkUri: '',
        dataDirectory: mkdtempSync(join(tmpdir(), 'sluice-cluster-')),
        isTemporary: true,
        captureId,
        logLevel: (process.env['SLUICE_LOG'] ?? 'error') as 'error',
        storeBytesMax: 1 << 30,
        laneCount: 2,
        cluster: {
          etcdUrls: this.etcd.endpoint,
          leaseTtlMs,
          apiAddress: '127.0.0.1:1',
          peerAddress: '127.0.0.1:0',
          tls: null,
          allowPlainText: false,
          version: '0',
        },
      },
      workThreadCount: 1,
      onStatus: () => {},
      onOver: (over) => overs.push(over),
      onFence: (proof) => fences.push(proof),
    });
    const node = { captureId, capture, overs, fences };
    this.nodes.push(node);
    return node;
  }

  /** Asks by way of node `at`, until it is done; throws what is refused for good. */
  async ask(request: CoordinatorRequest, at = 0): Promise<CoordinatorReply> {
    const { capture } = must(this.nodes[at], 'a node');
    for (let tries = 1; ; tries += 1) {
      const outcome = await capture.ask(request);
      if (outcome.ok) return outcome.value;
      const { code, message } = outcome.failure;
      if (code !== 'COORDINATOR_ABSENT' || tries === 3) throw new Error(`${code}: ${message}`);
    }
  }

  /** The changefeed as the coordinator sees it. */
  async view(id: string, at = 0): Promise<ChangefeedView> {
    const reply = await this.ask({ kind: 'QueryChangefeed', id }, at);
    if (reply.kind !== 'Changefeed') throw new Error(`not a changefeed: ${reply.kind}`);
    return reply.view;
  }

  /** Waits until the changefeed is as wanted, a minute at most. */
  async until(
    id: string,
    wanted: (view: ChangefeedView) => boolean,
    at = 0,
  ): Promise<ChangefeedView> {
    const deadline = performance.now() + 60_000;
    for (;;) {
      const view = await this.view(id, at);
      if (wanted(view)) return view;
      if (performance.now() > deadline) throw new Error(`never: ${JSON.stringify(view)}`);
      await sleep(100);
    }
  }

  /** Stops all nodes and etcd. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map(({ capture }) => capture.stop()));
    await this.etcd.stop();
  }
}

/** A changefeed between two servers. */
export function feedBetween(id: string, upstream: SqlServer, sink: SqlServer): ChangefeedConfig {
  return {
    id,
    endpoints: { upstreamUri: upstream.uri(), sinkUri: sink.uri() },
    startAt: { kind: 'oldest' },
    rules: ['*.*'],
    untilCaughtUp: false,
    memoryQuota: 32 << 20,
    stuckAfterMs: 600_000,
  };
}
