/** Two or three captures in this process, over real sockets; a proxy stands between them where a connection must fail. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { FailureError } from '#src/base/failure.ts';
import { peerFrameBytesMax } from '#src/ports/peers.ts';
import { Proxy } from '#test/net/proxy.ts';
import { join, TestCapture, until } from './stage.ts';

import type { GrpcPeersOptions } from '#src/adapters/grpc-peers/grpc-peers.ts';

async function open(
  t: TestContext,
  id: string,
  options: Partial<GrpcPeersOptions> = {},
): Promise<TestCapture> {
  const capture = await TestCapture.open(id, options);
  t.after(() => capture.peers.close());
  return capture;
}

/** A and B, with what A says to B passing through a proxy. */
async function openWithProxy(
  t: TestContext,
  options: Partial<GrpcPeersOptions> = {},
): Promise<{ a: TestCapture; b: TestCapture; proxy: Proxy }> {
  const [a, b] = [await open(t, 'a', options), await open(t, 'b', options)];
  const proxy = await Proxy.start(Number(b.peers.address.split(':')[1]));
  t.after(() => proxy.stop());
  a.peers.setMembers([b.member(`127.0.0.1:${proxy.port}`)]);
  b.peers.setMembers([a.member()]);
  await a.joined('b');
  return { a, b, proxy };
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

test('three captures reach each other, in order per link and class', async (t) => {
  const captures = [await open(t, 'a'), await open(t, 'b'), await open(t, 'c')];
  await join(captures);
  for (const text of numbers(500)) {
    for (const from of captures) {
      for (const to of captures) {
        if (to === from) continue;
        assert.equal(from.say(to.id, text), 'queued');
        assert.equal(from.say(to.id, text, 'data'), 'queued');
      }
    }
  }
  for (const to of captures) {
    await until('all arrived', () => to.arrived.length === 2_000);
    for (const from of captures.filter((one) => one !== to)) {
      for (const peerClass of ['control', 'data'] as const) {
        const texts = to.arrived
          .filter((one) => one.from === from.id && one.peerClass === peerClass)
          .map(({ text }) => text);
        assert.deepEqual(texts, numbers(500));
      }
    }
  }
});

test('a frame of the largest size passes, one byte more is refused, and the link stands', async (t) => {
  const [a, b] = [await open(t, 'a'), await open(t, 'b')];
  await join([a, b]);
  assert.equal(a.peers.send('b', 'data', new Uint8Array(peerFrameBytesMax)).kind, 'queued');
  const sent = a.peers.send('b', 'data', new Uint8Array(peerFrameBytesMax + 1));
  assert.deepEqual(sent, {
    kind: 'refused',
    failure: {
      code: 'PEER_FRAME_TOO_LARGE',
      retry: 'Never',
      scope: 'Feed',
      message: `a frame of ${peerFrameBytesMax + 1} bytes is above the limit of ${peerFrameBytesMax}`,
      detail: { byteCount: peerFrameBytesMax + 1, byteCountMax: peerFrameBytesMax },
    },
  });
  await until('the large frame', () => b.sizes.includes(peerFrameBytesMax));
  assert.equal(a.link('b', 'data')?.failureCount, 0);
});

test('nobody is sent to who is no member, and oneself is none', async (t) => {
  const a = await open(t, 'a');
  a.peers.setMembers([a.member()]);
  assert.equal(a.say('a', 'x'), 'no-peer');
  assert.equal(a.say('b', 'x'), 'no-peer');
  assert.deepEqual(a.peers.links(), []);
});

test('a queue that is full by count or by bytes takes nothing more', async (t) => {
  const bounds = { countMax: 3, bytesMax: 1_000 };
  const a = await open(t, 'a', { bounds: { control: bounds, data: bounds } });
  const proxy = await Proxy.start(1);
  t.after(() => proxy.stop());
  a.peers.setMembers([{ captureId: 'b', address: `127.0.0.1:${proxy.port}` }]);
  assert.deepEqual(
    numbers(4).map((text) => a.say('b', text)),
    ['queued', 'queued', 'queued', 'congested'],
  );
  const full = Buffer.alloc(600);
  assert.equal(a.peers.send('b', 'data', full).kind, 'queued');
  assert.equal(a.peers.send('b', 'data', full).kind, 'congested');
  assert.equal(a.peers.send('b', 'data', Buffer.alloc(400)).kind, 'queued');
  const status = a.link('b', 'data');
  assert.deepEqual(
    [status?.queuedCount, status?.queuedBytes, status?.congestedCount],
    [2, 1_000, 1],
  );
});

test('a peer that stops reading congests its link, and the link goes on when it reads', async (t) => {
  const { a, b, proxy } = await openWithProxy(t, { timing: { keepaliveMs: 60_000 } });
  proxy.frozen = true;
  const frame = Buffer.alloc(2 ** 20);
  let taken = 0;
  while (a.peers.send('b', 'data', frame).kind === 'queued') taken++;
  assert.ok(taken >= 32 && taken <= 64, `${taken} frames of a mebibyte`);
  // Control has a connection and a queue of its own.
  assert.equal(a.say('b', 'x'), 'queued');
  proxy.frozen = false;
  await until('all arrived', () => b.arrived.length === taken + 1);
  assert.equal(a.link('b', 'data')?.lostCount, 0);
});

test('a reset connection loses at most what was under way; order holds and nothing comes twice', async (t) => {
  const { a, b, proxy } = await openWithProxy(t);
  const count = 3_000;
  for (const [i, text] of numbers(count).entries()) {
    assert.equal(a.say('b', text), 'queued');
    if (i % 500 === 250) {
      await new Promise((resolve) => setImmediate(resolve));
      proxy.reset();
    }
    if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await until('the queue is empty', () => a.link('b')?.queuedCount === 0);
  const link = a.link('b');
  await until('what was sent has arrived', () => b.texts().at(-1) === String(count - 1));
  const values = b.texts().map(Number);
  assert.ok(values.every((value, i) => i === 0 || value > values[i - 1]!));
  assert.equal(link!.sentCount + link!.lostCount, count);
  assert.ok(proxy.connectionCount > 2, 'connected anew');
});

test('a connection that goes silent is noticed and opened anew', async (t) => {
  const { a, b, proxy } = await openWithProxy(t);
  proxy.frozen = true;
  await until('the link is lost', () => a.link('b')?.phase !== 'open');
  assert.equal(a.link('b')?.failure?.code, 'PEER_UNREACHABLE');
  assert.equal(a.say('b', 'kept'), 'queued');
  proxy.frozen = false;
  await a.joined('b');
  await until('what was queued', () => b.texts().includes('kept'));
  assert.deepEqual([a.link('b')?.failure, a.link('b')?.failureCount], [null, 0]);
});

test('a peer that is not there is asked again with growing pauses, and found when it comes', async (t) => {
  // Opened first: it must not be given the port that b leaves.
  const a = await open(t, 'a');
  const b = await TestCapture.open('b');
  const { address } = b.peers;
  await b.peers.close();
  a.peers.setMembers([{ captureId: 'b', address }]);
  await until('several attempts', () => (a.link('b')?.failureCount ?? 0) >= 3);
  assert.equal(a.link('b')?.failure?.message, `the peer at ${address} does not answer`);
  const later = await open(t, 'b', { listen: address });
  later.peers.setMembers([a.member()]);
  await a.joined('b');
});

test('handshakes that do not fit are refused with the reason, and served once they do', async (t) => {
  const b = await open(t, 'b');
  const stranger = await open(t, 'stranger');
  const other = await open(t, 'other', { clusterId: 'another' });
  const late = await open(t, 'late');
  b.peers.setMembers([other.member(), late.member()]);
  stranger.peers.setMembers([b.member()]);
  other.peers.setMembers([b.member()]);
  late.peers.setMembers([{ captureId: 'b-of-yesterday', address: b.peers.address }]);
  const refusal = async (of: TestCapture, to: string): Promise<string | undefined> => {
    await until(`${of.id} is refused`, () => of.link(to)?.failure !== null);
    const failure = of.link(to)?.failure;
    return `${failure?.code}: ${failure?.message}`;
  };
  assert.equal(
    await refusal(stranger, 'b'),
    'PEER_REFUSED: capture stranger is no member of the cluster',
  );
  assert.equal(await refusal(other, 'b'), 'PEER_REFUSED: this is cluster c, not another');
  assert.equal(
    await refusal(late, 'b-of-yesterday'),
    'PEER_REFUSED: this is capture b, not b-of-yesterday',
  );
  const { refusals } = b.peers.status();
  assert.deepEqual(Object.keys(refusals).sort(), ['address', 'cluster', 'not-member']);
  b.peers.setMembers([stranger.member()]);
  await stranger.joined('b');
});

test('a member that is dropped is cut off in both directions and not let in again', async (t) => {
  const [a, b] = [await open(t, 'a'), await open(t, 'b')];
  await join([a, b]);
  b.peers.setMembers([]);
  await until('a is refused', () => a.link('b')?.failure?.code === 'PEER_REFUSED');
  assert.equal(a.link('b')?.failure?.message, 'capture a is no member of the cluster');
  a.say('b', 'too late');
  await until('refused again', () => (a.link('b')?.failureCount ?? 0) >= 3);
  assert.deepEqual(b.arrived, []);
  assert.equal(b.say('a', 'x'), 'no-peer');
});

test('an address that changes moves the link', async (t) => {
  const [a, b] = [await open(t, 'a'), await open(t, 'b')];
  await join([a, b]);
  const proxy = await Proxy.start(Number(b.peers.address.split(':')[1]));
  t.after(() => proxy.stop());
  a.peers.setMembers([b.member(`127.0.0.1:${proxy.port}`)]);
  await a.joined('b');
  a.say('b', 'x');
  await until('it arrived', () => b.texts().includes('x'));
  assert.equal(proxy.connectionCount, 2);
});

test('an address nobody can listen at is a failure, as is plain text beyond loopback', async (t) => {
  const a = await open(t, 'a');
  const codeOf = async (options: Partial<GrpcPeersOptions>): Promise<string> => {
    try {
      const opened = await TestCapture.open('b', options);
      await opened.peers.close();
      return 'opened';
    } catch (error) {
      return error instanceof FailureError ? error.message : String(error);
    }
  };
  assert.equal(
    await codeOf({ listen: a.peers.address }),
    `PEER_LISTEN_FAILED: cannot listen for peers at ${a.peers.address}`,
  );
  assert.equal(
    await codeOf({ listen: '0.0.0.0:0' }),
    'CONFIG_INVALID: --peer-addr: 0.0.0.0:0 is not loopback: set security.ca-path, cert-path and key-path',
  );
  assert.equal(await codeOf({ listen: '0.0.0.0:0', allowPlainText: true }), 'opened');
  assert.equal(
    await codeOf({ listen: 'nowhere' }),
    'CONFIG_INVALID: --peer-addr: "nowhere" is not of the form HOST:PORT',
  );
});

test('after close no sockets are left', async () => {
  const [a, b] = [await TestCapture.open('a'), await TestCapture.open('b')];
  await join([a, b]);
  await a.peers.close();
  await b.peers.close();
  const isSocket = (resource: string): boolean => resource.startsWith('TCP');
  await until('no sockets', () => !process.getActiveResourcesInfo().some(isSocket));
});
