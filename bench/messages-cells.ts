/** The two cells of the bench of messages and the shell they live in; also the entry of its second thread. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { role, type Behaviour, type Role } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Shell } from '#src/kernel/shell.ts';
import { Link } from '#workers/link.ts';

/** What a stream sends: a control message of about 100 bytes, or 64 KiB of row bytes that are moved. */
export type Load = 'control' | 'rows';

/** Messages granted at a time: a protocol's own credit. */
export const grantCounts: Readonly<Record<Load, number>> = { control: 1_000, rows: 32 };
/** Grants under way at once. */
export const grantsUnderWay = 8;
const rowBytes = 65_536;

/** Asks the sender for a stream of `count` messages. */
export interface StartStream extends Message {
  readonly kind: 'StartStream';
  readonly count: number;
  readonly to: Ref;
  readonly load: Load;
}

interface Watermark extends Message {
  readonly kind: 'DispatcherWatermark';
  readonly span: string;
  readonly checkpointTs: number;
  readonly rows: number;
  readonly writtenRows: number;
  readonly transactions: number;
  readonly commitMs: number;
}

interface Granted extends Message {
  readonly kind: 'Granted';
}

interface SenderState {
  left: number;
  to: Ref | null;
  load: Load;
}

const spans = Array.from({ length: 16 }, (_, i) => `shop.orders_${i}`);

/** The `i`-th message of a stream. */
export function messageOf(load: Load, i: number): Watermark {
  const message: Watermark = {
    kind: 'DispatcherWatermark',
    span: spans[i & 15]!,
    checkpointTs: 123_456_789_012 + i,
    rows: i & 255,
    writtenRows: i & 127,
    transactions: 3,
    commitMs: 1_763_700_000_000 + i,
  };
  return load === 'control' ? message : { ...message, moved: [new Uint8Array(rowBytes)] };
}

function sendSome(state: SenderState, count: number): readonly Effect[] {
  const effects: Effect[] = [];
  const { to, load } = state;
  for (let i = Math.min(count, state.left); i > 0; i--) {
    effects.push({ kind: 'Send', to: to!, message: messageOf(load, state.left--) });
  }
  return effects;
}

const sender: Behaviour<SenderState, StartStream | Granted, null> = {
  init: () => [{ left: 0, to: null, load: 'control' }, []],
  receive: (state, message) => {
    if (message.kind === 'Granted') return [state, sendSome(state, grantCounts[state.load])];
    const started: SenderState = { left: message.count, to: message.to, load: message.load };
    return [started, sendSome(started, grantCounts[started.load] * grantsUnderWay)];
  },
  overview: () => ({}),
};

interface ReceiverState {
  count: number;
  sum: number;
  rowByteCount: number;
}

const granted: Granted = { kind: 'Granted' };
/** Who wants to know when all have come: the bench itself, reached through `post`. */
const asker: Ref = { path: 'asker', thread: 'asker', incarnation: 0 };
const done: Message = { kind: 'Done' };

/** Grants as it goes; at the end it says Done, to whoever asked. */
const receiver: Behaviour<ReceiverState, Watermark, { readonly count: number }> = {
  init: ({ count }) => [{ count, sum: 0, rowByteCount: 0 }, []],
  receive: (state, message) => {
    state.sum += message.rows;
    if (message.moved !== undefined) state.rowByteCount += message.moved[0]!.byteLength;
    state.count--;
    if (state.count === 0) {
      return [state, [{ kind: 'Send', to: asker, message: done }]];
    }
    const every = grantCounts[message.moved === undefined ? 'control' : 'rows'];
    return [state, state.count % every === 0 ? [{ kind: 'Reply', message: granted }] : []];
  },
  overview: () => ({}),
};

/** Answers each ping with the pong it waits for. */
const echo: Behaviour<null, Message, null> = {
  init: () => [null, []],
  receive: (state) => [state, [{ kind: 'Reply', message: { kind: 'Pong' } }]],
  overview: () => ({}),
};

/** `receiver` has the guard of most commands; `doorless` lets everything in. */
export const roles: Readonly<Record<string, Role>> = {
  sender: role(sender, { StartStream: 'open', Granted: 'echo' }),
  receiver: role(receiver, { DispatcherWatermark: 'owner' }),
  doorless: role(receiver, { DispatcherWatermark: 'open' }),
  echo: role(echo, { Ping: 'open' } as never),
};

/** A shell with nothing around it but links; `post` gets what leaves the thread. */
export function bareShell(thread: string, post: (envelope: Envelope) => void): Shell {
  return new Shell(
    {
      thread,
      fences: new Int32Array(1),
      now: () => performance.now(),
      random: () => Math.random(),
      post,
      schedule: (run) => void setImmediate(run),
      timer: () => () => {},
      callPort: () => {},
      tree: (request) => {
        if (request.kind === 'Exited' && request.exit.kind === 'fault') {
          throw new Error(request.exit.message);
        }
      },
      log: () => {},
      count: (name) => {
        throw new Error(`a delivery of the bench was refused: ${name}`);
      },
      swept: () => {},
    },
    roles,
  );
}

/** The epoch of all cells, and the path of the one that governs them. */
export const epoch = 77;

/** Starts a cell of the bench. */
export function startCell(shell: Shell, name: string, thread: string, props: unknown = null): Ref {
  const ref: Ref = { path: `bench/${name}`, thread, incarnation: 1 };
  shell.kill(ref);
  shell.start({
    ref,
    role: name,
    props,
    mailbox: 65_536,
    epoch,
    owner: 'bench/sender',
    life: { gate: 0, generation: 1 },
  });
  return ref;
}

/** What the second thread is started with, and asked for before each run. */
export interface FarStart {
  readonly port: MessagePort;
}

if (parentPort !== null && workerData !== null) {
  const { port } = workerData as FarStart;
  const parent = parentPort;
  const shell = bareShell('far', (envelope) => link.post(envelope));
  const link = new Link(port, (envelope) => shell.deliver(envelope));
  parent.on('message', (props: { readonly count: number }) => {
    startCell(shell, 'receiver', 'far', props);
    startCell(shell, 'echo', 'far');
    parent.postMessage('ready');
  });
}
