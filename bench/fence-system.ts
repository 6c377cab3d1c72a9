/** An actor system for the benches of fences and spawns. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { bareSettings } from '#test/fixtures/bare-settings.ts';
import { ActorSystem } from '#workers/actor-system.ts';
import { plan, word, world, worldUrl, type SpawnCells } from './fence-world.ts';

/** A running system of two work threads, with the notes of its cells. */
export class BenchSystem {
  readonly notes = new SharedArrayBuffer(256);
  readonly words = new BigInt64Array(this.notes);
  readonly #directory = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
  #system: ActorSystem | null = null;

  /** Starts it. */
  static async start(): Promise<BenchSystem> {
    const bench = new BenchSystem();
    bench.#system = await ActorSystem.start({
      plan,
      world,
      worldUrl,
      workThreadCount: 2,
      settings: bareSettings(bench.#directory, 'bench'),
      props: () => null,
      mainPorts: {},
      onOver: (over) => {
        throw new Error(`the tree gave up: ${JSON.stringify(over)}`);
      },
    });
    return bench;
  }

  /** The system. */
  get system(): ActorSystem {
    if (this.#system === null) throw new Error('not started');
    return this.#system;
  }

  /** Starts cells and waits until each has been announced to who asked for it; answers the milliseconds it took. */
  async spawn(what: Omit<SpawnCells, 'kind' | 'notes'>): Promise<number> {
    const count = BigInt(what.count + (what.spinner ? 1 : 0));
    Atomics.store(this.words, word.told, 0n);
    const startedMs = performance.now();
    const message: SpawnCells = { kind: 'Spawn', notes: this.notes, ...what };
    this.system.tell('bench/spawner', message);
    // A timer would round up to a millisecond.
    while (Atomics.load(this.words, word.told) < count) await turn();
    return performance.now() - startedMs;
  }

  /** The later of both threads' times in words `at` and `at + 1`, in milliseconds after `sinceNs`; 0 when before. */
  after(at: number, sinceNs: bigint): number {
    const [a, b] = [Atomics.load(this.words, at), Atomics.load(this.words, at + 1)];
    return Math.max(0, Number((a > b ? a : b) - sinceNs) / 1e6);
  }

  /** Ends it. */
  async stop(): Promise<void> {
    await this.system.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
