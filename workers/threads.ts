/** The worker threads of a capture: starts them, links them, starts a dead one again; the one place that names their entry. */
import { messageOf } from '#src/base/failure.ts';
import { fileURLToPath } from 'node:url';
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import type { TreeRequest } from '#src/kernel/host.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { Batch, batchItemCount } from './batch.ts';
import type { ThreadCommand, ThreadControl, TreeReports } from './control.ts';
import type { OpenFeed } from './feed-ports.ts';
import type { Gate } from './gate.ts';
import { Link } from './link.ts';
import type { CaptureSettings } from './settings.ts';
import type { ThreadStart } from './thread.ts';
import { endUncut } from './uncut.ts';

const entry = new URL('./thread.ts', import.meta.url);

/**
 * Where Node keeps what it compiled (a file a module): a thread starts in less than half the time, also when a dead one is
 * started again. Beside the packages, so trusted as the code is; without the right to write there Node goes on without.
 */
const compileCache = fileURLToPath(new URL('../node_modules/.cache/sluice', import.meta.url));

/** Rows are bytes, not objects: a small young generation costs no speed, and each thread has one of its own. */
const youngMegabytes = 12;

/** Milliseconds that a thread is given to close its ports, and then to leave an uncut call, before it is terminated. */
const closeWithinMs = 5_000;

/** What threads are started with, and what the starter wants to hear. */
export interface ThreadsOptions {
  readonly names: readonly string[];
  readonly settings: CaptureSettings;
  /** Address of the module that exports the threads' `world`. */
  readonly worldUrl: string;
  readonly gate: Gate;
  /** Changefeeds that a thread knows from its start on. */
  readonly feeds: () => readonly OpenFeed[];
  readonly request: (request: TreeRequest) => void;
  /** An envelope for main arrived. */
  readonly deliver: (envelope: Envelope) => void;
  readonly callFailed: (thread: string, message: string) => void;
  /** The thread is gone, with what it died of; `isAsked`: {@link Threads.terminate} ended it. */
  readonly lost: (thread: string, why: string, isAsked: boolean) => void;
}

interface RunningThread {
  readonly name: string;
  /** Its index in the shared memory. */
  readonly index: number;
  readonly worker: Worker;
  readonly control: Comlink.Remote<ThreadControl>;
  readonly commands: Batch<ThreadCommand>;
  readonly link: Link;
  readonly ports: readonly MessagePort[];
  readonly ready: Promise<void>;
  isUp: boolean;
  isAsked: boolean;
}

type Ends = readonly { readonly thread: string; readonly port: MessagePort }[];

/** All worker threads of one capture. */
export class Threads {
  readonly #options: ThreadsOptions;
  readonly #threads = new Map<string, RunningThread>();

  constructor(options: ThreadsOptions) {
    this.#options = options;
  }

  /** Starts all threads, fully linked with each other and with main; resolves when each is ready. */
  async start(): Promise<void> {
    const { names } = this.#options;
    const ends = new Map<string, { thread: string; port: MessagePort }[]>(
      names.map((name) => [name, []]),
    );
    for (const [i, a] of names.entries()) {
      for (const b of names.slice(i + 1)) {
        const { port1, port2 } = new MessageChannel();
        ends.get(a)!.push({ thread: b, port: port1 });
        ends.get(b)!.push({ thread: a, port: port2 });
      }
    }
    for (const name of names) this.#threads.set(name, this.#run(name, ends.get(name)!));
    await Promise.all([...this.#threads.values()].map((thread) => thread.ready));
  }

  /**
   * Starts a dead thread again under its name, newly linked with all others. Commands and messages for it wait in its ports
   * until it is up; what stood in the former links is lost.
   */
  restart(name: string): void {
    const links = [...this.#threads.values()].map((peer) => {
      const { port1, port2 } = new MessageChannel();
      const call = peer.control.relink(name, Comlink.transfer(port1, [port1]));
      call.catch((error: unknown) => this.#failed(peer.name, error));
      return { thread: peer.name, port: port2 };
    });
    const thread = this.#run(name, links);
    this.#threads.set(name, thread);
    // Its death at the start is reported like any other.
    thread.ready.catch(() => undefined);
  }

  /** Gives a thread a command; dropped while the thread is gone, whose cells have exited by that. */
  command(name: string, command: ThreadCommand): void {
    this.#threads.get(name)?.commands.push(command);
  }

  /** Sends an envelope of main to another thread; false when there is none of that name now. */
  post(envelope: Envelope): boolean {
    const thread = this.#threads.get(envelope.to.thread);
    thread?.link.post(envelope);
    return thread !== undefined;
  }

  /** Calls each thread, one that is starting too; a thread that does not answer within `withinMs`, or dies, is left out. */
  async ask<T>(
    call: (control: Comlink.Remote<ThreadControl>) => Promise<T>,
    withinMs: number,
  ): Promise<ReadonlyMap<string, T>> {
    const answers = new Map<string, T>();
    const asked = [...this.#threads.values()].map(async ({ name, control }) => {
      answers.set(name, await call(control));
    });
    await Promise.race([Promise.allSettled(asked), pause(withinMs)]);
    return answers;
  }

  /** Threads that run; one that is still starting runs nothing yet. */
  running(): readonly { readonly name: string; readonly index: number }[] {
    return [...this.#threads.values()].filter((thread) => thread.isUp);
  }

  /** Ends a thread, whatever it does, at once or as soon as it is out of an uncut call; `lost` follows. */
  terminate(name: string): void {
    const thread = this.#threads.get(name);
    if (thread !== undefined) void this.#end(thread);
  }

  /** Closes the ports of all threads, as far as they answer in time, and ends them. */
  async close(): Promise<void> {
    await this.ask((control) => control.close(), closeWithinMs);
    await Promise.all([...this.#threads.values()].map((thread) => this.#end(thread)));
  }

  #end(thread: RunningThread): Promise<unknown> {
    thread.isAsked = true;
    const { worker, index } = thread;
    return new Promise((resolve) => {
      endUncut(this.#options.gate, index, closeWithinMs, () => resolve(worker.terminate()));
    });
  }

  #run(name: string, links: Ends): RunningThread {
    const { names, settings, worldUrl, gate, feeds } = this.#options;
    const index = names.indexOf(name) + 1;
    const [main, control, reports] = [
      new MessageChannel(),
      new MessageChannel(),
      new MessageChannel(),
    ];
    const start: ThreadStart = {
      thread: name,
      index,
      worldUrl,
      settings,
      feeds: feeds(),
      gate: gate.memory,
      control: control.port2,
      reports: reports.port2,
      links: [...links, { thread: 'main', port: main.port2 }],
    };
    const worker = new Worker(entry, {
      workerData: start,
      name,
      env: { NODE_COMPILE_CACHE: compileCache, ...process.env },
      resourceLimits: { maxYoungGenerationSizeMb: youngMegabytes },
      transferList: [control.port2, reports.port2, main.port2, ...links.map((link) => link.port)],
    });
    const receiver: TreeReports = {
      requests: (requests) => {
        for (const request of requests) this.#options.request(request);
      },
    };
    Comlink.expose(receiver, nodeEndpoint(reports.port1));
    const remote = Comlink.wrap<ThreadControl>(nodeEndpoint(control.port1));
    const thread: RunningThread = {
      name,
      index,
      worker,
      control: remote,
      commands: new Batch((commands) => {
        remote.perform(commands).catch((error: unknown) => this.#failed(name, error));
      }, batchItemCount),
      link: new Link(main.port1, this.#options.deliver),
      ports: [control.port1, reports.port1],
      ready: new Promise((resolve, reject) => {
        worker.once('message', () => {
          thread.isUp = true;
          resolve();
        });
        worker.once('exit', () => reject(new Error(`thread ${name} ended at its start`)));
      }),
      isUp: false,
      isAsked: false,
    };
    let why = 'ended';
    worker.on('error', (error) => {
      why = error instanceof Error ? (error.stack ?? error.message) : String(error);
    });
    worker.once('exit', () => this.#lost(thread, why));
    return thread;
  }

  #lost(thread: RunningThread, why: string): void {
    const { name, index } = thread;
    const { gate } = this.#options;
    if (this.#threads.get(name) === thread) this.#threads.delete(name);
    thread.link.close();
    for (const port of thread.ports) port.close();
    // Nothing runs there any more: that is the proof a fence waits for.
    gate.rest(index);
    gate.confirmFor(index, gate.fencedNow());
    this.#options.lost(name, why, thread.isAsked);
  }

  #failed(name: string, error: unknown): void {
    this.#options.callFailed(name, messageOf(error));
  }
}

/** A pause that keeps no process alive. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}
