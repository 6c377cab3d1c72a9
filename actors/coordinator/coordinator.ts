/**
 * The coordinator gives each changefeed a maintainer under a fresh maintainerEpoch, persisted before the maintainer is
 * started (spec/02 F1), starts it again with back-off when it fails, and reports every status to the process around it.
 *
 *     minting ──epoch persisted──▶ running ──failed, may recover──▶ waiting ──▶ minting
 *                                     └──finished, stopped, failed for good──▶ over
 *
 * Promises: no two maintainers of one feed at once (the next starts after the former is seen ended); epochs rise.
 * Backing off starts at 100 ms and doubles to 10 s; progress resets it. A feed without progress for its
 * `stuckAfterMs` is `failed`.
 */
import { assert, unreachable } from '#src/base/assert.ts';
import type { Failure, Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { changefeedEpochKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, CoordinationRequest, KeyValue } from '#src/ports/coordination.ts';
import { unchanged } from '#src/ports/ownership.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import { blankStatus } from '#src/protocol/changefeed.ts';
import type {
  ChangefeedConfig,
  ChangefeedState,
  ChangefeedStatus,
} from '#src/protocol/changefeed.ts';
import type { CoordinatorMessage } from '#src/protocol/coordinator.ts';
import type { MaintainerMessage } from '#src/protocol/maintainer.ts';
import type { MaintainerProps } from '../maintainer/maintainer.ts';

/** What the coordinator is started with. */
export interface CoordinatorProps {
  readonly clusterId: string;
  readonly logPuller: Ref;
  readonly eventService: Ref;
  readonly workThreads: readonly string[];
}

/** Private messages. */
export type CoordinatorOwn =
  | {
      readonly kind: 'CoordinationAnswered';
      readonly tag: string;
      readonly outcome: Outcome<CoordinationAnswer>;
    }
  | { readonly kind: 'ReportAnswered' }
  | { readonly kind: 'BackoffDue'; readonly id: string };

/** Everything the coordinator receives. */
export type CoordinatorInbox = CoordinatorMessage | CoordinatorOwn;

interface Feed {
  readonly config: ChangefeedConfig;
  readonly phase: 'minting' | 'running' | 'waiting' | 'over';
  readonly epoch: number;
  /** The epoch must be above this: what the downstream's slot showed. */
  readonly epochMin: number;
  readonly maintainer: Ref | null;
  readonly status: ChangefeedStatus | null;
  readonly failureCount: number;
  /** Monotonic time and checkpoint of the last progress. */
  readonly progressAtMs: number;
  readonly progressTs: number;
  readonly isStopping: boolean;
}

/** The state. */
export interface CoordinatorState {
  readonly props: CoordinatorProps;
  readonly feeds: ReadonlyMap<string, Feed>;
}

type S = CoordinatorState;

const backoffMsMin = 100;
const backoffMsMax = 10_000;
const tokenAssignments = 2 ** 20;

function init(props: CoordinatorProps): Step<S> {
  return [{ props, feeds: new Map() }, []];
}

function receive(state: S, message: CoordinatorInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'StartChangefeed':
      return startFeed(state, message.config, env);
    case 'StopChangefeed':
      return stopFeed(state, message.id);
    case 'MaintainerHeartbeat':
      return heartbeat(state, message.status, env);
    case 'CoordinationAnswered':
      return coordinationAnswered(state, message.tag, message.outcome, env);
    case 'BackoffDue': {
      const feed = state.feeds.get(message.id);
      return feed?.phase === 'waiting' ? mint(state, feed) : [state, []];
    }
    case 'ReportAnswered':
      return [state, []];
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  switch (signal.kind) {
    case 'ChildStarted': {
      const feed = feedOf(state, signal.ref.path);
      if (feed === undefined) return [state, []];
      const started = update(state, { ...feed, maintainer: signal.ref });
      const stop: Effect = { kind: 'Send', to: signal.ref, message: stopMaintainer };
      return [started, [{ kind: 'Watch', target: signal.ref }, ...(feed.isStopping ? [stop] : [])]];
    }
    case 'ChildRefused': {
      const feed = [...state.feeds.values()].find((one) => maintainerId(one) === signal.id);
      if (feed === undefined || feed.phase !== 'running') return [state, []];
      return ended(state, feed, exitText(signal.exit), env);
    }
    case 'Terminated': {
      const feed = feedOf(state, signal.ref.path);
      if (feed === undefined || feed.phase !== 'running') return [state, []];
      return ended(state, feed, exitText(signal.exit), env);
    }
    case 'StopAsked': {
      // Feeds end with their maintainers, which the tree stops by themselves.
      return [state, [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]];
    }
  }
}

const stopMaintainer: MaintainerMessage = { kind: 'StopMaintainer' };

function startFeed(state: S, config: ChangefeedConfig, env: Env): Step<S> {
  const known = state.feeds.get(config.id);
  if (known !== undefined && known.phase !== 'over') {
    return [
      state,
      [{ kind: 'Log', level: 'warn', event: 'changefeed-exists', detail: { id: config.id } }],
    ];
  }
  return mint(state, {
    config,
    phase: 'minting',
    epoch: 0,
    epochMin: 0,
    maintainer: null,
    status: null,
    failureCount: 0,
    progressAtMs: env.now(),
    progressTs: -1,
    isStopping: false,
  });
}

function stopFeed(state: S, id: string): Step<S> {
  const feed = state.feeds.get(id);
  if (feed === undefined || feed.phase === 'over') return [state, []];
  const stopping: Feed = { ...feed, isStopping: true };
  if (feed.phase === 'waiting') return over(state, stopping, 'stopped', null);
  return [
    update(state, stopping),
    feed.maintainer === null
      ? []
      : [{ kind: 'Send', to: feed.maintainer, message: stopMaintainer }],
  ];
}

// ── epoch ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Reads the epoch; `coordinationAnswered` puts the next by compare-and-swap, and again from the start when it lost. */
function mint(state: S, feed: Feed): Step<S> {
  return [
    update(state, { ...feed, phase: 'minting', maintainer: null }),
    [callCoordination(feed.config.id, { kind: 'Get', key: epochKey(state, feed) })],
  ];
}

function coordinationAnswered(
  state: S,
  id: string,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): Step<S> {
  const feed = state.feeds.get(id);
  if (feed === undefined || feed.phase !== 'minting') return [state, []];
  if (!outcome.ok) return backOff(state, feed, outcome.failure, env);
  const answer = outcome.value;
  const entry = answer.kind === 'Transacted' ? answer.entries[0] : answerEntry(answer);
  assert(entry !== undefined, 'an answer to a read or a transaction');
  const current = Number(entry.value ?? '0');
  if (answer.kind === 'Transacted' && answer.succeeded)
    return startMaintainer(state, { ...feed, epoch: current }, env);
  // Also above its own last one: a store restored from a backup has forgotten that (I-6).
  const epoch = Math.max(current, feed.epochMin, feed.epoch) + 1;
  const { key } = entry;
  return [
    state,
    [
      callCoordination(id, {
        kind: 'Transact',
        compares: [unchanged(entry)],
        puts: [{ key, value: String(epoch) }],
      }),
    ],
  ];
}

function answerEntry(answer: CoordinationAnswer): KeyValue | undefined {
  return answer.kind === 'Got' ? answer.entry : undefined;
}

function startMaintainer(state: S, feed: Feed, env: Env): Step<S> {
  const { props } = state;
  const maintainerProps: MaintainerProps = {
    config: feed.config,
    epoch: feed.epoch,
    coordinator: env.self,
    logPuller: props.logPuller,
    eventService: props.eventService,
  };
  const thread = props.workThreads[0];
  assert(thread !== undefined, 'a work thread');
  return [
    update(state, { ...feed, phase: 'running' }),
    [
      {
        kind: 'Spawn',
        team: 'capture/control/maintainers',
        id: maintainerId(feed),
        role: 'maintainer',
        props: maintainerProps,
        thread,
        epoch: feed.epoch,
        owner: env.self.path,
      },
    ],
  ];
}

// ── running and ending ──────────────────────────────────────────────────────────────────────────────────────────────

function heartbeat(state: S, status: ChangefeedStatus, env: Env): Step<S> {
  const feed = state.feeds.get(status.id);
  // A late word of a maintainer that is not current any more changes nothing.
  if (feed === undefined || feed.phase !== 'running' || env.from.path !== maintainerPath(feed))
    return [state, []];
  const ts = status.checkpoint?.ts ?? -1;
  const progressed =
    ts > feed.progressTs || (status.state === 'normal' && ts === status.resolvedTs);
  const next = update(state, {
    ...feed,
    status,
    ...(progressed ? { progressTs: ts, progressAtMs: env.now(), failureCount: 0 } : {}),
  });
  // The last word is reported when the maintainer is gone, together with what follows from it.
  if (!isLastWord(status.state)) return [next, [report(status)]];
  return [next, [{ kind: 'Stop', target: env.from, exit: { kind: 'normal' } }]];
}

function isLastWord(state: ChangefeedState): boolean {
  return state === 'failed' || state === 'finished' || state === 'stopped';
}

function ended(state: S, feed: Feed, why: string, env: Env): Step<S> {
  const { status } = feed;
  if (status !== null && (status.state === 'finished' || status.state === 'stopped')) {
    return over(state, feed, status.state, null);
  }
  const failure: Failure =
    status?.state === 'failed' && status.failure !== null
      ? status.failure
      : {
          code: 'INTERNAL_FAULT',
          retry: 'Again',
          scope: 'Feed',
          message: `the maintainer ended: ${why}`,
        };
  const shown = failure.detail?.['token'];
  if (failure.code === 'SINK_FENCED' && typeof shown === 'number' && feed.progressTs < 0) {
    // An earlier owner wrote with a higher epoch than this store knows (a new data directory, a restored backup).
    return mint(state, { ...feed, epochMin: Math.floor(shown / tokenAssignments) });
  }
  return backOff(state, feed, failure, env);
}

function backOff(state: S, feed: Feed, failure: Failure, env: Env): Step<S> {
  const stuck = env.now() - feed.progressAtMs > feed.config.stuckAfterMs;
  if (failure.retry === 'Never' || stuck) return over(state, feed, 'failed', failure);
  if (feed.isStopping) return over(state, feed, 'stopped', null);
  const failureCount = feed.failureCount + 1;
  const ceiling = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(failureCount, 16));
  const afterMs = Math.round(ceiling * (0.9 + env.random() * 0.1));
  const message: CoordinatorOwn = { kind: 'BackoffDue', id: feed.config.id };
  const waiting: Feed = { ...feed, phase: 'waiting', failureCount, maintainer: null };
  const detail = { id: feed.config.id, code: failure.code, message: failure.message, afterMs };
  return [
    update(state, waiting),
    [
      { kind: 'Log', level: 'warn', event: 'changefeed-warning', detail },
      report(statusOf(waiting, 'warning', failure)),
      { kind: 'SetTimer', key: `backoff ${feed.config.id}`, afterMs, message },
    ],
  ];
}

function over(state: S, feed: Feed, as: ChangefeedState, failure: Failure | null): Step<S> {
  const next: Feed = { ...feed, phase: 'over', maintainer: null };
  return [update(state, next), [report(statusOf(next, as, failure))]];
}

function statusOf(feed: Feed, as: ChangefeedState, failure: Failure | null): ChangefeedStatus {
  return { ...blankStatus(feed.config.id), ...feed.status, state: as, stage: feed.phase, failure };
}

// ── addressing ──────────────────────────────────────────────────────────────────────────────────────────────────────

function update(state: S, feed: Feed): S {
  return { ...state, feeds: new Map(state.feeds).set(feed.config.id, feed) };
}

function maintainerId(feed: Feed): string {
  return `maintainer:${feed.config.id}:${feed.epoch}`;
}

function maintainerPath(feed: Feed): string {
  return `capture/control/maintainers/${maintainerId(feed)}`;
}

function feedOf(state: S, path: string): Feed | undefined {
  return [...state.feeds.values()].find((feed) => maintainerPath(feed) === path);
}

function epochKey(state: S, feed: Feed): string {
  return changefeedEpochKey(state.props.clusterId, feed.config.id);
}

function callCoordination(id: string, request: CoordinationRequest): Effect {
  return {
    kind: 'CallPort',
    port: 'coordination',
    request,
    answer: 'CoordinationAnswered',
    tag: id,
  };
}

function report(status: ChangefeedStatus): Effect {
  const request: ReportRequest<ChangefeedStatus> = { kind: 'Status', status };
  return { kind: 'CallPort', port: 'report', request, answer: 'ReportAnswered' };
}

/** See the top of this file. */
export const coordinator: Behaviour<CoordinatorState, CoordinatorInbox, CoordinatorProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    changefeeds: [...state.feeds.values()].map((feed) => ({
      id: feed.config.id,
      phase: feed.phase,
      epoch: feed.epoch,
    })),
  }),
};
