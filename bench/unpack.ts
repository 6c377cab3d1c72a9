/**
 * What a compressed transaction costs the thread that reads the log, in its own processor time: unpacked there, or on a thread
 * of the pool. Says from which size on the pool is worth it.
 */
import { zstdCompressSync } from 'node:zlib';
import { unpackZstd } from '#src/adapters/binlog/stream/transaction-payload.ts';
import { openCpuPool } from '#src/adapters/cpu-pool/cpu-pool.ts';
import { printLine, round2 } from './figures.ts';

/** One size. Microseconds of processor time for one transaction, mean. */
export interface UnpackCase {
  readonly bytes: number;
  readonly packedBytes: number;
  /** Of the reading thread, unpacking itself. */
  readonly here: number;
  /** Of the reading thread, with the pool. */
  readonly withPool: number;
  /** Of all threads, with the pool. */
  readonly withPoolAll: number;
  /** here / withPool. */
  readonly ratio: number;
}

const rowCounts = [500, 2_000, 10_000, 100_000, 400_000];
const bytesPerCase = 100e6;

/** Runs the bench; prints a table unless `json`. */
export async function unpack(options: { readonly json: boolean }): Promise<object> {
  const pool = openCpuPool();
  const cases: UnpackCase[] = [];
  for (const rowCount of rowCounts) {
    const plain = Buffer.from(Array.from({ length: rowCount }, (_, i) => row(i)).join(''));
    const packed = zstdCompressSync(plain);
    const unpackedByteCount = plain.byteLength;
    const repeats = Math.max(5, Math.ceil(bytesPerCase / unpackedByteCount));
    const here = await measure(repeats, () => unpackZstd(packed, unpackedByteCount));
    const there = await measure(repeats, () =>
      pool.call({ kind: 'UnpackTransaction', packed, unpackedByteCount }),
    );
    cases.push({
      bytes: unpackedByteCount,
      packedBytes: packed.byteLength,
      here: here.own,
      withPool: there.own,
      withPoolAll: there.all,
      ratio: round2(here.own / there.own),
    });
  }
  await pool.close();
  if (!options.json) {
    printLine(['bytes', 'packed', 'here µs', 'with pool µs', 'all threads µs', 'ratio']);
    for (const { bytes, packedBytes, here, withPool, withPoolAll, ratio } of cases)
      printLine([`${bytes}`, packedBytes, here, withPool, withPoolAll, ratio]);
  }
  return { name: 'unpack', unit: 'µs of processor time', cases };
}

function row(i: number): string {
  const number = (k: number): string => `${(i * 31 + k * 917 * i) % 99_999_999_999}`;
  return `${i}-${Array.from({ length: 11 }, (_, k) => number(k).padStart(11, '0')).join('-')}`;
}

async function measure(
  repeats: number,
  work: () => unknown,
): Promise<{ readonly own: number; readonly all: number }> {
  // The first calls start threads and warm the code.
  for (let i = 0; i < 5; i++) await work();
  const [own, all] = [process.threadCpuUsage(), process.cpuUsage()];
  for (let i = 0; i < repeats; i++) await work();
  const spent = (usage: NodeJS.CpuUsage): number =>
    Math.round((usage.user + usage.system) / repeats);
  return { own: spent(process.threadCpuUsage(own)), all: spent(process.cpuUsage(all)) };
}
