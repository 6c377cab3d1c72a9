/** Entry of every worker thread: a shell, its links to the other threads, its ports, driven by main through comlink. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { roles } from '#actors/roles.ts';
import { must } from '#src/base/assert.ts';
import { Shell } from '#src/kernel/shell.ts';
import type { ThreadControl, TreeReports } from './control.ts';
import { Gate } from './gate.ts';
import { Link } from './link.ts';
import { openLog } from './log.ts';
import { openPorts } from './ports.ts';
import type { CaptureSettings } from './settings.ts';
import { ThreadHost } from './thread-host.ts';

/** What main hands to a worker thread at its start. */
export interface ThreadStart {
  readonly thread: string;
  /** Its index in the shared memory. */
  readonly index: number;
  readonly settings: CaptureSettings;
  readonly gate: SharedArrayBuffer;
  readonly control: MessagePort;
  readonly reports: MessagePort;
  readonly links: readonly { readonly thread: string; readonly port: MessagePort }[];
}

function run(start: ThreadStart): void {
  const { thread, settings } = start;
  const log = openLog(thread, settings);
  const gate = new Gate(start.gate, start.index);
  const links = new Map<string, Link>();
  const reports = Comlink.wrap<TreeReports>(nodeEndpoint(start.reports));
  const host = new ThreadHost({
    thread,
    log,
    post: (envelope) =>
      must(links.get(envelope.to.thread), `link to ${envelope.to.thread}`).post(envelope),
    tree: (request) => {
      // Main is gone when this fails, and this thread with it.
      reports.request(request).catch(() => undefined);
    },
    gate,
    ports: openPorts(settings, gate, log),
  });
  const shell = new Shell(host, roles);
  for (const { thread: peer, port } of start.links) {
    links.set(peer, new Link(port, (envelope) => shell.deliver(envelope)));
  }
  const control: ThreadControl = {
    start: (cell) => shell.start(cell),
    stop: (ref) => shell.stop(ref),
    kill: (ref, exit) => shell.kill(ref, exit),
    signal: (to, signal) => shell.signal(to, signal),
    overview: () => shell.overview(),
    stats: () => ({ refusals: shell.refusals(), counters: Object.fromEntries(host.counters) }),
    close: () => host.close(),
  };
  Comlink.expose(control, nodeEndpoint(start.control));
  must(parentPort, 'a parent').postMessage('ready');
}

run(workerData as ThreadStart);
