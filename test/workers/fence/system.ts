/** A running actor system of the fence world, and what its cells have done. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bareSettings } from '#test/fixtures/bare-settings.ts';
import { ActorSystem } from '#workers/actor-system.ts';
import type { ActorSystemOptions } from '#workers/system-options.ts';
import type { FenceProof } from '#workers/fence-proof.ts';
import { makeNotes, note, plan, world, worldUrl, type CellProps } from './world.ts';

type StageOptions = Partial<Pick<ActorSystemOptions, 'isLeased' | 'workThreadCount'>>;

/** See the top of this file. */
export class FenceStage {
  readonly notes = makeNotes();
  readonly proofs: FenceProof[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), 'sluice-fence-'));
  #system: ActorSystem | null = null;

  /** For a test: stopped at its end, also when it fails, because living threads would keep the process. */
  static async of(t: TestContext, more: StageOptions = {}): Promise<FenceStage> {
    const stage = await FenceStage.start(more);
    t.after(() => stage.stop());
    return stage;
  }

  /** Starts it, with two work threads. */
  static async start(more: StageOptions = {}): Promise<FenceStage> {
    const stage = new FenceStage();
    stage.#system = await ActorSystem.start({
      plan,
      world,
      worldUrl,
      workThreadCount: 2,
      settings: bareSettings(stage.#directory, 'test'),
      props: () => null,
      mainPorts: {},
      onOver: () => {},
      onFence: (proof) => stage.proofs.push(proof),
      ...more,
    });
    return stage;
  }

  get system(): ActorSystem {
    if (this.#system === null) throw new Error('not started');
    return this.#system;
  }

  /** Starts cells; those of a thread run one beside the other. */
  spawn(
    ...jobs: readonly (readonly [does: CellProps['does'], thread: string, count?: number])[]
  ): void {
    const list = jobs.flatMap(([does, thread, count = 1]) =>
      Array.from({ length: count }, () => ({ does, thread, notes: this.notes.memory })),
    );
    this.system.tell('house/spawner', { kind: 'Spawn', jobs: list } as { readonly kind: string });
  }

  note(name: keyof typeof note): number {
    return Atomics.load(this.notes.words, note[name]);
  }

  /** Waits until the condition holds; the runner's time limit bounds it. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await sleep(1);
  }

  /** Waits until `count` cells have started and work. */
  async working(count: number): Promise<void> {
    await this.until(() => this.note('started') >= count);
    const { submits, deliveries } = this.counts();
    await this.until(() => this.note('submits') > submits && this.note('deliveries') > deliveries);
  }

  counts(): { readonly deliveries: number; readonly submits: number } {
    return { deliveries: this.note('deliveries'), submits: this.note('submits') };
  }

  async stop(): Promise<void> {
    await this.#system?.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
