/** A world of small actors to be fenced: they write down what they do in memory that the test reads. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openLmdbEventStore } from '#src/adapters/lmdb-event-store/lmdb-event-store.ts';
import { must } from '#src/base/assert.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import { role, type Behaviour } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { GateLife } from '#src/kernel/host.ts';
import type { TeamPlan } from '#src/kernel/plan.ts';
import { BlockWriter } from '#src/model/block.ts';
import type { EventStoreRequest, StoredBlock } from '#src/ports/event-store.ts';
import type { Gate } from '#workers/gate.ts';
import type { AnyPort } from '#workers/thread-host.ts';
import { uncutPort } from '#workers/uncut.ts';
import type { World } from '#workers/world.ts';

/** Words of the memory a test shares with its cells. */
export const note = {
  deliveries: 0,
  submits: 1,
  openPorts: 2,
  started: 3,
  fencedBy: 4,
  stuck: 5,
} as const;

/** Fresh memory for notes; 64-bit word 8 holds when the gate was asked for the last submit. */
export function makeNotes(): {
  readonly memory: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly times: BigInt64Array;
} {
  const memory = new SharedArrayBuffer(128);
  return { memory, words: new Int32Array(memory), times: new BigInt64Array(memory) };
}

/** What a cell is started with; `does` is what it does at its start. */
export interface CellProps {
  readonly notes: SharedArrayBuffer;
  readonly does: 'work' | 'spin' | 'block' | 'start-slowly' | 'cling' | 'fence' | 'append';
}

interface State {
  readonly props: CellProps;
  readonly words: Int32Array;
}

type Inbox = { readonly kind: 'Again' } | { readonly kind: 'Submitted' };

const again: Effect = { kind: 'SetTimer', key: 'again', afterMs: 0, message: { kind: 'Again' } };

/** Works on and on: a delivery, a submit, a delivery; until it is told otherwise. */
const worker: Behaviour<State, Inbox, CellProps> = {
  init: (props) => {
    const words = new Int32Array(props.notes);
    Atomics.add(words, note.started, 1);
    const state: State = { props, words };
    if (props.does === 'start-slowly') spin(200);
    if (props.does === 'block' || props.does === 'spin') return [state, [again]];
    if (props.does === 'append') return [state, [submit(props, 'Append', 'event-store')]];
    return [state, [submit(props, props.does === 'fence' ? 'Fence' : 'Submit')]];
  },
  receive: (state, message) => {
    Atomics.add(state.words, note.deliveries, 1);
    const { does } = state.props;
    if (does === 'spin' || does === 'block') Atomics.add(state.words, note.stuck, 1);
    if (does === 'spin') spin(Infinity);
    if (does === 'block') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    return [state, message.kind === 'Again' ? [submit(state.props, 'Submit')] : [again]];
  },
  // One that clings is asked to stop and goes on working.
  signal: (state, signal) =>
    signal.kind === 'StopAsked' && state.props.does !== 'cling'
      ? [state, [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]]
      : [state, []],
  overview: () => ({}),
};

function submit(props: CellProps, kind: string, port = 'sink'): Effect {
  const request = { kind, notes: props.notes };
  return { kind: 'CallPort', port, request, answer: 'Submitted' };
}

function spin(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

/** Lives on main and starts workers when told. */
const spawner: Behaviour<
  null,
  { readonly kind: 'Spawn'; readonly jobs: readonly (CellProps & { readonly thread: string })[] },
  null
> = {
  init: () => [null, []],
  receive: (state, { jobs }) => [
    state,
    jobs.map((props, i): Effect => ({
      kind: 'Spawn',
      team: 'house/w/pool',
      id: `job:${props.does}:${i}`,
      role: 'worker',
      props,
      thread: props.thread,
    })),
  ],
  signal: (state, signal) =>
    signal.kind === 'StopAsked'
      ? [state, [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]]
      : [state, []],
  overview: () => ({}),
};

/** A sink as sinks are: asks the gate immediately before it writes; holds something open until it is closed. */
function openSink(gate: Gate, life: GateLife): AnyPort {
  let notes: Int32Array | null = null;
  return {
    call: async (request) => {
      const { kind, notes: memory } = request as {
        readonly kind: string;
        readonly notes: SharedArrayBuffer;
      };
      if (notes === null) {
        notes = new Int32Array(memory);
        Atomics.add(notes, note.openPorts, 1);
      }
      await sleep(0);
      if (kind === 'Fence') Atomics.store(notes, note.fencedBy, gate.fence([1]) ? 1 : 2);
      const askedNs = process.hrtime.bigint();
      if (!gate.mayWrite(life)) return failed(failure('SINK_FENCED', 'shut'));
      Atomics.store(new BigInt64Array(memory), 8, askedNs);
      Atomics.add(notes, note.submits, 1);
      return ok(null);
    },
    close: () => {
      if (notes !== null) Atomics.sub(notes, note.openPorts, 1);
      return Promise.resolve();
    },
  };
}

/** A real event store to which one call appends for ever, without giving its thread back. */
function openEndlessStore(dataDirectory: string, gate: Gate): AnyPort {
  const directory = join(dataDirectory, 'events');
  const options = { directory, byteCountMax: 2 ** 40, log: () => undefined };
  const store = uncutPort(gate, () => openLmdbEventStore(options) as AnyPort);
  return {
    call: (request) => {
      const { notes: memory } = request as { readonly kind: string } & Pick<CellProps, 'notes'>;
      const notes = new Int32Array(memory);
      for (let ts = 1; ; ts++) {
        const blocks = Array.from({ length: 20 }, (_, span) => blockAt(`span-${span}`, ts));
        appendTo(store, blocks, ts);
        Atomics.add(notes, note.submits, 1);
      }
    },
    close: () => store.close(),
  };
}

function appendTo(store: AnyPort, blocks: readonly StoredBlock[], ts: number): void {
  const requests: readonly EventStoreRequest[] = [
    { kind: 'Append', blocks },
    ...blocks.map(({ info }) => ({ kind: 'Collect', span: info.span, ts }) as const),
  ];
  for (const request of requests) void store.call(request);
}

function blockAt(span: string, ts: number): StoredBlock {
  const writer = new BlockWriter(span, 'mariadb');
  writer.begin(ts, ts, `0-1-${ts}`);
  writer.rows('t', new Uint8Array(24), 23, new Uint8Array(100));
  writer.commit();
  return must(writer.take(), 'a block');
}

/** The plan: a spawner outside of the gated team, workers inside. */
export const plan: TeamPlan = {
  kind: 'team',
  id: 'house',
  strategy: 'one_for_one',
  intensity: 3,
  periodMs: 60_000,
  why: 'test',
  children: [
    {
      kind: 'cell',
      id: 'spawner',
      role: 'spawner',
      thread: 'main',
      restart: 'permanent',
      stopWithinMs: 1_000,
      mailbox: 16,
      why: 'test',
    },
    {
      kind: 'team',
      id: 'w',
      strategy: 'one_for_one',
      intensity: 3,
      periodMs: 60_000,
      gate: true,
      why: 'test',
      children: [
        {
          kind: 'team',
          id: 'pool',
          strategy: 'one_for_one',
          intensity: 3,
          periodMs: 60_000,
          why: 'test',
          children: [
            {
              kind: 'cell',
              id: 'job',
              role: 'worker',
              thread: 'work',
              restart: 'temporary',
              stopWithinMs: 20_000,
              mailbox: 64,
              many: { per: 'job', dynamic: true },
              why: 'test',
            },
          ],
        },
      ],
    },
  ],
};

/** The world. */
export const world: World = {
  roles: { worker: role(worker, {}), spawner: role(spawner, { Spawn: 'open' }) },
  openPorts: ({ dataDirectory }, gate) => ({
    sink: (life) => openSink(gate, life),
    'event-store': () => openEndlessStore(dataDirectory, gate),
  }),
};

/** Address of this module. */
export const worldUrl = import.meta.url;
