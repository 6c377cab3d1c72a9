/** Two captures' links over the real peers port in this process; threads are names here. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { openGrpcPeers } from '#src/adapters/grpc-peers/grpc-peers.ts';
import { failure } from '#src/base/failure.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Peers } from '#src/ports/peers.ts';
import { classOf, PeerLinks } from '#workers/peer-links.ts';

const silent = (): void => {};

class Side {
  readonly id: string;
  readonly links: PeerLinks;
  readonly peers: Peers;
  readonly arrived: Envelope[];
  readonly counts: Map<string, number>;

  private constructor(
    id: string,
    links: PeerLinks,
    peers: Peers,
    more: Pick<Side, 'arrived' | 'counts'>,
  ) {
    this.id = id;
    this.links = links;
    this.peers = peers;
    this.arrived = more.arrived;
    this.counts = more.counts;
  }

  static async open(t: TestContext, id: string, threads: readonly string[]): Promise<Side> {
    const arrived: Envelope[] = [];
    const counts = new Map<string, number>();
    const links = new PeerLinks({
      self: id,
      deliver: (envelope) => {
        if (!threads.includes(envelope.to.thread)) return false;
        arrived.push(envelope);
        return true;
      },
      count: (name, value) => counts.set(name, (counts.get(name) ?? 0) + value),
      log: silent,
    });
    const peers = await openGrpcPeers(
      { clusterId: 'c', captureId: id, listen: '127.0.0.1:0', tls: null },
      links.events,
    );
    links.use(peers);
    t.after(() => peers.close());
    return new Side(id, links, peers, { arrived, counts });
  }

  post(
    node: string,
    seq: number,
    message: Message,
    path = 'capture/control/x',
    thread = 'main',
  ): void {
    this.links.post({
      to: { path, thread, incarnation: 0, node },
      from: { path: 'capture/control/y', thread: 'work-1', incarnation: 4 },
      epoch: 7,
      seq,
      message,
    });
  }

  async has(count: number): Promise<void> {
    while (this.arrived.length < count) await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

async function openPair(t: TestContext): Promise<readonly [Side, Side]> {
  const [a, b] = [await Side.open(t, 'a', ['main']), await Side.open(t, 'b', ['main', 'work-2'])];
  a.peers.setMembers([{ captureId: 'b', address: b.peers.address }]);
  b.peers.setMembers([{ captureId: 'a', address: a.peers.address }]);
  return [a, b];
}

test(
  'an envelope for another capture arrives there with its sender named',
  { timeout: 30_000 },
  async (t) => {
    const [a, b] = await openPair(t);
    a.post('a', 7, { kind: 'K' });
    assert.deepEqual(
      a.arrived.splice(0).map(({ to, seq }) => [to.node, seq]),
      [[undefined, 7]],
      'one for our own id stays here',
    );
    a.post(
      'b',
      1,
      { kind: 'K', moved: [new Uint8Array([1, 2])] },
      'capture/write-path/m',
      'work-2',
    );
    await b.has(1);
    const [first] = b.arrived;
    assert.deepEqual(
      [first?.to, first?.from, first?.epoch, first?.seq],
      [
        { path: 'capture/write-path/m', thread: 'work-2', incarnation: 0 },
        { path: 'capture/control/y', thread: 'work-1', incarnation: 4, node: 'a' },
        7,
        1,
      ],
    );
    assert.deepEqual([...first!.message.moved![0]!], [1, 2]);
  },
);

test('what is addressed to our own id is delivered here, without the network', async (t) => {
  const a = await Side.open(t, 'a', ['main']);
  a.post('a', 1, { kind: 'K' });
  assert.deepEqual(
    a.arrived.map(({ to }) => to),
    [{ path: 'capture/control/x', thread: 'main', incarnation: 0 }],
  );
});

test(
  'many envelopes keep their order, over frames of every size',
  { timeout: 60_000 },
  async (t) => {
    const [a, b] = await openPair(t);
    const count = 2_000;
    for (let seq = 1; seq <= count; seq++) {
      a.post('b', seq, { kind: 'K', moved: [new Uint8Array((seq * 7_919) % 9_000)] });
      if (seq % 37 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await b.has(count);
    assert.ok(b.arrived.every(({ seq }, i) => seq === i + 1));
    assert.equal(a.counts.get('peer-control-sent'), count);
  },
);

test(
  'what cannot be sent or delivered is counted, and the rest goes on',
  { timeout: 30_000 },
  async (t) => {
    const [a, b] = await openPair(t);
    a.post('nobody', 1, { kind: 'K' });
    a.post('b', 2, { kind: 'K', moved: [new Uint8Array(17 * 2 ** 20)] });
    a.post('b', 3, { kind: 'K' }, 'capture/control/x', 'work-9');
    a.post('b', 4, { kind: 'K' });
    await b.has(1);
    assert.equal(b.arrived[0]?.seq, 4);
    assert.equal(b.counts.get('peer-no-such-thread'), 1);
    assert.equal(a.counts.get('peer-control-no-peer'), 1);
    assert.equal(a.counts.get('peer-control-refused'), 1);
    a.peers.send('b', 'control', new Uint8Array([1, 2, 3]));
    a.post('b', 5, { kind: 'K' });
    await b.has(2);
    assert.equal(b.counts.get('peer-frame-corrupt'), 1);
  },
);

test(
  'a member that cannot be reached is logged with the reason, seldom',
  { timeout: 30_000 },
  () => {
    const lines: (readonly [string, unknown])[] = [];
    const links = new PeerLinks({
      self: 'a',
      deliver: () => true,
      count: silent,
      log: (_, event, detail) => lines.push([event, detail]),
    });
    const why = failure('PEER_UNREACHABLE', 'the peer at h:1 does not answer', {
      cause: 'self-signed certificate',
    });
    const link = { ...blankLink, captureId: 'b', address: 'h:1', failure: why };
    for (let failureCount = 1; failureCount <= 200; failureCount++)
      links.events.lost!({ ...link, failureCount });
    const { code, message, cause } = why;
    const detail = { peer: 'b', address: 'h:1', class: 'control', code, message, cause };
    assert.deepEqual(
      lines,
      [4, 8, 16, 32, 64, 128].map((inARow) => ['peer-unreachable', { ...detail, inARow }]),
    );
  },
);

const blankLink = {
  peerClass: 'control',
  phase: 'waiting',
  queuedCount: 0,
  queuedBytes: 0,
  sentCount: 0,
  sentBytes: 0,
  lostCount: 0,
  congestedCount: 0,
} as const;

test('the class follows the conversation, not the message', () => {
  const between = (to: string, from: string): string =>
    classOf({ to: { path: to }, from: { path: from } } as Envelope);
  const cases: readonly (readonly [to: string, from: string, peerClass: string])[] = [
    ['capture/source/event-service', 'capture/write-path/collectors/c', 'data'],
    ['capture/write-path/collectors/c', 'capture/source/event-service', 'data'],
    ['capture/write-path/orchestrator', 'capture/control/maintainers/m', 'control'],
    ['capture/control/coordinator', 'capture/control/maintainers/m', 'control'],
  ];
  for (const [to, from, peerClass] of cases) assert.equal(between(to, from), peerClass);
});
