/**
 * One process of Sluice in virtual time: the real plan, tree, shells and actors over simulated threads and ports. Links
 * between threads, control calls and tree reports each keep their own order and overtake each other, as they do for real.
 */
import { plan } from '#actors/plan.ts';
import { roles } from '#actors/roles.ts';
import { must } from '#src/base/assert.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { TreeRequest } from '#src/kernel/host.ts';
import type { Envelope } from '#src/kernel/message.ts';
import type { Shell } from '#src/kernel/shell.ts';
import { Tree, type TreeOver } from '#src/kernel/tree.ts';
import type { CoordinationRequest } from '#src/ports/coordination.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { CoordinatorMessage } from '#src/protocol/coordinator.ts';
import type { Downstream } from './downstream.ts';
import type { History } from './history.ts';
import type { SimCoordination } from './sim-coordination.ts';
import { SimSink } from './sim-sink.ts';
import { simStore } from './sim-store.ts';
import { simThread, type SimPort } from './sim-thread.ts';
import { simUpstream } from './sim-upstream.ts';
import type { World } from './world.ts';

/** What outlives the process. */
export interface Disk {
  readonly history: History;
  readonly downstream: Downstream;
  coordination: SimCoordination;
}

/** What of a process goes wrong, as probabilities of one port call. */
export interface Trouble {
  port: number;
}

const workThreads = ['work-1', 'work-2'];
const threadNames = ['main', 'ingest', ...workThreads];

/** A running process. */
export class Simulation {
  readonly world: World;
  readonly statuses: ChangefeedStatus[] = [];
  readonly faults: string[] = [];
  over: TreeOver | null = null;
  readonly trouble: Trouble = { port: 0 };
  readonly #disk: Disk;
  readonly #fences = new Int32Array(8);
  readonly #shells = new Map<string, Shell>();
  readonly #tree: Tree;
  readonly #config: ChangefeedConfig;

  constructor(world: World, disk: Disk, config: Partial<ChangefeedConfig> = {}) {
    this.world = world;
    this.#disk = disk;
    this.#config = {
      id: 'feed',
      startAt: { kind: 'oldest' },
      rules: ['*.*'],
      untilCaughtUp: true,
      memoryQuota: 8 << 20,
      workThreads,
      stuckAfterMs: 600_000,
      ...config,
    };
    for (const name of threadNames) this.#shells.set(name, this.#thread(name));
    this.#tree = this.#makeTree();
  }

  /** Boots the tree and starts the changefeed. */
  start(): void {
    this.#tree.boot(() => this.#tell({ kind: 'StartChangefeed', config: this.#config }));
  }

  /** Asks the changefeed to stop. */
  stop(): void {
    this.#tell({ kind: 'StopChangefeed', id: this.#config.id });
  }

  /** Asks the whole tree to stop. */
  shutdown(): void {
    this.#tree.shutdown();
  }

  /** Ends a random cell of a role as a fault would; false when none runs. */
  crash(role: string): boolean {
    const cells = [...this.#shells.values()]
      .flatMap((shell) => shell.overview().map((cell) => ({ shell, cell })))
      .filter(({ cell }) => cell.role === role);
    const victim = cells[this.world.pick(cells.length)];
    if (victim === undefined) return false;
    const { path, thread, incarnation } = victim.cell;
    victim.shell.kill(
      { path, thread, incarnation },
      { kind: 'fault', message: 'crash', stack: '' },
    );
    return true;
  }

  /** Runs until `done`, at most `virtualMs`; false when that was not enough. */
  run(done: () => boolean, virtualMs: number): boolean {
    const until = this.world.now + virtualMs;
    while (this.world.now < until) {
      if (done()) return true;
      if (!this.world.step()) return done();
    }
    return done();
  }

  /** The last status reported. */
  get status(): ChangefeedStatus | undefined {
    return this.statuses.at(-1);
  }

  /** Pictures of all cells, for the message of a failed run. */
  overview(): unknown {
    return [...this.#shells.values()].flatMap((shell) => shell.overview());
  }

  #makeTree(): Tree {
    const { world } = this;
    const controls = new Map(threadNames.map((name) => [name, world.channel(2)]));
    const on = (thread: string, run: (shell: Shell) => void): void => {
      const shell = must(this.#shells.get(thread), thread);
      if (thread === 'main') run(shell);
      else must(controls.get(thread), thread)(() => run(shell));
    };
    return new Tree(plan, {
      now: () => world.now,
      random: world.random,
      timer: (afterMs, due) => world.after(afterMs, due),
      begin: () => 1,
      workThreads,
      props: (path) => this.#propsOf(path),
      start: (start) => on(start.ref.thread, (shell) => shell.start(start)),
      stop: (ref) => on(ref.thread, (shell) => shell.stop(ref)),
      kill: (ref) => on(ref.thread, (shell) => shell.kill(ref)),
      signal: (to, signal) => on(to.thread, (shell) => shell.signal(to, signal)),
      log: (_level, event, detail) => {
        const reason = String(detail['reason'] ?? '');
        if (reason.startsWith('fault') && !reason.endsWith('crash')) this.faults.push(reason);
        if (event === 'cell-killed') this.faults.push(`killed ${String(detail['path'])}`);
      },
      over: (over) => {
        this.over = over;
      },
    });
  }

  #thread(name: string): Shell {
    const { world } = this;
    const links = new Map(threadNames.map((peer) => [peer, world.channel(3)]));
    const reports = world.channel(2);
    return simThread({
      world,
      name,
      fences: this.#fences,
      roles,
      ports: this.#portsOf(),
      post: (envelope: Envelope) => {
        const shell = must(this.#shells.get(envelope.to.thread), envelope.to.thread);
        const moved = envelope.message.moved?.map((part) => part.slice());
        const arrived: Envelope =
          moved === undefined ? envelope : { ...envelope, message: { ...envelope.message, moved } };
        must(links.get(envelope.to.thread), 'link')(() => shell.deliver(arrived));
      },
      tree: (request: TreeRequest) => {
        if (name === 'main') this.#tree.request(request);
        else reports(() => this.#tree.request(request));
      },
      log: () => {},
    });
  }

  #portsOf(): Record<string, SimPort> {
    const { world } = this;
    const failChance = (): number => this.trouble.port;
    return {
      upstream: simUpstream(world, this.#disk.history, failChance),
      sink: new SimSink(world, this.#disk.downstream, failChance).call,
      'event-store': simStore(world, failChance),
      coordination: (request, answered) => {
        const isLost = world.chance(failChance());
        const sentAtMs = world.now;
        world.after(world.random() * 5, () => {
          const call = request as CoordinationRequest;
          this.#disk.coordination.perform(call, sentAtMs, (outcome) =>
            answered(
              isLost ? failed(failure('COORDINATION_FAILED', '', { retry: 'Again' })) : outcome,
            ),
          );
        });
      },
      report: (request, answered) => {
        this.#reported((request as unknown as { readonly status: ChangefeedStatus }).status);
        world.after(0, () => answered(ok({ kind: 'Reported' })));
      },
    };
  }

  #reported(status: ChangefeedStatus): void {
    this.#disk.downstream.assertApplied(status.checkpoint?.ts ?? 0, 'a reported checkpoint');
    this.statuses.push(status);
  }

  #propsOf(path: string): unknown {
    const logPuller = this.#tree.refOf('capture/source/log-puller');
    const eventService = this.#tree.refOf('capture/source/event-service');
    switch (path) {
      case 'capture/source/log-puller':
        return { eventService };
      case 'capture/source/event-service':
        return { logPuller, storeBytesMax: 1 << 20 };
      default:
        return { clusterId: 'c', logPuller, eventService, workThreads };
    }
  }

  #tell(message: CoordinatorMessage): void {
    const to = this.#tree.refOf('capture/control/coordinator');
    const from = { path: 'outside', thread: 'main', incarnation: 1 };
    must(this.#shells.get('main'), 'main').deliver({ to, from, epoch: 0, seq: 0, message });
  }
}
