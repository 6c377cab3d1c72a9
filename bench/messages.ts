/**
 * How many messages a second cells hand to each other, on one thread and between two, with the real shell, door and
 * link; beside Erlang/OTP on the same machine in the same rounds when `erl` is installed.
 */
import { readFileSync } from 'node:fs';
import { MessageChannel, Worker } from 'node:worker_threads';
import { assert } from '#src/base/assert.ts';
import { Queue } from '#src/base/queue.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Envelope } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Link } from '#workers/link.ts';
import { noErlang, runErlang } from './erlang.ts';
import { median, percentile, printLine, round2 } from './figures.ts';
import {
  bareShell,
  epoch,
  grantCounts,
  grantsUnderWay,
  messageOf,
  startCell,
  type Load,
  type StartStream,
} from './messages-cells.ts';

const rounds = 5;
const controlCount = 1_000_000;
const rowsCount = 20_000;
const pingCount = 10_000;
const erlangSource = readFileSync(new URL('./erlang/messages.erl', import.meta.url), 'utf8');

type Figures = Record<string, number>;

/** Runs the bench; prints a table unless `json`. */
export async function messages(options: { json: boolean }): Promise<object> {
  const ours: Figures[] = [];
  const theirs: Figures[] = [];
  const far = new Far();
  try {
    // The two take turns, so that noise of the machine meets both; the first round only warms up.
    for (let round = 0; round <= rounds; round++) {
      const figures: Figures = {
        sameThread: await sameThread('receiver'),
        sameThreadNoDoor: await sameThread('doorless'),
        sameThreadFloor: await timed(controlCount, bareQueue),
        crossThread: await far.stream(controlCount, 'control'),
        crossThreadRows: await far.stream(rowsCount, 'rows'),
        ...(await far.roundTrips()),
      };
      if (round > 0) ours.push(figures);
      const peer = round === 0 ? null : runErlang('messages', erlangSource);
      if (peer !== null) theirs.push(peer[0] as Figures);
    }
  } finally {
    await far.end();
  }
  const sluice = medians(ours);
  const peer = theirs.length === 0 ? null : medians(theirs);
  const ratio =
    peer === null
      ? null
      : Object.fromEntries(
          Object.keys(peer).map((name) => [
            name,
            name.startsWith('roundTrip')
              ? round2(peer[name]! / sluice[name]!)
              : round2(sluice[name]! / peer[name]!),
          ]),
        );
  if (!options.json) print(sluice, peer);
  return {
    name: 'messages',
    unit: 'messages/s; round trips in µs',
    sluice,
    erlang: peer ?? noErlang,
    ratio,
  };
}

async function sameThread(receiver: 'receiver' | 'doorless'): Promise<number> {
  const heard = new Heard();
  const shell = bareShell('main', heard.take);
  const to = startCell(shell, receiver, 'main', { count: controlCount });
  const from = startCell(shell, 'sender', 'main');
  return await timed(controlCount, async () => {
    shell.deliver(startOf(from, to, controlCount, 'control'));
    await heard.next();
  });
}

/**
 * What no kernel in this language can go below: the same messages, effects and envelopes made, put into a queue and taken
 * out of it, under the same credit, with nobody asked and nothing called.
 */
function bareQueue(): Promise<void> {
  const queue = new Queue<Envelope>();
  const [to, from] = [farRef('receiver'), farRef('sender')];
  const grant = grantCounts.control;
  let sum = 0;
  for (let sent = 0; sent < controlCount; sent += grant) {
    const effects: Effect[] = [];
    for (let i = 0; i < grant; i++) {
      effects.push({ kind: 'Send', to, message: messageOf('control', sent + i) });
    }
    for (const effect of effects) {
      if (effect.kind !== 'Send') continue;
      queue.push({ to: effect.to, from, epoch, seq: sent, message: effect.message });
    }
    while (queue.length > grant * (grantsUnderWay - 1)) sum += queue.shift()!.epoch;
  }
  assert(sum > 0, 'nothing passed the queue');
  return Promise.resolve();
}

function startOf(sender: Ref, to: Ref, count: number, load: Load): Envelope {
  const message: StartStream = { kind: 'StartStream', count, to, load };
  return { to: sender, from: { ...sender, path: 'outside' }, epoch, seq: 0, message };
}

/** What cells say to the bench itself, one at a time. */
class Heard {
  #resolve: (() => void) | null = null;

  readonly take = (): void => this.#resolve?.();

  async next(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#resolve = resolve;
    });
  }
}

/** A second thread with the receiving cells; the sender lives here. */
class Far {
  readonly #heard = new Heard();
  readonly #worker: Worker;
  readonly #link: Link;
  readonly #shell = bareShell('main', (envelope) => this.#link.post(envelope));

  constructor() {
    const { port1, port2 } = new MessageChannel();
    this.#worker = new Worker(new URL('./messages-cells.ts', import.meta.url), {
      workerData: { port: port2 },
      transferList: [port2],
    });
    this.#link = new Link(port1, (envelope) => {
      if (envelope.to.path === 'bench/sender') this.#shell.deliver(envelope);
      else this.#heard.take();
    });
  }

  async stream(count: number, load: Load): Promise<number> {
    const from = await this.#start(count);
    return await timed(count, async () => {
      this.#shell.deliver(startOf(from, farRef('receiver'), count, load));
      await this.#heard.next();
    });
  }

  async roundTrips(): Promise<Figures> {
    await this.#start(0);
    const from: Ref = { path: 'bench/pinger', thread: 'main', incarnation: 1 };
    const times: number[] = [];
    for (let seq = 1; seq <= pingCount; seq++) {
      const begun = performance.now();
      this.#link.post({ to: farRef('echo'), from, epoch, seq, message: { kind: 'Ping' } });
      await this.#heard.next();
      times.push((performance.now() - begun) * 1_000);
    }
    times.sort((a, b) => a - b);
    return {
      roundTripP50: round2(percentile(times, 0.5)),
      roundTripP99: round2(percentile(times, 0.99)),
    };
  }

  async end(): Promise<void> {
    this.#link.close();
    await this.#worker.terminate();
  }

  async #start(count: number): Promise<Ref> {
    const ready = new Promise((resolve) => this.#worker.once('message', resolve));
    this.#worker.postMessage({ count });
    await ready;
    return startCell(this.#shell, 'sender', 'main');
  }
}

function farRef(name: string): Ref {
  return { path: `bench/${name}`, thread: 'far', incarnation: 1 };
}

async function timed(count: number, run: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await run();
  return Math.round((count / (performance.now() - begun)) * 1_000);
}

function medians(all: readonly Figures[]): Figures {
  return Object.fromEntries(
    Object.keys(all[0]!).map((name) => [name, median(all.map((figures) => figures[name]!))]),
  );
}

function print(sluice: Figures, erlang: Figures | null): void {
  printLine(['', 'sluice', 'Erlang']);
  for (const [name, value] of Object.entries(sluice)) {
    printLine([name, value, erlang?.[name] ?? '']);
  }
  if (erlang === null) process.stdout.write(`${noErlang}\n`);
}
