/** Entry of every worker thread: a shell, its links to the other threads, its ports, driven by main through comlink. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { must } from '#src/base/assert.ts';
import type { TreeRequest } from '#src/kernel/host.ts';
import { Shell } from '#src/kernel/shell.ts';
import { Batch, batchItemCount } from './batch.ts';
import { perform, type ThreadControl, type TreeReports } from './control.ts';
import { FeedPorts, type OpenFeed } from './feed-ports.ts';
import { Gate } from './gate.ts';
import { Link } from './link.ts';
import { openLog } from './log.ts';
import type { CaptureSettings } from './settings.ts';
import { ThreadHost } from './thread-host.ts';
import { watchThread } from './thread-watch.ts';
import { openFeedPort, type World } from './world.ts';

/** What main hands to a worker thread at its start. */
export interface ThreadStart {
  readonly thread: string;
  /** Its index in the shared memory. */
  readonly index: number;
  /** Address of the module that exports `world`. */
  readonly worldUrl: string;
  readonly settings: CaptureSettings;
  /** Changefeeds that are open at the start. */
  readonly feeds: readonly OpenFeed[];
  readonly gate: SharedArrayBuffer;
  readonly control: MessagePort;
  readonly reports: MessagePort;
  readonly links: readonly { readonly thread: string; readonly port: MessagePort }[];
}

function run(start: ThreadStart, world: World): void {
  const { thread, settings } = start;
  const log = openLog(thread, settings);
  const gate = new Gate(start.gate, start.index);
  const links = new Map<string, Link>();
  const reports = Comlink.wrap<TreeReports>(nodeEndpoint(start.reports));
  const batch = new Batch<TreeRequest>((requests) => {
    // Main is gone when this fails, and this thread with it.
    reports.requests(requests).catch(() => undefined);
  }, batchItemCount);
  const report = (request: TreeRequest): void => batch.push(request);
  const host = new ThreadHost({
    thread,
    log,
    post: (envelope) => {
      // Other nodes are reached by way of main.
      const peer = envelope.to.node === undefined ? envelope.to.thread : 'main';
      must(links.get(peer), `link to ${peer}`).post(envelope);
    },
    tree: report,
    gate,
    ports: world.openPorts(settings, gate, log),
    feeds: new FeedPorts(
      (name, feed, life) => openFeedPort(world, { name, feed, life }, { settings, gate, log }),
      start.feeds,
    ),
  });
  const shell = new Shell(host, world.roles, settings.epochMode);
  const link = (peer: string, port: MessagePort): void => {
    links.get(peer)?.close();
    links.set(peer, new Link(port, (envelope) => shell.deliver(envelope)));
  };
  for (const { thread: peer, port } of start.links) link(peer, port);
  const control: ThreadControl = {
    perform: (commands) => {
      for (const command of commands) perform(shell, command, report);
    },
    relink: link,
    openFeed: (feed) => host.openFeed(feed),
    closeFeed: (id) => host.closeFeed(id),
    overview: () => shell.overview(),
    stats: () => ({ refusals: shell.refusals(), counters: Object.fromEntries(host.counters) }),
    close: () => host.close(),
  };
  Comlink.expose(control, nodeEndpoint(start.control));
  watchThread(gate, () => shell.sweep());
  must(parentPort, 'a parent').postMessage('ready');
}

const start = workerData as ThreadStart;
const { world } = (await import(start.worldUrl)) as { readonly world: World };
run(start, world);
