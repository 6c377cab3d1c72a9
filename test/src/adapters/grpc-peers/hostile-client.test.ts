/** What strangers may do to the listening side: bytes that are no protocol, connections that say nothing or half of it. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { Client, credentials } from '@grpc/grpc-js';
import fc from 'fast-check';
import { passBytes, streamPath } from '#src/adapters/grpc-peers/byte-service.ts';
import { encodeHello, type Hello } from '#src/adapters/grpc-peers/handshake.ts';
import { join, TestCapture, until } from './stage.ts';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

async function openPair(t: TestContext): Promise<readonly [TestCapture, TestCapture]> {
  const pair = [await TestCapture.open('a'), await TestCapture.open('b')] as const;
  for (const { peers } of pair) t.after(() => peers.close());
  await join(pair);
  return pair;
}

/** The pair still works: nobody's misbehaviour has touched it. */
async function proveAlive(
  [a, b]: readonly [TestCapture, TestCapture],
  text: string,
): Promise<void> {
  assert.equal(a.say('b', text), 'queued');
  await until(`${text} arrives`, () => b.texts().includes(text));
  assert.equal(a.link('b')?.failureCount, 0);
}

async function dial(capture: TestCapture): Promise<Socket> {
  const socket = connect(Number(capture.peers.address.split(':')[1]), '127.0.0.1');
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => {
    socket.once('connect', () => resolve());
  });
  return socket;
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.once('close', () => resolve());
    socket.resume();
  });

test('a connection that says nothing, or one byte at a time, ends at the deadline', async (t) => {
  const pair = await openPair(t);
  const [silent, slow] = [await dial(pair[1]), await dial(pair[1])];
  let at = 0;
  const drip = setInterval(() => slow.write(preface.subarray(at, ++at)), 50);
  await Promise.all([closed(silent), closed(slow)]);
  clearInterval(drip);
  assert.equal(pair[1].peers.status().refusals['handshake-deadline'], 2);
  await proveAlive(pair, 'x');
});

test('random bytes end their own connection and nothing else', async (t) => {
  const pair = await openPair(t);
  const garbage = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
    fc.uint8Array({ minLength: 1, maxLength: 2_000 }).map((rest) => Buffer.concat([preface, rest])),
  );
  await fc.assert(
    fc.asyncProperty(garbage, async (bytes) => {
      const socket = await dial(pair[1]);
      const end = closed(socket);
      socket.end(bytes);
      await end;
    }),
    { numRuns: 60 },
  );
  await proveAlive(pair, 'x');
});

test('a stream whose handshake is late, half or garbage ends with the reason', async (t) => {
  const pair = await openPair(t);
  const hello: Hello = { version: 1, clusterId: 'c', from: 'a', to: 'b', peerClass: 'data' };
  const cases: readonly (readonly [first: Uint8Array | null, reason: RegExp])[] = [
    // The stream's own deadline and that of its connection fall together.
    [null, /^(no handshake in time|Connection dropped)$/],
    [Buffer.from('{"version":1,'), /^the handshake is not JSON$/],
    [Buffer.alloc(100_000), /^the handshake has 100000 bytes, at most 2048 are read$/],
    [encodeHello({ ...hello, version: 2 }), /^protocol version 2 is not 1$/],
  ];
  for (const [first, reason] of cases) {
    const client = new Client(pair[1].peers.address, credentials.createInsecure());
    const stream = client.makeBidiStreamRequest(streamPath, passBytes, passBytes);
    if (first !== null) stream.write(Buffer.from(first));
    const error = await new Promise<{ readonly details: string }>((resolve) => {
      stream.once('error', (given) => resolve(given as Error & { readonly details: string }));
      stream.resume();
    });
    assert.match(error.details, reason);
    client.close();
  }
  await proveAlive(pair, 'x');
});

test('a newer stream of the same capture takes the place of the older one', async (t) => {
  const b = await TestCapture.open('b');
  t.after(() => b.peers.close());
  b.peers.setMembers([{ captureId: 'a', address: '127.0.0.1:1' }]);
  const hello: Hello = { version: 1, clusterId: 'c', from: 'a', to: 'b', peerClass: 'data' };
  const begin = async (): Promise<{
    client: Client;
    say: (text: string) => void;
    end: Promise<string>;
  }> => {
    const client = new Client(b.peers.address, credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    t.after(() => client.close());
    const stream = client.makeBidiStreamRequest(streamPath, passBytes, passBytes);
    const end = new Promise<string>((resolve) => {
      stream.once('error', (given) => resolve((given as Error & { details: string }).details));
    });
    stream.write(Buffer.from(encodeHello(hello)));
    await new Promise((resolve) => stream.once('data', resolve));
    return { client, end, say: (text) => void stream.write(Buffer.from(text)) };
  };
  const older = await begin();
  older.say('1');
  await until('the first', () => b.arrived.length === 1);
  const newer = await begin();
  assert.equal(await older.end, 'replaced');
  older.say('2');
  newer.say('3');
  await until('the third', () => b.texts().includes('3'));
  assert.deepEqual(b.texts(), ['1', '3']);
});

test('hundreds of connections that say nothing leave room for members', async (t) => {
  const pair = await openPair(t);
  const sockets = await Promise.all(Array.from({ length: 400 }, () => dial(pair[1])));
  const c = await TestCapture.open('c');
  t.after(() => c.peers.close());
  pair[1].peers.setMembers([pair[0].member(), c.member()]);
  c.peers.setMembers([pair[1].member()]);
  await c.joined('b');
  for (const socket of sockets) socket.destroy();
  await proveAlive(pair, 'x');
});
