import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeHello,
  encodeHello,
  handshakeBytesMax,
  type Hello,
} from '#src/adapters/grpc-peers/handshake.ts';
import { isKeyPart } from '#src/model/coordination-key.ts';

const hello: Hello = { version: 1, clusterId: 'c', from: 'a-1', to: 'b-2', peerClass: 'data' };
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

test('a handshake comes back as it went', () => {
  // Whatever may stand in a key of the coordination store may speak to peers.
  const id = fc.stringMatching(/^[\w.:-]{1,128}$/).filter(isKeyPart);
  const hellos = fc.record(
    {
      version: fc.nat(),
      clusterId: id,
      from: id,
      to: id,
      peerClass: fc.constantFrom('control' as const, 'data' as const),
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(hellos, (given) => {
      assert.deepEqual(decodeHello(encodeHello(given)), { ok: true, value: given });
    }),
  );
});

test('any bytes give a handshake or a refusal', () => {
  const damaged = fc
    .tuple(fc.nat(encodeHello(hello).length - 1), fc.nat(255))
    .map(([at, value]) => encodeHello(hello).with(at, value));
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 4_000 }), damaged), (bytes) => {
      const decoded = decodeHello(bytes);
      if (!decoded.ok) assert.equal(decoded.failure.code, 'PEER_REFUSED');
    }),
    { numRuns: 2_000 },
  );
  fc.assert(
    fc.property(fc.json(), (text) => {
      assert.equal(decodeHello(bytesOf(text)).ok, false);
    }),
  );
});

test('each thing a handshake lacks is refused with its reason', () => {
  const cases: readonly (readonly [bytes: Uint8Array, message: string])[] = [
    [bytesOf(''), 'the handshake is not JSON'],
    [new Uint8Array([0xff, 0xfe]), 'the handshake is not JSON'],
    [bytesOf('null'), 'the handshake is not an object'],
    [bytesOf('[]'), 'the handshake has no version'],
    [bytesOf('{"version":1.5}'), 'the handshake has no version'],
    [encodeHello({ ...hello, clusterId: '' }), 'the handshake lacks a cluster id or capture id'],
    [encodeHello({ ...hello, from: 'a b' }), 'the handshake lacks a cluster id or capture id'],
    [
      encodeHello({ ...hello, to: 'x'.repeat(129) }),
      'the handshake lacks a cluster id or capture id',
    ],
    [encodeHello({ ...hello, peerClass: 'x' as 'data' }), 'the handshake names no class'],
    [
      new Uint8Array(handshakeBytesMax + 1),
      `the handshake has ${handshakeBytesMax + 1} bytes, at most ${handshakeBytesMax} are read`,
    ],
  ];
  for (const [bytes, message] of cases) {
    const decoded = decodeHello(bytes);
    assert.equal(decoded.ok ? 'taken' : decoded.failure.message, message);
  }
});
