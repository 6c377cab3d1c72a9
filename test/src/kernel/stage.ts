/** The threads of a supervision tree, played by hand, and small plans to play with. */
import type { CellStart, GateLife } from '#src/kernel/host.ts';
import type { Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { CellPlan, TeamPlan } from '#src/kernel/plan.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { NodePicture } from '#src/kernel/tree-picture.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import { Tree } from '#src/kernel/tree.ts';

/** A permanent cell on main. */
export function cell(id: string, more: Partial<CellPlan> = {}): CellPlan {
  return {
    kind: 'cell',
    id,
    role: id,
    thread: 'main',
    restart: 'permanent',
    stopWithinMs: 100,
    mailbox: 10,
    why: 'test',
    ...more,
  };
}

/** A one_for_one team. */
export function team(
  id: string,
  children: TeamPlan['children'],
  more: Partial<TeamPlan> = {},
): TeamPlan {
  const strategy = 'one_for_one';
  return {
    kind: 'team',
    id,
    strategy,
    intensity: 2,
    periodMs: 1000,
    children,
    why: 'test',
    ...more,
  };
}

/** The threads of a tree: every call is written down, answers are given when asked for. */
export class Stage {
  readonly calls: string[] = [];
  readonly signals: (readonly [path: string, signal: Signal])[] = [];
  readonly overs: TreeOver[] = [];
  readonly refs = new Map<string, Ref>();
  readonly timers = new Set<() => void>();
  readonly timeouts: number[] = [];
  readonly lives: GateLife[] = [];
  readonly #generations = [0, 0];
  readonly tree: Tree;
  now = 0;
  isBooted = false;

  constructor(plan: TeamPlan) {
    this.tree = new Tree(plan, {
      now: () => this.now,
      random: () => 0.5,
      timer: (afterMs, due) => {
        this.timers.add(due);
        this.timeouts.push(afterMs);
        return () => this.timers.delete(due);
      },
      start: (start: CellStart) => {
        this.refs.set(start.ref.path, start.ref);
        this.lives.push(start.life);
        this.calls.push(`start ${start.ref.path}`);
      },
      stop: (ref) => this.calls.push(`stop ${ref.path}`),
      kill: (ref) => this.calls.push(`kill ${ref.path}`),
      signal: (to, signal) => this.signals.push([to.path, signal]),
      log: () => {},
      over: (over) => this.overs.push(over),
      props: () => ({}),
      begin: (gate) => {
        const generation = (this.#generations[gate] ?? 0) + 1;
        this.#generations[gate] = generation;
        return generation;
      },
      workThreads: ['work-1', 'work-2'],
    });
  }

  ref(path: string): Ref {
    return this.refs.get(path)!;
  }

  /** Answers the newest start or stop until nothing is waited for; answers what was called. */
  settle(): string[] {
    const from = this.calls.length;
    for (let at = Math.max(0, from - 1); at < this.calls.length; at++) this.answer(this.calls[at]!);
    return this.calls.splice(0);
  }

  answer(call: string): void {
    const [verb, path] = call.split(' ') as [string, string];
    const ref = this.ref(path);
    if (verb === 'start') this.tree.request({ kind: 'Started', ref });
    if (verb === 'stop') this.tree.request({ kind: 'Exited', ref, exit: { kind: 'shutdown' } });
    if (verb === 'kill') this.tree.request({ kind: 'Exited', ref, exit: { kind: 'killed' } });
  }

  boot(): string[] {
    this.tree.boot(() => {
      this.isBooted = true;
    });
    return this.settle();
  }

  exit(path: string, exit: Exit, ref = this.ref(path)): void {
    this.tree.request({ kind: 'Exited', ref, exit });
  }

  crash(path: string, ref = this.ref(path)): void {
    this.exit(path, { kind: 'fault', message: 'crash', stack: '' }, ref);
  }

  fireTimers(): void {
    for (const due of Array.from(this.timers)) {
      this.timers.delete(due);
      due();
    }
  }

  /** The pictures of all nodes, in start order. */
  pictures(): NodePicture[] {
    const all = (node: NodePicture): NodePicture[] => [node, ...(node.children ?? []).flatMap(all)];
    return all(this.tree.inspect());
  }

  picture(path: string): NodePicture {
    return this.pictures().find((node) => node.path === path)!;
  }

  spawn(id: string, under = 'root/pool'): void {
    this.tree.request({
      kind: 'Spawn',
      requester: { path: 'root/a', thread: 'main', incarnation: 1 },
      team: under,
      id,
      role: 'job',
      props: {},
      thread: 'work-2',
      epoch: 3,
      owner: 'root/a',
    });
  }
}
