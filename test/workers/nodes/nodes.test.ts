/** Whole actor systems, real threads and real links between them in one process. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { openGrpcPeers } from '#src/adapters/grpc-peers/grpc-peers.ts';
import { must } from '#src/base/assert.ts';
import { ok } from '#src/base/failure.ts';
import type { FeedsRequest } from '#src/ports/feeds.ts';
import type { Peers, PeersRequest } from '#src/ports/peers.ts';
import { bareSettings } from '#test/fixtures/bare-settings.ts';
import { ActorSystem } from '#workers/actor-system.ts';
import { plan, world, worldUrl, type FrontInbox } from './world.ts';

const limitMs = 20_000;

class Node {
  readonly id: string;
  readonly told: { readonly where: string; readonly by: string }[] = [];
  #system: ActorSystem | null = null;
  #peers: Peers | null = null;

  private constructor(id: string) {
    this.id = id;
  }

  static async start(t: TestContext, id: string): Promise<Node> {
    const node = new Node(id);
    const directory = mkdtempSync(join(tmpdir(), 'sluice-nodes-'));
    const system = await ActorSystem.start({
      plan,
      world,
      worldUrl,
      workThreadCount: 1,
      settings: bareSettings(directory, id),
      props: () => null,
      mainPorts: {
        note: () => ({
          call: (request) => {
            const { where, by } = request as unknown as { where: string; by: string };
            node.told.push({ where, by });
            return Promise.resolve(ok(null));
          },
          close: () => Promise.resolve(),
        }),
      },
      openPeers: async (events) => {
        const options = { clusterId: 'c', captureId: id, listen: '127.0.0.1:0', tls: null };
        node.#peers = await openGrpcPeers(options, events);
        return node.#peers;
      },
      onOver: () => {},
    });
    node.#system = system;
    t.after(async () => {
      await system.stop();
      rmSync(directory, { recursive: true });
    });
    return node;
  }

  get address(): string {
    return must(this.#peers, 'peers').address;
  }

  do(message: FrontInbox): void {
    must(this.#system, 'a system').tell('house/front', message);
  }

  feeds(request: FeedsRequest): void {
    this.do({ kind: 'Call', port: 'feeds', request });
  }

  /** Asks until the wanted answer comes: what is lost on the way is asked again by whoever needs it. */
  async hears(
    where: string,
    ask: { readonly feed: string; readonly node?: string },
  ): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (this.told.at(-1)?.where !== where) {
      if (performance.now() > deadline)
        throw new Error(`heard ${JSON.stringify(this.told.at(-1))}`);
      this.do({ kind: 'Ask', ...ask });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

test(
  'a changefeed has ports of its own on every thread, as long as it is open',
  { timeout: 60_000 },
  async (t) => {
    const node = await Node.start(t, 'a');
    await node.hears('INTERNAL_STOPPED', { feed: 'f' });
    const endpoints = { upstreamUri: 'u', sinkUri: 's', laneCount: 1 };
    const holder = 'manager';
    node.feeds({ kind: 'OpenFeed', id: 'f', holder, endpoints });
    node.feeds({ kind: 'OpenFeed', id: 'g', holder, endpoints: null });
    await node.hears('sink f s #1', { feed: 'f' });
    await node.hears('sink g as started #2', { feed: 'g' });
    // The same again is no news; other endpoints replace the ports.
    node.feeds({ kind: 'OpenFeed', id: 'f', holder, endpoints });
    await node.hears('sink f s #1', { feed: 'f' });
    node.feeds({ kind: 'OpenFeed', id: 'f', holder, endpoints: { ...endpoints, sinkUri: 's2' } });
    await node.hears('sink f s2 #3', { feed: 'f' });
    await node.hears('sink g as started #2', { feed: 'g' });
    node.feeds({ kind: 'OpenFeed', id: 'f', holder, endpoints: { ...endpoints, laneCount: 2 } });
    await node.hears('sink f s #4', { feed: 'f' });
    // With the last holder the ports close; what is opened after that is new.
    node.feeds({
      kind: 'OpenFeed',
      id: 'f',
      holder: 'maintainer',
      endpoints: { ...endpoints, laneCount: 2 },
    });
    node.feeds({ kind: 'CloseFeed', id: 'f', holder });
    node.feeds({ kind: 'CloseFeed', id: 'f', holder });
    await node.hears('sink f s #4', { feed: 'f' });
    node.feeds({ kind: 'CloseFeed', id: 'f', holder: 'maintainer' });
    await node.hears('INTERNAL_STOPPED', { feed: 'f' });
    node.feeds({ kind: 'OpenFeed', id: 'f', holder, endpoints });
    node.feeds({ kind: 'CloseFeed', id: 'f', holder });
    node.feeds({ kind: 'OpenFeed', id: 'f', holder, endpoints });
    await node.hears('sink f s #5', { feed: 'f' });
  },
);

test(
  'cells of two nodes talk over threads and links, until membership parts them',
  { timeout: 60_000 },
  async (t) => {
    const [a, b] = [await Node.start(t, 'a'), await Node.start(t, 'b')];
    const join = (node: Node, others: readonly Node[]): void => {
      const members = others.map(({ id, address }) => ({ captureId: id, address }));
      const request: PeersRequest = { kind: 'SetMembers', members };
      node.do({ kind: 'Call', port: 'peers', request });
    };
    const open = (sinkUri: string): FeedsRequest => ({
      kind: 'OpenFeed',
      id: 'f',
      holder: 'manager',
      endpoints: { upstreamUri: 'u', sinkUri, laneCount: 1 },
    });
    a.feeds(open('of-a'));
    b.feeds(open('of-b'));
    join(a, [b]);
    join(b, [a]);
    // From main of one node to a thread of the other, and the answer back.
    await a.hears('sink f of-b #1', { feed: 'f', node: 'b' });
    await b.hears('sink f of-a #1', { feed: 'f', node: 'a' });
    // A node reaches itself by its id too, without the network.
    await a.hears('sink f of-a #1', { feed: 'f', node: 'a' });
    join(b, []);
    b.told.length = 0;
    a.told.length = 0;
    for (let i = 0; i < 20; i++) {
      a.do({ kind: 'Ask', feed: 'f', node: 'b' });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const heard = a.told.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(a.told.length, heard, 'nothing comes any more');
    join(b, [a]);
    await a.hears('sink f of-b #1', { feed: 'f', node: 'b' });
  },
);
