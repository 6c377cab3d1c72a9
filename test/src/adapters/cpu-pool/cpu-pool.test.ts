/** The pool on real threads: what it does, refuses and gives up; transactions of zeros are work for as long as one likes. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { openCpuPool, type CpuPoolOptions } from '#src/adapters/cpu-pool/cpu-pool.ts';
import type { CpuPort, CpuRequest } from '#src/ports/cpu.ts';

const plain = Buffer.from(Array.from({ length: 5_000 }, (_, i) => `row ${i * i}`).join());
const longByteCount = 1 << 26;
const long = request(zstdCompressSync(Buffer.alloc(longByteCount)), longByteCount);

function request(packed: Uint8Array, unpackedByteCount: number): CpuRequest {
  return { kind: 'UnpackTransaction', packed, unpackedByteCount };
}

function poolOf(t: TestContext, options?: CpuPoolOptions): CpuPort {
  const pool = openCpuPool(options);
  t.after(() => pool.close());
  return pool;
}

/** The code of a failure, or `ok`. */
async function codeOf(outcome: ReturnType<CpuPort['call']>): Promise<string> {
  const settled = await outcome;
  return settled.ok ? 'ok' : settled.failure.code;
}

test('a transaction is unpacked as it was, and the caller keeps what it gave', async (t) => {
  const pool = poolOf(t);
  const packed = zstdCompressSync(plain);
  const before = Buffer.from(packed);
  const outcome = await pool.call(request(packed, plain.byteLength));
  assert.ok(outcome.ok);
  assert.deepEqual(Buffer.from(outcome.value.bytes), plain);
  assert.deepEqual(packed, before);
});

test('damaged data and a false size are failures of the data', async (t) => {
  const pool = poolOf(t);
  const packed = zstdCompressSync(plain);
  const damaged = Buffer.from(packed);
  damaged.fill(0, damaged.byteLength >> 1);
  const size = plain.byteLength;
  for (const wrong of [
    request(damaged, size),
    request(packed, size - 1),
    request(packed, size + 1),
  ])
    assert.equal(await codeOf(pool.call(wrong)), 'SOURCE_CORRUPT');
});

test('one request above the queue is refused, and the others are answered', async (t) => {
  const pool = poolOf(t, { threadCountMax: 1, queueCountMax: 2 });
  const calls = Array.from({ length: 4 }, () => codeOf(pool.call(long)));
  assert.deepEqual((await Promise.all(calls)).toSorted(), ['CPU_BUSY', 'ok', 'ok', 'ok']);
});

test('work that is cancelled ends, waiting or under way, and the pool goes on', async (t) => {
  const pool = poolOf(t, { threadCountMax: 1 });
  const cancel = new AbortController();
  const [underWay, waiting] = [pool.call(long, cancel.signal), pool.call(long, cancel.signal)];
  const other = pool.call(request(zstdCompressSync(plain), plain.byteLength));
  cancel.abort();
  assert.equal(await codeOf(underWay), 'INTERNAL_STOPPED');
  assert.equal(await codeOf(waiting), 'INTERNAL_STOPPED');
  assert.equal(await codeOf(other), 'ok');
});

test('closing the pool ends what it does at once, and it does nothing any more', async () => {
  const pool = openCpuPool({ threadCountMax: 1 });
  const calls = [codeOf(pool.call(long)), codeOf(pool.call(long))];
  await pool.close();
  assert.deepEqual(await Promise.all(calls), ['INTERNAL_STOPPED', 'INTERNAL_STOPPED']);
  assert.equal(await codeOf(pool.call(long)), 'INTERNAL_STOPPED');
  await pool.close();
});
