/**
 * A cluster in virtual time: machines on which nodes live one after another, each the real plan with its claim; one
 * coordination store, one network, one upstream, one downstream. A node that loses its claim is followed by another
 * with a fresh capture id.
 */
import { must } from '#src/base/assert.ts';
import { ok } from '#src/base/failure.ts';
import type { GateLife } from '#src/kernel/host.ts';
import { captureKey } from '#src/model/coordination-key.ts';
import type { CoordinationRequest } from '#src/ports/coordination.ts';
import type { PeersRequest } from '#src/ports/peers.ts';
import type { WriteDeadlineRequest } from '#src/ports/write-deadline.ts';
import type { ChangefeedConfig, ChangefeedStatus } from '#src/protocol/changefeed.ts';
import { hashOf } from '../dice.ts';
import { Outside } from '../outside.ts';
import type { SimCase } from '../sim-case.ts';
import { simCoordinationPort } from '../sim-coordination-port.ts';
import { SimCoordination, type SimClock } from '../sim-coordination.ts';
import { assertApplied } from '../sim-downstream.ts';
import type { LivingPort } from '../sim-port.ts';
import { SimProcess } from '../sim-process.ts';
import { simStore } from '../sim-store.ts';
import { NodeChecks } from './node-checks.ts';
import type { NodesOptions } from './node-options.ts';
import { SimNetwork } from './sim-network.ts';
import { clusterId, feedId, type Machine, type SimNode } from './sim-node.ts';
import { WriteRight } from './write-right.ts';

/** See the top of this file. */
export class NodeCluster extends Outside {
  readonly machines: readonly Machine[];
  readonly network: SimNetwork;
  coordination: SimCoordination;
  readonly checks: NodeChecks;
  readonly config: ChangefeedConfig;
  /** What somebody's coordinator said last. */
  status: ChangefeedStatus | null = null;
  /** Nodes that end are not followed any more. */
  isEnding = false;
  readonly #case: SimCase;
  readonly #options: NodesOptions;
  #sinkCount = 0;

  constructor(simCase: SimCase, nodes: NodesOptions) {
    super(simCase);
    this.#case = simCase;
    this.#options = nodes;
    const { world } = this;
    const {
      clockRate,
      linkDelayMs,
      memoryQuota,
      untilCaughtUp,
      untilGtid = null,
    } = simCase.options;
    // Times of the store are scaled as those of the nodes are; its clock makes no error.
    this.coordination = new SimCoordination(this.#clock(clockRate));
    this.network = new SimNetwork(world, linkDelayMs * 2);
    this.checks = new NodeChecks(this);
    this.machines = Array.from({ length: nodes.count }, (_, i): Machine => ({
      name: `n${i + 1}`,
      node: null,
      lives: 0,
      cutToStoreMs: 0,
      cutFromStoreMs: 0,
      heldMs: 0,
    }));
    this.config = {
      id: feedId,
      endpoints: null,
      startAt: { kind: 'oldest' },
      rules: ['*.*'],
      untilCaughtUp,
      untilGtid,
      memoryQuota,
      stuckAfterMs: 3_600_000,
    };
  }

  /** Nodes that live, paused ones too. */
  get nodes(): readonly SimNode[] {
    return this.machines.flatMap(({ node }) => (node === null ? [] : [node]));
  }

  /** The node that leads, by its own belief: the first of several. */
  get leader(): SimNode | null {
    return this.#having('coordinator');
  }

  /** The node whose maintainer is the newest. */
  get maintainer(): SimNode | null {
    return this.#having('maintainer');
  }

  /** Starts the next life on a machine. */
  boot(machine: Machine): void {
    const { world } = this;
    machine.lives++;
    // In no order that says anything about machines or age.
    const id = `${hashOf(world.seed, machine.name, machine.lives).toString(36)}-${machine.name}.${machine.lives}`;
    const { options } = this.#case;
    const error = 1 + (world.dice(`clock ${id}`).next() * 2 - 1) * options.clockError;
    const clock = this.#clock(options.clockRate * error);
    const right = new WriteRight(clock, () => this.#fenced(node));
    const process: SimProcess = new SimProcess({
      world,
      name: id,
      clockRate: options.clockRate * error,
      linkDelayMs: options.linkDelayMs,
      config: this.config,
      openPort: (_, thread, port, life) => this.#openPort(node, thread, port, life),
      onStatus: (status) => this.#reported(status),
      onOver: () => this.kill(node, 50),
      node: {
        ttlMs: this.#options.ttlMs,
        isPrompt: this.#options.isPrompt,
        mayWrite: () => right.mayWrite,
        abroad: (envelope) => this.network.send(end, envelope),
        watch: this.checks.watch,
      },
    });
    const end = {
      id,
      machine: machine.name,
      isDead: () => process.isDead,
      arrive: (envelope: Parameters<SimProcess['arrive']>[0]) => process.arrive(envelope),
    };
    const node: SimNode = { id, machine, process, right, clock, isPaused: false };
    machine.node = node;
    this.network.join(end);
    process.boot(() => {});
  }

  /** Ends a node; the next life on its machine starts after `downMs`. */
  kill(node: SimNode, downMs: number): void {
    if (node.process.isDead) return;
    node.process.kill();
    this.network.leave(node.id);
    this.checks.gone(node.id);
    const { machine } = node;
    machine.node = null;
    if (this.isEnding) return;
    this.world.after(downMs, () => {
      if (machine.node === null && !this.isEnding) this.boot(machine);
    });
  }

  /** Nothing of a node runs for a while. */
  pause(node: SimNode, forMs: number): void {
    node.process.pause();
    node.right.pause();
    node.isPaused = true;
    this.world.after(forMs, () => this.#resume(node));
  }

  /** Ends the session of a node behind its back. */
  revoke(node: SimNode): void {
    const { lease } = this.coordination.store.get(captureKey(clusterId, node.id));
    if (lease === '') return;
    this.checks.excuses(node.id);
    this.world.mark('session revoked');
    this.coordination.revoke(lease);
  }

  /** The store starts empty: it knows no session and no epoch any more. */
  loseStore(): void {
    this.world.mark('store lost');
    this.coordination.dropWatches();
    const { sessionCount } = this.coordination;
    const clock = this.#clock(this.#case.options.clockRate);
    this.coordination = new SimCoordination(clock, sessionCount);
    this.checks.forgets(this.nodes.map(({ id }) => id));
  }

  /** Good weather, nothing is cut, everybody awake. */
  calm(): void {
    this.clear();
    this.coordination.gainLeader();
    this.network.heal();
    for (const machine of this.machines) {
      machine.cutToStoreMs = 0;
      machine.cutFromStoreMs = 0;
      if (machine.node === null) this.boot(machine);
      else this.#resume(machine.node);
    }
  }

  /** The store's record of the changefeed; null when there is none. */
  stored(key: string): string | null {
    return this.coordination.store.get(key).value;
  }

  #resume(node: SimNode): void {
    if (!node.isPaused || node.process.isDead) return;
    node.isPaused = false;
    node.process.wake();
    node.right.resume();
  }

  #clock(rate: number): SimClock {
    const { world } = this;
    return {
      get now() {
        return world.now * rate;
      },
      after: (ms, run) => world.after(ms / rate, run),
    };
  }

  #having(role: string): SimNode | null {
    const found = this.nodes.filter(({ process }) =>
      process.overview().some((cell) => cell.role === role),
    );
    return found.at(-1) ?? null;
  }

  /** Its claim is gone: everything of it is fenced, then it comes back as another node. */
  #fenced(node: SimNode): void {
    if (node.process.isDead) return;
    this.world.mark('node fenced');
    node.process.fence('capture', () => this.kill(node, 50));
  }

  #openPort(node: SimNode, thread: string, name: string, life: GateLife): LivingPort {
    const { world } = this;
    const { process, machine } = node;
    switch (name.replace(/:.*$/, '')) {
      case 'feeds':
        return acting(this, () => {});
      case 'write-deadline':
        return acting(this, (request) => node.right.take(request as WriteDeadlineRequest));
      case 'peers':
        return acting(this, (request) => {
          if (!process.isDead) this.network.setMembers(node.id, (request as PeersRequest).members);
        });
      case 'upstream':
        return this.upstream.port();
      case 'event-store':
        return simStore(world, this.weather['event-store']);
      case 'coordination':
        return this.#coordination(node);
      case 'sink': {
        const mayWrite = (): boolean => {
          const may = process.mayWrite(life);
          if (may) this.checks.submits(node);
          return may;
        };
        const place = must(process.threads.get(thread), thread);
        return this.downstream.open({
          name: `${process.name} ${thread} ${++this.#sinkCount}`,
          mayWrite,
          isShut: () => process.isShut(life),
          enter: (run) => place.enter(run),
          heldMs: () => Math.max(0, machine.heldMs - world.now),
        });
      }
      default:
        throw new Error(`no port ${name}`);
    }
  }

  #coordination({ machine, clock, id }: SimNode): LivingPort {
    const { world } = this;
    const weather = this.weather.coordination;
    const isCut = { there: () => machine.cutToStoreMs, back: () => machine.cutFromStoreMs };
    const isLost = (way: 'there' | 'back'): boolean => {
      if (world.now < isCut[way]()) return true;
      const drawn = weather.draw();
      return drawn !== 'fine' && (way === 'there') === (drawn === 'before');
    };
    const delayMs = (): number => weather.delay(5);
    const store = this.checks.checkedStore(id);
    const call = simCoordinationPort(clock, store, { isLost, delayMs });
    return {
      call: (request, answered) => {
        this.checks.asks(request as CoordinationRequest);
        call(request, answered);
      },
      close: () => {},
    };
  }

  #reported(status: ChangefeedStatus): void {
    this.status = status;
    const { state, failure } = status;
    assertApplied(
      this.history,
      this.downstream.versions,
      status.checkpoint?.ts ?? 0,
      'a reported checkpoint',
    );
    if (state !== 'failed') return;
    if (failure === null || !this.expected.has(failure.code))
      this.world.violate(`the feed failed: ${failure?.code} ${failure?.message}`);
    else this.world.mark(`failed ${failure.code}`);
  }
}

/** A port that does something at once and answers a little later. */
function acting({ world }: Outside, act: (request: { readonly kind: string }) => void): LivingPort {
  return {
    call: (request, answered) => {
      act(request);
      world.after(1, () => answered(ok(null)));
    },
    close: () => {},
  };
}
