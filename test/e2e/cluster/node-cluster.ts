/** A cluster of nodes in this process, over a real etcd and two real MariaDB servers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '#src/base/assert.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import type {
  ChangefeedView,
  CoordinatorReply,
  CoordinatorRequest,
} from '#src/protocol/coordinator.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { ClusterNode } from '#workers/cluster-node.ts';

/** How the nodes are run. */
export interface NodeClusterOptions {
  readonly leaseTtlMs?: number;
  readonly onFence?: 'rejoin' | 'exit';
}

/** See the top of this file. */
export class NodeCluster {
  readonly etcd: EtcdServer;
  readonly nodes: ClusterNode[] = [];
  readonly #options: NodeClusterOptions;
  readonly #directory = mkdtempSync(join(tmpdir(), 'sluice-cluster-'));

  private constructor(etcd: EtcdServer, options: NodeClusterOptions) {
    this.etcd = etcd;
    this.#options = options;
  }

  /** Starts etcd and `count` nodes. */
  static async start(count: number, options: NodeClusterOptions = {}): Promise<NodeCluster> {
    const cluster = new NodeCluster(await startEtcd(), options);
    for (let i = 0; i < count; i += 1) await cluster.add();
    return cluster;
  }

  /** Starts one more node; joining follows. */
  async add(): Promise<ClusterNode> {
    const { leaseTtlMs = 10_000, onFence = 'rejoin' } = this.#options;
    const node = new ClusterNode({
      settings: {
        clusterId: 'e2e',
        upstreamUri: '',
        sinkUri: '',
        dataDirectory: join(this.#directory, String(this.nodes.length)),
        isTemporary: false,
        logLevel: (process.env['SLUICE_LOG'] ?? 'silent') as 'silent',
        storeBytesMax: 1 << 30,
        laneCount: 2,
      },
      cluster: {
        etcdUrls: this.etcd.endpoint,
        leaseTtlMs,
        peerAddress: '127.0.0.1:0',
        tls: null,
        allowPlainText: false,
        version: '0',
      },
      workThreadCount: 1,
      onFence,
    });
    this.nodes.push(node);
    await node.start('127.0.0.1:1');
    return node;
  }

  /** Ends a node's session as an operator might: etcd forgets its lease. */
  async revoke({ captureId }: ClusterNode): Promise<void> {
    const key = Buffer.from(`/sluice/e2e/capture/${captureId}`).toString('base64');
    const { kvs } = (await this.etcd.call('kv/range', { key })) as {
      readonly kvs: readonly { readonly lease: string }[];
    };
    await this.etcd.call('lease/revoke', { ID: must(kvs[0], 'a key').lease });
  }

  /** Asks by way of node `at` first, then of the others, until it is done; throws what is refused for good. */
  async ask(request: CoordinatorRequest, at = 0): Promise<CoordinatorReply> {
    const deadline = performance.now() + 60_000;
    for (let turn = at; ; turn += 1) {
      const outcome = await must(this.nodes[turn % this.nodes.length], 'a node').ask(request);
      if (outcome.ok) return outcome.value;
      const { code, message } = outcome.failure;
      // A node that is being replaced, a cluster that elects its coordinator.
      const isPassing = code === 'COORDINATOR_ABSENT' || code === 'INTERNAL_STOPPED';
      if (!isPassing || performance.now() > deadline) throw new Error(`${code}: ${message}`);
      await sleep(100);
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
    await Promise.all(this.nodes.map((node) => node.stop()));
    await this.etcd.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** A changefeed between two servers. */
export function feedBetween(id: string, upstream: SqlServer, sink: SqlServer): ChangefeedConfig {
  return {
    id,
    endpoints: { upstreamUri: upstream.uri(), sinkUri: sink.uri(), laneCount: 2 },
    startAt: { kind: 'oldest' },
    rules: ['*.*'],
    untilCaughtUp: false,
    memoryQuota: 32 << 20,
    stuckAfterMs: 600_000,
  };
}
