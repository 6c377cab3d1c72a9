/** The worker threads of a capture: the one place that names their entry file and starts them. */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import type { TreeRequest } from '#src/kernel/host.ts';
import type { ThreadControl, TreeReports } from './control.ts';
import type { CaptureSettings } from './settings.ts';
import type { ThreadStart } from './thread.ts';

const entry = new URL('./thread.ts', import.meta.url);

/** Rows are bytes, not objects: a small young generation costs no speed, and each thread has one of its own. */
const youngMegabytes = 12;

/** A running worker thread. */
export interface RunningThread {
  readonly name: string;
  readonly worker: Worker;
  readonly control: Comlink.Remote<ThreadControl>;
  /** Main's end of the link to it. */
  readonly port: MessagePort;
}

/** What the starter wants to hear. */
export interface ThreadEvents {
  readonly request: (request: TreeRequest) => void;
  /** The thread is gone, with what it died of. */
  readonly lost: (thread: string, why: string) => void;
}

/** Starts all threads, fully linked with each other and with main; resolves when each is ready. */
export async function startThreads(
  names: readonly string[],
  settings: CaptureSettings,
  gate: SharedArrayBuffer,
  events: ThreadEvents,
): Promise<readonly RunningThread[]> {
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
  return await Promise.all(
    names.map((name, i) =>
      startThread({ name, index: i + 1 }, settings, gate, ends.get(name)!, events),
    ),
  );
}

async function startThread(
  thread: { readonly name: string; readonly index: number },
  settings: CaptureSettings,
  gate: SharedArrayBuffer,
  links: readonly { readonly thread: string; readonly port: MessagePort }[],
  events: ThreadEvents,
): Promise<RunningThread> {
  const { name, index } = thread;
  const main = new MessageChannel();
  const control = new MessageChannel();
  const reports = new MessageChannel();
  const start: ThreadStart = {
    thread: name,
    index,
    settings,
    gate,
    control: control.port2,
    reports: reports.port2,
    links: [...links, { thread: 'main', port: main.port2 }],
  };
  const worker = new Worker(entry, {
    workerData: start,
    name,
    resourceLimits: { maxYoungGenerationSizeMb: youngMegabytes },
    transferList: [control.port2, reports.port2, main.port2, ...links.map((link) => link.port)],
  });
  const receiver: TreeReports = { request: (request) => events.request(request) };
  Comlink.expose(receiver, nodeEndpoint(reports.port1));
  let why = 'ended';
  worker.on('error', (error) => {
    why = error instanceof Error ? (error.stack ?? error.message) : String(error);
  });
  worker.on('exit', () => events.lost(name, why));
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => resolve());
    worker.once('exit', () => reject(new Error(`thread ${name} ended at its start: ${why}`)));
  });
  return {
    name,
    worker,
    control: Comlink.wrap<ThreadControl>(nodeEndpoint(control.port1)),
    port: main.port1,
  };
}
