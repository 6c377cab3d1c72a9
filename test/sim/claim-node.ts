/** A node that consists of its claim, in virtual time: it may pause, be cut off, crash, leave. */
import { roles } from '#actors/roles.ts';
import type { Outcome } from '#src/base/failure.ts';
import type { Host } from '#src/kernel/host.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Shell } from '#src/kernel/shell.ts';
import type { WriteDeadlineRequest } from '#src/ports/write-deadline.ts';
import { ok } from '#src/base/failure.ts';
import type { SimCoordination } from './sim-coordination.ts';
import { simCoordinationPort } from './sim-coordination-port.ts';
import type { SimPort } from './sim-port.ts';
import type { World } from './world.ts';

const life = { gate: 0, generation: 1 };

/** See the top of this file. */
export class ClaimNode {
  readonly captureId: string;
  readonly faults: string[] = [];
  /** Until when it may write; null before the first word of its session. */
  deadlineMs: number | null = null;
  isFenced = false;
  isLeaving = false;
  isGone = false;
  /** Its lease was ended behind its back: its deadline proves nothing. */
  isRevoked = false;
  /** Messages get lost and late. */
  isFoul = true;
  pausedUntilMs = 0;
  cutUntilMs = 0;
  readonly #world: World;
  readonly #shell: Shell;
  readonly #session: Ref;

  constructor(world: World, store: SimCoordination, captureId: string, ttlMs: number) {
    const dice = world.dice(`claim ${captureId}`);
    this.#world = world;
    this.captureId = captureId;
    const isLost = (): boolean => world.now < this.cutUntilMs || (this.isFoul && dice.chance(0.01));
    const delayMs = (): number => dice.next() * (this.isFoul && dice.chance(0.03) ? 2_500 : 20);
    const ports: Readonly<Record<string, SimPort>> = {
      coordination: simCoordinationPort(world, store, { isLost, delayMs }),
      'write-deadline': (request, answered) => {
        this.#publish(request as WriteDeadlineRequest);
        world.after(0, () => answered(ok(null)));
      },
    };
    this.#shell = new Shell(this.#host(ports), roles);
    const ref = (id: string, incarnation: number): Ref => ({
      path: `capture/claim/${id}`,
      thread: 'main',
      incarnation,
    });
    this.#session = ref('session', 1);
    const common = { mailbox: 1_024, epoch: 0, owner: null, life };
    const info = { apiAddress: 'a', peerAddress: 'p', version: '0' };
    const clusterId = 'c';
    this.#shell.start({
      ...common,
      ref: this.#session,
      role: 'session',
      props: { clusterId, captureId, ttlMs, ...info },
    });
    this.#shell.start({
      ...common,
      ref: ref('membership', 2),
      role: 'membership',
      props: { clusterId, captureId, session: this.#session, followers: [] },
    });
  }

  /** A sink of this node would submit now. */
  get mayWrite(): boolean {
    return !this.isGone && !this.isFenced && this.#world.now < (this.deadlineMs ?? 0);
  }

  get phase(): string {
    return String(this.#state('session')?.['phase'] ?? 'ended');
  }

  get lease(): string {
    return String(this.#state('session')?.['lease'] ?? '');
  }

  /** The nodes it sees, `id state`; null before its first list. */
  get view(): readonly string[] | null {
    const state = this.#state('membership');
    if (state === undefined || state['after'] === null) return null;
    return state['members'] as readonly string[];
  }

  /** Leaves in order: the write path has stopped by then. */
  leave(): void {
    this.isLeaving = true;
    this.isFenced = true;
    this.#shell.stop(this.#session);
  }

  /** Ends as a killed process does. */
  crash(): void {
    this.isGone = true;
  }

  #state(id: string): Readonly<Record<string, unknown>> | undefined {
    return this.#shell.overview().find(({ path }) => path === `capture/claim/${id}`)?.state;
  }

  #publish(request: WriteDeadlineRequest): void {
    if (this.isGone) return;
    if (request.kind === 'Fence') this.isFenced = true;
    else this.deadlineMs = Math.max(this.deadlineMs ?? 0, request.deadlineMs);
  }

  /** Runs now, when the node goes on, or never. */
  #run(run: () => void): void {
    const waitMs = this.pausedUntilMs - this.#world.now;
    if (this.isGone) return;
    if (waitMs > 0) this.#world.after(waitMs, () => this.#run(run));
    else run();
  }

  #host(ports: Readonly<Record<string, SimPort>>): Host {
    const world = this.#world;
    const dice = world.dice(`thread ${this.captureId}`);
    return {
      thread: 'main',
      fences: new Int32Array(1),
      now: () => world.now,
      random: dice.next,
      post: () => {},
      schedule: (run) => void world.after(dice.next() * 0.1, () => this.#run(run)),
      timer: (afterMs, due) => world.after(afterMs, () => this.#run(due)),
      callPort: (port, request, answered) =>
        ports[port]!(request, (outcome: Outcome<unknown>) => this.#run(() => answered(outcome))),
      tree: (request) => {
        if (request.kind !== 'Exited' || request.exit.kind === 'shutdown') return;
        this.faults.push(JSON.stringify(request.exit));
      },
      log: () => {},
      count: () => {},
      swept: () => {},
    };
  }
}
