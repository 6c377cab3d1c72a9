/**
 * The tree against random plans, exits, fences and slow threads: whatever happened, the promises of supervision hold at every
 * moment, and once the trouble ends everything that should run does.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Exit } from '#src/kernel/exit.ts';
import type { CellStart } from '#src/kernel/host.ts';
import { gatesOf, type CellPlan, type PlanNode, type TeamPlan } from '#src/kernel/plan.ts';
import type { NodePicture } from '#src/kernel/tree-picture.ts';
import type { TreeOver } from '#src/kernel/tree-io.ts';
import { Tree } from '#src/kernel/tree.ts';

type Shape = { readonly children: readonly (Shape | CellPlan['restart'])[] } & Pick<
  TeamPlan,
  'strategy' | 'intensity'
> & { readonly gate: boolean };

const restarts = fc.constantFrom<CellPlan['restart']>('permanent', 'transient', 'temporary');

/** Random trees of up to three storeys. */
function shapes(depth: number): fc.Arbitrary<Shape> {
  const child: fc.Arbitrary<Shape | CellPlan['restart']> =
    depth === 0 ? restarts : fc.oneof({ weight: 3, arbitrary: restarts }, shapes(depth - 1));
  return fc.record({
    strategy: fc.constantFrom('one_for_one', 'one_for_all', 'rest_for_one'),
    intensity: fc.integer({ min: 0, max: 4 }),
    gate: fc.boolean(),
    children: fc.array(child, { minLength: 1, maxLength: 4 }),
  });
}

function planOf(shape: Shape, id: string): TeamPlan {
  const children = shape.children.map((child, i): PlanNode =>
    typeof child === 'string'
      ? {
          kind: 'cell',
          id: `c${i}`,
          role: 'r',
          thread: i % 2 === 0 ? 'main' : 'side',
          restart: child,
          stopWithinMs: 100,
          mailbox: 1,
          why: 'test',
        }
      : planOf(child, `t${i}`),
  );
  return {
    kind: 'team',
    id,
    strategy: shape.strategy,
    intensity: shape.intensity,
    periodMs: 1_000,
    ...(shape.gate ? { gate: true } : {}),
    children,
    why: 'test',
  };
}

/** Threads that obey when asked to, in order of each thread, and cells that exit when told. */
class House {
  readonly tree: Tree;
  readonly overs: TreeOver[] = [];
  readonly fences: Int32Array;
  /** What lives on the threads: path → start. */
  readonly alive = new Map<string, CellStart>();
  readonly #generations: number[];
  #commands: { readonly thread: string; readonly run: () => void }[] = [];
  #timers: { readonly at: number; readonly due: () => void }[] = [];
  #now = 0;

  readonly plan: TeamPlan;

  constructor(plan: TeamPlan) {
    this.plan = plan;
    const gates = gatesOf(plan).length;
    this.fences = new Int32Array(gates);
    this.#generations = Array.from({ length: gates }, () => 0);
    this.tree = new Tree(plan, {
      now: () => this.#now,
      random: () => 0.5,
      timer: (afterMs, due) => {
        const timer = { at: this.#now + afterMs, due };
        this.#timers.push(timer);
        return () => {
          this.#timers = this.#timers.filter((other) => other !== timer);
        };
      },
      start: (start) => this.#push(start.ref.thread, () => this.#start(start)),
      stop: ({ path, thread, incarnation }) =>
        this.#push(thread, () => this.exit(path, { kind: 'shutdown' }, incarnation)),
      kill: ({ path, thread, incarnation }) =>
        this.#push(thread, () => this.exit(path, { kind: 'killed' }, incarnation)),
      signal: () => {},
      log: () => {},
      over: (over) => this.overs.push(over),
      props: () => null,
      begin: (gate) => ++this.#generations[gate]!,
      workThreads: ['side'],
    });
  }

  /** Performs up to `count` commands of the tree. */
  perform(count: number): void {
    for (let i = 0; i < count; i++) this.#commands.shift()?.run();
  }

  /** Everything that is due or asked for, until nothing is. */
  settle(): void {
    for (let i = 0; i < 10_000; i++) {
      if (this.#commands.length > 0) this.perform(1);
      else if (this.#timers.length > 0) this.#nextTimer();
      else return;
    }
    assert.fail('the tree never comes to rest');
  }

  wait(ms: number): void {
    this.#now += ms;
  }

  exit(path: string, exit: Exit, incarnation?: number): void {
    const found = this.alive.get(path);
    if (found === undefined || (incarnation ?? found.ref.incarnation) !== found.ref.incarnation)
      return;
    this.alive.delete(path);
    this.tree.request({ kind: 'Exited', ref: found.ref, exit });
  }

  loseThread(thread: string): void {
    // What stood in its ports dies with it.
    this.#commands = this.#commands.filter((command) => command.thread !== thread);
    for (const [path, { ref }] of this.alive) if (ref.thread === thread) this.alive.delete(path);
    this.tree.threadLost(thread);
  }

  fence(gate: number): void {
    const paths = gatesOf(this.plan);
    const path = paths[gate]!;
    for (const [i, other] of paths.entries())
      if (other === path || other.startsWith(`${path}/`)) this.fences[i] = this.#generations[i]!;
    for (const [at, { life }] of this.alive)
      if (this.fences[life.gate]! >= life.generation) this.alive.delete(at);
    this.tree.fenced(this.fences);
  }

  #push(thread: string, run: () => void): void {
    this.#commands.push({ thread, run });
  }

  #start(start: CellStart): void {
    if (this.fences[start.life.gate]! >= start.life.generation) return;
    assert.ok(!this.alive.has(start.ref.path), `${start.ref.path} lives twice`);
    this.alive.set(start.ref.path, start);
    this.tree.request({ kind: 'Started', ref: start.ref });
  }

  #nextTimer(): void {
    const next = this.#timers.toSorted((a, b) => a.at - b.at)[0]!;
    this.#timers = this.#timers.filter((other) => other !== next);
    this.#now = Math.max(this.#now, next.at);
    next.due();
  }
}

const exits: readonly Exit[] = [
  { kind: 'normal' },
  { kind: 'fault', message: 'crash', stack: '' },
  { kind: 'killed' },
];

type Event =
  | { readonly kind: 'exit'; readonly at: number; readonly exit: number }
  | { readonly kind: 'perform'; readonly count: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'fence'; readonly gate: number }
  | { readonly kind: 'lose' };

const events: fc.Arbitrary<Event> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('exit' as const), at: fc.nat(20), exit: fc.nat(2) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('perform' as const), count: fc.nat(6) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(900) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fence' as const), gate: fc.nat(4) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('lose' as const) }) },
);

function play(house: House, event: Event): void {
  const paths = [...house.alive.keys()];
  switch (event.kind) {
    case 'exit':
      return void (
        paths.length > 0 && house.exit(paths[event.at % paths.length]!, exits[event.exit]!)
      );
    case 'perform':
      return house.perform(event.count);
    case 'wait':
      return house.wait(event.ms);
    case 'fence':
      return house.fence(event.gate % house.fences.length);
    case 'lose':
      return house.loseThread('side');
  }
}

function flat(node: NodePicture): readonly NodePicture[] {
  return [node, ...(node.children ?? []).flatMap(flat)];
}

/** Whether the tree and the threads agree, and nothing is left half done. */
function assertAtRest(house: House): void {
  const root = house.tree.inspect();
  for (const node of flat(root)) {
    assert.ok(
      node.status === 'running' || node.status === 'stopped',
      `${node.path} ${node.status}`,
    );
    if (node.role === undefined) continue;
    const lives = house.alive.get(node.path)?.ref.incarnation;
    assert.equal(lives, node.status === 'running' ? node.incarnation : undefined, node.path);
  }
}

/** Of a tree that did not give up: every permanent cell that no fence covers runs. */
function assertUp(house: House): void {
  const visit = (node: NodePicture, plan: PlanNode, isFenced: boolean): void => {
    if (plan.kind === 'cell') {
      if (isFenced) assert.equal(node.status, 'stopped', `${node.path} under a fence`);
      else if (plan.restart === 'permanent') assert.equal(node.status, 'running', node.path);
      return;
    }
    const below = isFenced || node.fenced === true;
    for (const [i, child] of (node.children ?? []).entries())
      visit(child, plan.children[i]!, below);
  };
  visit(house.tree.inspect(), house.plan, false);
}

test('random trees under random exits, lost threads and fences keep the promises of supervision', () => {
  fc.assert(
    fc.property(shapes(2), fc.array(events, { maxLength: 40 }), (shape, happened) => {
      const house = new House(planOf(shape, 'root'));
      let bootCount = 0;
      house.tree.boot(() => bootCount++);
      for (const event of happened) play(house, event);
      house.settle();
      assert.equal(bootCount, 1);
      const gaveUp = house.overs.length > 0;
      assert.ok(house.overs.length <= 1);
      if (!gaveUp) {
        assertAtRest(house);
        assertUp(house);
      }
      house.tree.shutdown();
      house.settle();
      assert.deepEqual(house.overs.at(-1), { kind: 'shutdown' });
      assert.equal(house.alive.size, 0);
    }),
    { numRuns: 2_000 },
  );
});

test('of random trees every fenced team can live again, whole', () => {
  fc.assert(
    fc.property(
      shapes(2),
      fc.array(events, { maxLength: 15 }),
      fc.nat(4),
      (shape, happened, which) => {
        const house = new House(planOf(shape, 'root'));
        house.tree.boot(() => {});
        for (const event of happened) play(house, event);
        house.fence(which % house.fences.length);
        house.settle();
        if (house.overs.length > 0) return;
        for (const path of gatesOf(house.plan)) {
          const node = flat(house.tree.inspect()).find((one) => one.path === path)!;
          if (node.fenced === true) house.tree.revive(path);
        }
        house.settle();
        assertAtRest(house);
        assertUp(house);
      },
    ),
    { numRuns: 1_000 },
  );
});
