/** Whoever looks after the changefeed of a cluster: sees to it that it is there, and runs while it should. */
import type { ChangefeedView } from '#src/protocol/coordinator.ts';
import type { NodeCluster } from './node-cluster.ts';
import { feedId, type SimNode } from './sim-node.ts';

/** How often somebody looks. */
const everyMs = 500;

/** See the top of this file. */
export class Tending {
  /** False while somebody wants the feed to rest. */
  #isWanted = true;
  /** It has changed its mind for the last time. */
  #isDecided = false;
  readonly #cluster: NodeCluster;
  #wantedAtMs = 0;

  constructor(cluster: NodeCluster) {
    this.#cluster = cluster;
  }

  /** Looks now, and again and again. */
  start(): void {
    const { world } = this.#cluster;
    const node = this.#anyone();
    if (node === null) world.after(everyMs, () => this.start());
    else this.#look(node, () => world.after(everyMs, () => this.start()));
  }

  /** From here on the feed runs, or rests, for good. */
  decide(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.#isDecided = true;
  }

  /** The feed rests for a while. */
  pauseFor(forMs: number): void {
    const { world } = this.#cluster;
    this.#isWanted = false;
    this.#wantedAtMs = Math.max(this.#wantedAtMs, world.now + forMs);
    world.after(forMs, () => {
      if (world.now >= this.#wantedAtMs && !this.#isDecided) this.#isWanted = true;
    });
  }

  #anyone(): SimNode | null {
    const { nodes, world } = this.#cluster;
    const awake = nodes.filter(({ isPaused }) => !isPaused);
    return awake[world.dice('tending').pick(awake.length)] ?? null;
  }

  /** `done` is called once, also when the node asked dies. */
  #look({ process, id }: SimNode, done: () => void): void {
    const { world, config } = this.#cluster;
    let isDone = false;
    const end = (): void => {
      if (isDone) return;
      isDone = true;
      done();
    };
    world.after(20_000, end);
    process.ask({ kind: 'QueryChangefeed', id: feedId }, (outcome) => {
      if (outcome.ok && outcome.value.kind === 'Changefeed') this.#see(process, outcome.value.view);
      else if (!outcome.ok && outcome.failure.code === 'CHANGEFEED_UNKNOWN' && this.#isWanted)
        process.ask({
          kind: 'CreateChangefeed',
          config,
          createdMs: world.dice(`wall ${id}`).next(),
        });
      end();
    });
  }

  #see(process: SimNode['process'], { status: { state } }: ChangefeedView): void {
    if (this.#isWanted && (state === 'stopped' || state === 'failed'))
      process.ask({ kind: 'ResumeChangefeed', id: feedId });
    else if (!this.#isWanted && !['stopped', 'failed', 'finished'].includes(state))
      process.ask({ kind: 'PauseChangefeed', id: feedId });
  }
}
