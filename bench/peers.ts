/**
 * Links between two captures in two processes of this machine, beside a plain TCP socket in the same run: how much passes in
 * frames of two sizes, and how long a small control frame takes there and back, alone and while data floods the other link.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { openGrpcPeers } from '#src/adapters/grpc-peers/grpc-peers.ts';
import type { Peers } from '#src/ports/peers.ts';
import { percentile, printLine, round2 } from './figures.ts';
import type { FarReady } from './peers-far.ts';

const sizes = [
  { name: '64 KiB', byteCount: 65_536, count: 4_000 },
  { name: '1 KiB', byteCount: 1_024, count: 100_000 },
] as const;
const roundTripCount = 3_000;

/** Frames per second and bytes that go with them. */
interface Throughput {
  readonly framesPerSecond: number;
  readonly megabytesPerSecond: number;
}

/** Microseconds. */
interface RoundTrip {
  readonly p50: number;
  readonly p99: number;
}

/** Runs the bench; about 20 seconds. */
export async function peers(options: { json: boolean }): Promise<object> {
  const bench = await PeersBench.start();
  try {
    const throughput = [];
    for (const { name, byteCount, count } of sizes) {
      const links = await bench.flood(byteCount, count);
      const socket = await bench.plainFlood(byteCount, count);
      const ratio = round2(links.megabytesPerSecond / socket.megabytesPerSecond);
      throughput.push({ frames: name, links, socket, ratio });
    }
    const idle = await bench.roundTrips();
    const socket = await bench.plainRoundTrips();
    const flooded = await bench.floodedRoundTrips();
    const ratio = round2(idle.p50 / socket.p50);
    const roundTrip = { unit: 'µs', links: idle, linksUnderFlood: flooded, socket, ratio };
    if (!options.json) print(throughput, roundTrip);
    return { name: 'peers', throughput, roundTrip };
  } finally {
    await bench.stop();
  }
}

class PeersBench {
  readonly #far: ChildProcess;
  readonly #peers: Peers;
  readonly #plain: Socket;
  #answered: (bytes: Uint8Array) => void = () => undefined;

  private constructor(far: ChildProcess, peers: Peers, plain: Socket) {
    this.#far = far;
    this.#peers = peers;
    this.#plain = plain;
  }

  static async start(): Promise<PeersBench> {
    const far = fork(fileURLToPath(new URL('./peers-far.ts', import.meta.url)));
    const ready = await new Promise<FarReady>((resolve) => {
      far.once('message', (message) => resolve(message as FarReady));
    });
    const heard: { bench: PeersBench | null } = { bench: null };
    const near = await openGrpcPeers(
      { clusterId: 'bench', captureId: 'near', listen: '127.0.0.1:0', tls: null },
      {
        frame: (_, __, bytes) => {
          if (heard.bench !== null) heard.bench.#answered(bytes);
        },
      },
    );
    far.send(near.address);
    near.setMembers([{ captureId: 'far', address: ready.peers }]);
    const plain = connect({ port: ready.plainPort, host: '127.0.0.1', noDelay: true });
    await new Promise((resolve) => plain.once('connect', resolve));
    heard.bench = new PeersBench(far, near, plain);
    // The way back may stand a moment later than the way there.
    while ((await heard.bench.#call(Buffer.from('x'), 100)) === null);
    return heard.bench;
  }

  async stop(): Promise<void> {
    this.#plain.destroy();
    await this.#peers.close();
    this.#far.kill();
  }

  /** Sends `count` data frames as fast as they are taken, until the other side has them all. */
  async flood(byteCount: number, count: number): Promise<Throughput> {
    const frame = Buffer.alloc(byteCount);
    const before = await this.#receivedCount();
    const startedMs = performance.now();
    for (let i = 0; i < count; i++) {
      while (this.#peers.send('far', 'data', frame).kind !== 'queued') await turn();
    }
    while ((await this.#receivedCount()) < before + count);
    return throughputOf(byteCount, count, performance.now() - startedMs);
  }

  async plainFlood(byteCount: number, count: number): Promise<Throughput> {
    const frame = Buffer.alloc(byteCount);
    const startedMs = performance.now();
    for (let i = 0; i < count; i++) {
      if (!this.#plain.write(frame)) await new Promise((r) => this.#plain.once('drain', r));
    }
    await this.#plainEcho();
    return throughputOf(byteCount, count, performance.now() - startedMs);
  }

  roundTrips(): Promise<RoundTrip> {
    return roundTripsOf(async () => {
      await this.#call(Buffer.alloc(100), 10_000);
    });
  }

  plainRoundTrips(): Promise<RoundTrip> {
    return roundTripsOf(() => this.#plainEcho());
  }

  /** The same while the data link is kept full. */
  async floodedRoundTrips(): Promise<RoundTrip> {
    const frame = Buffer.alloc(65_536);
    const flood = { isOver: false };
    const flooding = (async () => {
      while (!flood.isOver) {
        while (this.#peers.send('far', 'data', frame).kind === 'queued');
        await turn();
      }
    })();
    const result = await this.roundTrips();
    flood.isOver = true;
    await flooding;
    return result;
  }

  async #receivedCount(): Promise<number> {
    return Number(Buffer.from((await this.#call(Buffer.alloc(0), 10_000)) ?? []).toString());
  }

  /** Sends a control frame and waits for the answer; null when none comes in time. */
  #call(frame: Uint8Array, withinMs: number): Promise<Uint8Array | null> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(null), withinMs);
      this.#answered = (bytes) => {
        clearTimeout(timer);
        resolve(bytes);
      };
      this.#peers.send('far', 'control', frame);
    });
  }

  #plainEcho(): Promise<void> {
    return new Promise((resolve) => {
      this.#plain.once('data', () => resolve());
      this.#plain.write('E');
    });
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function roundTripsOf(once: () => Promise<void>): Promise<RoundTrip> {
  const times: number[] = [];
  for (let i = 0; i < roundTripCount; i++) {
    const startedMs = performance.now();
    await once();
    times.push((performance.now() - startedMs) * 1_000);
  }
  times.sort((a, b) => a - b);
  return { p50: round2(percentile(times, 0.5)), p99: round2(percentile(times, 0.99)) };
}

function throughputOf(byteCount: number, count: number, elapsedMs: number): Throughput {
  const perSecond = (count * 1_000) / elapsedMs;
  return {
    framesPerSecond: Math.round(perSecond),
    megabytesPerSecond: Math.round((perSecond * byteCount) / 1e6),
  };
}

function print(
  throughput: readonly {
    readonly frames: string;
    readonly links: Throughput;
    readonly socket: Throughput;
    readonly ratio: number;
  }[],
  trip: {
    readonly links: RoundTrip;
    readonly linksUnderFlood: RoundTrip;
    readonly socket: RoundTrip;
  },
): void {
  printLine(['frames', 'links/s', 'links MB/s', 'socket MB/s', 'ratio']);
  for (const { frames, links, socket, ratio } of throughput) {
    printLine([
      frames,
      links.framesPerSecond,
      links.megabytesPerSecond,
      socket.megabytesPerSecond,
      ratio,
    ]);
  }
  printLine(['there and back', 'p50 µs', 'p99 µs']);
  printLine(['links', trip.links.p50, trip.links.p99]);
  printLine(['under a flood', trip.linksUnderFlood.p50, trip.linksUnderFlood.p99]);
  printLine(['socket', trip.socket.p50, trip.socket.p99]);
}
