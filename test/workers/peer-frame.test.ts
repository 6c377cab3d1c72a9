import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Envelope } from '#src/kernel/message.ts';
import { decodeFrame, encodeEnvelope, joinEnvelopes } from '#workers/peer-frame.ts';

const ref = fc.record({
  path: fc.string({ maxLength: 20 }),
  thread: fc.constantFrom('main', 'ingest', 'work-1'),
  incarnation: fc.maxSafeNat(),
});
const bytes = fc.uint8Array({ maxLength: 50 }).map((given) => new Uint8Array(given));
const message = fc.record(
  {
    kind: fc.string({ minLength: 1, maxLength: 10 }),
    ts: fc.maxSafeNat(),
    names: fc.array(fc.string({ unit: 'grapheme', maxLength: 8 }), { maxLength: 5 }),
    nested: fc.record({ value: fc.option(fc.double({ noNaN: true })), is: fc.boolean() }),
    moved: fc.array(bytes, { maxLength: 4 }),
  },
  { requiredKeys: ['kind'] },
);
const envelope: fc.Arbitrary<Envelope> = fc.record({
  to: ref,
  from: ref,
  epoch: fc.maxSafeNat(),
  seq: fc.maxSafeNat(),
  message,
});

/** Plain objects and arrays again: what the decoder makes compares with what the generator made. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, one: unknown) =>
      Object.is(one, -0) ? 0 : one instanceof Uint8Array ? { bytes: [...one] } : one,
    ),
  );
}

test('envelopes come back as they went, with the node that sent them', () => {
  fc.assert(
    fc.property(fc.array(envelope, { minLength: 1, maxLength: 6 }), (envelopes) => {
      const decoded = decodeFrame(joinEnvelopes(envelopes.map(encodeEnvelope)), 'b');
      assert.ok(decoded.ok);
      const expected = envelopes.map((one) => ({ ...one, from: { ...one.from, node: 'b' } }));
      assert.deepEqual(plain(decoded.value), plain(expected));
    }),
  );
});

test('any bytes give envelopes or PEER_FRAME_CORRUPT', () => {
  const damaged = fc
    .tuple(fc.array(envelope, { minLength: 1, maxLength: 3 }), fc.nat(), fc.nat(255), fc.boolean())
    .map(([envelopes, at, value, isCut]) => {
      const frame = joinEnvelopes(envelopes.map(encodeEnvelope));
      const place = at % frame.byteLength;
      return isCut ? frame.subarray(0, place) : frame.with(place, value);
    });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged), (frame) => {
      const decoded = decodeFrame(frame, 'b');
      if (decoded.ok) {
        for (const one of decoded.value) assert.equal(typeof one.message.kind, 'string');
      } else assert.equal(decoded.failure.code, 'PEER_FRAME_CORRUPT');
    }),
    { numRuns: 3_000 },
  );
});

test('lengths that lie are refused without reserving what they claim', () => {
  const short = 'it is shorter than its lengths say';
  const claims: readonly (readonly [frame: readonly number[], why: string])[] = [
    [[0, 0, 0], short],
    [[0xff, 0xff, 0xff, 0xff, 1], short],
    [[0, 0, 0, 1, 0], short],
    [[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff], short],
    [[0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], short],
  ];
  for (const [frame, why] of claims) {
    const decoded = decodeFrame(new Uint8Array(frame), 'b');
    assert.equal(decoded.ok ? '' : decoded.failure.message, `a frame of another node: ${why}`);
  }
  // An empty batch is one without envelopes.
  assert.deepEqual(decodeFrame(new Uint8Array(8), 'b'), { ok: true, value: [] });
});
