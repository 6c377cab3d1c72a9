/** Cells for the benches of fences and spawns: they work without pause and write down when they last did. */
import { ok } from '#src/base/failure.ts';
import { role, type Behaviour } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { TeamPlan } from '#src/kernel/plan.ts';
import type { World } from '#workers/world.ts';

/** Words of the shared notes, 64 bit: per thread when the last delivery and the last submit were, and counts. */
export const word = { delivery: 0, submit: 8, started: 16, told: 17, spinning: 18 } as const;

/** What a cell is started with. */
export interface BenchCell {
  readonly notes: SharedArrayBuffer;
  /** 0 or 1: which work thread. */
  readonly at: number;
  readonly does: 'work' | 'wait' | 'spin';
}

interface State {
  readonly cell: BenchCell;
  readonly words: BigInt64Array;
  count: number;
}

/** Every so many deliveries a cell submits. */
const submitEvery = 8;

const worker: Behaviour<State, { readonly kind: 'Again' | 'Submitted' }, BenchCell> = {
  init: (cell, env) => {
    const words = new BigInt64Array(cell.notes);
    Atomics.add(words, word.started, 1n);
    return [{ cell, words, count: 0 }, cell.does === 'wait' ? [] : [again(env.self)]];
  },
  receive: (state, message, env) => {
    const { cell, words } = state;
    words[word.delivery + cell.at] = process.hrtime.bigint();
    if (cell.does === 'spin') {
      Atomics.store(words, word.spinning, 1n);
      for (;;);
    }
    if (message.kind === 'Submitted') return [state, []];
    const isTurn = ++state.count % submitEvery === 0;
    const request = { kind: 'Submit', notes: cell.notes, at: cell.at };
    const submit: Effect = { kind: 'CallPort', port: 'sink', request, answer: 'Submitted' };
    return [state, isTurn ? [submit, again(env.self)] : [again(env.self)]];
  },
  overview: () => ({}),
};

function again(to: Extract<Effect, { kind: 'Send' }>['to']): Effect {
  return { kind: 'Send', to, message: { kind: 'Again' } };
}

/** What the spawner is told: `count` cells over the work threads, and `spinner` more on the second that spins. */
export interface SpawnCells {
  readonly kind: 'Spawn';
  readonly notes: SharedArrayBuffer;
  readonly count: number;
  readonly does: BenchCell['does'];
  readonly spinner: boolean;
}

const spawner: Behaviour<BigInt64Array | null, SpawnCells, null> = {
  init: () => [null, []],
  receive: (_state, { notes, count, does, spinner }) => {
    const cells: BenchCell[] = Array.from({ length: count }, (_, i) => ({
      notes,
      at: i % 2,
      does,
    }));
    if (spinner) cells.push({ notes, at: 1, does: 'spin' });
    return [
      new BigInt64Array(notes),
      cells.map((props, i): Effect => ({
        kind: 'Spawn',
        team: 'bench/w/pool',
        id: `cell:${i}`,
        role: 'worker',
        props,
        thread: `work-${props.at + 1}`,
      })),
    ];
  },
  signal: (words, signal) => {
    if (signal.kind === 'ChildStarted' && words !== null) Atomics.add(words, word.told, 1n);
    return signal.kind === 'StopAsked'
      ? [words, [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]]
      : [words, []];
  },
  overview: () => ({}),
};

const common = { strategy: 'one_for_one', intensity: 3, periodMs: 60_000, why: 'bench' } as const;

/** A spawner outside of the gated team, cells inside. */
export const plan: TeamPlan = {
  kind: 'team',
  id: 'bench',
  ...common,
  children: [
    {
      kind: 'cell',
      id: 'spawner',
      role: 'spawner',
      thread: 'main',
      restart: 'permanent',
      stopWithinMs: 1_000,
      mailbox: 16,
      why: 'bench',
    },
    {
      kind: 'team',
      id: 'w',
      gate: true,
      ...common,
      children: [
        {
          kind: 'team',
          id: 'pool',
          ...common,
          children: [
            {
              kind: 'cell',
              id: 'cell',
              role: 'worker',
              thread: 'work',
              restart: 'temporary',
              stopWithinMs: 'brutal',
              mailbox: 64,
              many: { per: 'cell', dynamic: true },
              why: 'bench',
            },
          ],
        },
      ],
    },
  ],
};

/** The world; its sink asks the gate and writes down the time, as a real one would write to its socket. */
export const world: World = {
  roles: { worker: role(worker, {}), spawner: role(spawner, { Spawn: 'open' }) },
  openPorts: (_settings, gate) => ({
    sink: (life) => ({
      call: (request) => {
        const { notes, at } = request as unknown as BenchCell;
        if (gate.mayWrite(life))
          new BigInt64Array(notes)[word.submit + at] = process.hrtime.bigint();
        return Promise.resolve(ok(null));
      },
      close: () => Promise.resolve(),
    }),
  }),
};

/** Address of this module. */
export const worldUrl = import.meta.url;
