/** What a run consists of: the servers outside, and the process that replicates, life after life. */
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { GateLife } from '#src/kernel/host.ts';
import type { CoordinationAnswer, CoordinationRequest } from '#src/ports/coordination.ts';
import type { ChangefeedStatus } from '#src/protocol/changefeed.ts';
import { Outside } from './outside.ts';
import type { SimCase } from './sim-case.ts';
import { assertApplied } from './sim-downstream.ts';
import { SimCoordination } from './sim-coordination.ts';
import type { LivingPort } from './sim-port.ts';
import { SimProcess } from './sim-process.ts';
import { simStore } from './sim-store.ts';
import type { World } from './world.ts';

/** See the top of this file. */
export class Cluster extends Outside {
  coordination: SimCoordination;
  /** The process that should replicate; null between two lives. */
  current: SimProcess | null = null;
  /** Processes that were replaced while they slept. */
  readonly zombies = new Set<SimProcess>();
  /** False while somebody has asked the feed to stop. */
  isWanted = true;
  /** Some process was replaced while it slept. */
  hadTakeover = false;
  /** The last process has shut down and shall not be followed. */
  isEnding = false;
  readonly #case: SimCase;
  /** The newest value of each epoch. */
  readonly #epochs = new Map<string, number>();
  #lives = 0;
  #sinkCount = 0;

  constructor(simCase: SimCase) {
    super(simCase);
    this.#case = simCase;
    this.coordination = new SimCoordination(this.world);
  }

  /** Stands for whoever runs the process: a feed that should run and does not is started again. */
  tend(): void {
    const { current } = this;
    if (this.isWanted && current !== null && !current.isDead) {
      const { status } = current;
      const isFenced = status?.state === 'failed' && status.failure?.code === 'SINK_FENCED';
      const isOver = status?.state === 'stopped' || isFenced || !current.hasFeed();
      if (isOver) current.startChangefeed();
    }
    this.world.after(500, () => this.tend());
  }

  /** Starts the next life of the process. */
  boot(): void {
    const { options } = this.#case;
    const name = `p${++this.#lives}`;
    const { clockRate, clockError } = options;
    const error = 1 + (this.world.dice(`clock ${name}`).next() * 2 - 1) * clockError;
    const process: SimProcess = new SimProcess({
      world: this.world,
      name,
      clockRate: clockRate * error,
      linkDelayMs: options.linkDelayMs,
      config: {
        id: 'feed',
        endpoints: null,
        startAt: { kind: 'oldest' },
        rules: ['*.*'],
        untilCaughtUp: options.untilCaughtUp,
        memoryQuota: options.memoryQuota,
        stuckAfterMs: 3_600_000,
      },
      openPort: (self, thread, port, life) => this.#openPort(self, thread, port, life),
      onStatus: (status) => this.#reported(status),
      onOver: (over) => {
        if (over.kind === 'gave-up') this.world.mark('process gave up');
        this.kill(process);
        if (this.isEnding) return;
        if (this.current === process) this.bootAfter(50);
      },
    });
    this.current = process;
    // The store of a process alone is its own: whoever had it before has no session any more.
    for (const lease of this.coordination.leases) this.coordination.revoke(lease);
    process.start();
  }

  /** Starts the next life a little later. */
  bootAfter(afterMs: number): void {
    this.current = null;
    this.world.after(afterMs, () => {
      if (this.current === null) this.boot();
    });
  }

  /** Ends a process. */
  kill(process: SimProcess): void {
    process.kill();
    this.zombies.delete(process);
  }

  /** Good weather, everybody awake, one process. */
  calm(): void {
    this.clear();
    this.isWanted = true;
    for (const zombie of this.zombies) this.kill(zombie);
    this.current?.wake();
    if (this.current === null) this.boot();
  }

  /** The coordination store starts empty, as after the loss of its data: it knows no epoch any more. */
  loseCoordination(): void {
    this.coordination = new SimCoordination(this.world);
    this.#epochs.clear();
    // Its sessions are gone with it, which a node learns at its next renewal at the latest.
    if (this.current !== null) this.#sessionLost(this.current);
  }

  #openPort(process: SimProcess, thread: string, name: string, life: GateLife): LivingPort {
    switch (name.replace(/:.*$/, '')) {
      case 'feeds':
        return answering(this.world, () => {});
      case 'write-deadline':
        return answering(this.world, (request) => {
          if (request.kind === 'Fence') this.#sessionLost(process);
        });
      case 'upstream':
        return this.upstream.port();
      case 'sink': {
        const mayWrite = (): boolean => process.mayWrite(life);
        const isShut = (): boolean => process.isShut(life);
        const place = process.threads.get(thread);
        const enter = (run: () => void): void => place?.enter(run);
        const id = `${process.name} ${thread} ${++this.#sinkCount}`;
        return this.downstream.open({ name: id, mayWrite, isShut, enter });
      }
      case 'event-store':
        return simStore(this.world, this.weather['event-store']);
      case 'coordination':
        return this.#coordination();
      default:
        throw new Error(`no port ${name}`);
    }
  }

  /** A node whose claim is gone ends, and comes back as another. One that was replaced lives on, to try what it may. */
  #sessionLost(process: SimProcess): void {
    if (this.current !== process || process.isDead) return;
    this.world.mark('session lost');
    this.kill(process);
    if (!this.isEnding) this.bootAfter(50);
  }

  #coordination(): LivingPort {
    const { world } = this;
    const weather = this.weather.coordination;
    const lost = failed(failure('COORDINATION_FAILED', '', { retry: 'Again' }));
    return {
      call: (request, answered) => {
        const drawn = weather.draw();
        const sentAtMs = world.now;
        world.after(weather.delay(5), () => {
          if (drawn === 'before') return answered(lost);
          this.coordination.perform(request as CoordinationRequest, sentAtMs, (outcome) => {
            this.#checkEpochs(request as CoordinationRequest, outcome);
            world.after(weather.delay(5), () => answered(drawn === 'fine' ? outcome : lost));
          });
        });
      },
      close: () => {},
    };
  }

  #reported(status: ChangefeedStatus): void {
    const { state, failure: why } = status;
    const { versions } = this.downstream;
    assertApplied(this.history, versions, status.checkpoint?.ts ?? 0, 'a reported checkpoint');
    if (state !== 'failed') return;
    // Two processes were there at once: one of them is fenced by the other, which is what fences are for.
    if (why?.code === 'SINK_FENCED' && this.hadTakeover) return this.world.mark('feed fenced');
    if (why === null || !this.expected.has(why.code))
      this.world.violate(`the feed failed: ${why?.code} ${why?.message}`);
    else this.world.mark(`failed ${why.code}`);
  }

  /** An epoch that was given is never given again, nor a lower one (I-6, spec/02 F1). */
  #checkEpochs(request: CoordinationRequest, outcome: Outcome<CoordinationAnswer>): void {
    if (request.kind !== 'Transact' || !outcome.ok || outcome.value.kind !== 'Transacted') return;
    if (!outcome.value.succeeded) return this.world.mark('compare-and-swap lost');
    for (const { key, value } of request.puts ?? []) {
      if (!key.endsWith('/info')) continue;
      const { epoch } = JSON.parse(value) as { readonly epoch: number };
      if (epoch < (this.#epochs.get(key) ?? 0)) this.world.violate(`${key} fell to ${epoch}`);
      this.#epochs.set(key, epoch);
    }
  }
}

/** A port that does something at once and answers a little later. */
function answering(world: World, act: (request: { readonly kind: string }) => void): LivingPort {
  return {
    call: (request, answered) => {
      act(request);
      world.after(1, () => answered(ok(null)));
    },
    close: () => {},
  };
}
