// Packets are built from payloads, cut into chunks at chosen places, pushed, and must come out as they went in.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FailureError } from '#src/base/failure.ts';
import { PacketFraming } from '#src/adapters/binlog/stream/packet-framing.ts';
import { packetBytes } from './event-bytes.ts';

function drain(framing: PacketFraming): string[] {
  const out: string[] = [];
  for (let p = framing.next(); p !== undefined; p = framing.next()) {
    out.push(Buffer.from(p).toString('hex'));
  }
  return out;
}

test('packets come out whole wherever the stream is cut into two chunks', () => {
  const payloads = [Buffer.from('abc'), Buffer.alloc(0), Buffer.from('de'), Buffer.alloc(300, 7)];
  const bytes = packetBytes(payloads);
  const expected = payloads.map((payload) => payload.toString('hex'));
  for (let cut = 0; cut <= bytes.length; cut++) {
    const framing = new PacketFraming(1000);
    framing.push(bytes.subarray(0, cut));
    const first = drain(framing);
    framing.push(bytes.subarray(cut));
    assert.deepEqual([...first, ...drain(framing)], expected);
    assert.equal(framing.bufferedBytes, 0);
  }
});

test('packets come out whole for any payloads and any chunks', () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 300 }),
      fc.array(fc.nat(50), { minLength: 1 }),
      (payloads, sizes) => {
        const bytes = packetBytes(payloads);
        const framing = new PacketFraming(1000);
        const out: string[] = [];
        let at = 0;
        for (let i = 0; at < bytes.length; i++) {
          const size = 1 + sizes[i % sizes.length]!;
          framing.push(bytes.subarray(at, at + size));
          at += size;
          if (i % 3 === 0) out.push(...drain(framing));
        }
        out.push(...drain(framing));
        assert.deepEqual(
          out,
          payloads.map((payload) => Buffer.from(payload).toString('hex')),
        );
      },
    ),
  );
});

test('a payload of 16 MB and more is joined from its packets, also when it ends exactly at a packet', () => {
  for (const size of [0xffffff - 1, 0xffffff, 0xffffff + 1, 2 * 0xffffff]) {
    const payload = Buffer.alloc(size, 1);
    payload.writeUInt32LE(size - 1, 10);
    payload[size - 1] = 9;
    const bytes = packetBytes([payload, Buffer.from('next')]);
    const framing = new PacketFraming(2 ** 26);
    for (let at = 0; at < bytes.length; at += 65_536) framing.push(bytes.subarray(at, at + 65_536));
    const joined = framing.next();
    assert.ok(joined !== undefined && Buffer.compare(joined, payload) === 0);
    assert.equal(Buffer.from(framing.next()!).toString(), 'next');
  }
});

test('a packet above the bound is refused before it is gathered', () => {
  const framing = new PacketFraming(100);
  framing.push(packetBytes([Buffer.alloc(200)]).subarray(0, 50));
  assert.throws(() => framing.next(), isCorrupt);
});

test('a packet with the wrong number is refused', () => {
  const framing = new PacketFraming(100);
  framing.push(packetBytes([Buffer.from('a')], 1));
  framing.push(packetBytes([Buffer.from('b')], 3));
  assert.ok(framing.next() !== undefined);
  assert.throws(() => framing.next(), isCorrupt);
});

test('packet numbers run over from 255 to 0, and a new reply begins anew', () => {
  const framing = new PacketFraming(100);
  framing.push(packetBytes([Buffer.from('a'), Buffer.from('b')], 255));
  assert.equal(drain(framing).length, 2);
  framing.expectReply();
  framing.push(packetBytes([Buffer.from('c')], 1));
  assert.equal(drain(framing).length, 1);
});

function isCorrupt(error: unknown): boolean {
  return error instanceof FailureError && error.failure.code === 'SOURCE_CORRUPT';
}
