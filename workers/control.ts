/** How the main thread drives a worker thread (comlink, on a port of its own), and what the thread reports back. */
import { messageOf } from '#src/base/failure.ts';
import type { MessagePort } from 'node:worker_threads';
import type { CellStart, TreeRequest } from '#src/kernel/host.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { CellOverview, Shell } from '#src/kernel/shell.ts';
import type { OpenFeed } from './feed-ports.ts';

/** What the supervision tree asks of a thread; nothing of it answers, the thread reports. */
export type ThreadCommand =
  | { readonly kind: 'Start'; readonly start: CellStart }
  | { readonly kind: 'Stop'; readonly ref: Ref }
  | { readonly kind: 'Kill'; readonly ref: Ref }
  | { readonly kind: 'Signal'; readonly to: Ref; readonly signal: Signal };

/** What main asks of a thread. */
export interface ThreadControl {
  /** Commands of main, in order: those of one tick are one message, or few (`batch.ts`). */
  perform(commands: readonly ThreadCommand[]): void;
  /** Replaces the link to a thread that was started again; what stood in the former one is lost. */
  relink(thread: string, port: MessagePort): void;
  /** See {@link ThreadHost.openFeed}; holds credentials. */
  openFeed(feed: OpenFeed): Promise<void>;
  closeFeed(id: string): Promise<void>;
  overview(): readonly CellOverview[];
  stats(): ThreadStats;
  /** Closes the thread's ports. */
  close(): Promise<void>;
}

/** Counters of a thread. */
export interface ThreadStats {
  readonly refusals: Readonly<Record<string, number>>;
  readonly counters: Readonly<Record<string, number>>;
}

/** What a thread reports to main. */
export interface TreeReports {
  /** Requests of the thread, in order: those of one tick are one message, or few. */
  requests(requests: readonly TreeRequest[]): void;
}

/** Performs one command on a shell. A start that is impossible is the exit of that cell, and nobody else's trouble. */
export function perform(
  shell: Shell,
  command: ThreadCommand,
  report: (request: TreeRequest) => void,
): void {
  switch (command.kind) {
    case 'Start':
      try {
        return shell.start(command.start);
      } catch (error) {
        const { ref } = command.start;
        const message = messageOf(error);
        return report({ kind: 'Exited', ref, exit: { kind: 'fault', message, stack: '' } });
      }
    case 'Stop':
      return shell.stop(command.ref);
    case 'Kill':
      return shell.kill(command.ref);
    case 'Signal':
      return shell.signal(command.to, command.signal);
  }
}
