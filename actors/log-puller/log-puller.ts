/**
 * The log puller reads the upstream's log of one changefeed for the dispatcher manager it belongs to: checks the upstream, pulls
 * chunk after chunk while the event service has room, reconnects with back-off after every kind of disconnect.
 *
 *     idle ──OpenSource──▶ checking ──checked──▶ ready ──StartPulling──▶ opening ──▶ pulling ⇄ holding ──end──▶ idle
 *                             ▲                                            ▲            │
 *                             └──────── backing off (check) ◀── failure    └─ backing off (open) ◀── disconnect
 *
 * Promises: chunks reach the event service in log order; after a disconnect the stream goes on after the last resolved
 * position and the event service is told to discard what was incomplete (I-27); a position that is gone is a failure to
 * the manager, never a skip. Assumes: one chunk is answered by one ChunkTaken.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Failure, Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { Position, TimelineSegment } from '#src/model/position.ts';
import type { UpstreamAnswer, UpstreamRequest } from '#src/ports/upstream.ts';
import type { Routing, StartAt } from '#src/model/start-at.ts';
import { portOf } from '#src/ports/port.ts';
import type { ManagerMessage } from '#src/protocol/manager.ts';
import type { Chunk, LogPullerMessage, StartPulling } from '#src/protocol/source.ts';

/** What a log puller is started with. */
export interface LogPullerProps {
  readonly changefeed: string;
  readonly eventService: Ref;
  readonly manager: Ref;
}

/** Private messages: answers of the upstream port and the back-off timer. */
export type LogPullerOwn =
  | {
      readonly kind: 'UpstreamAnswered';
      readonly tag: number;
      readonly outcome: Outcome<UpstreamAnswer>;
    }
  | { readonly kind: 'BackoffDue' };

/** Everything a log puller receives. */
export type LogPullerInbox = LogPullerMessage | LogPullerOwn;

type Phase =
  | { readonly at: 'idle' }
  | { readonly at: 'checking' }
  | { readonly at: 'ready' }
  /** `opening`: the stream is being opened; `pulling`: a Next is under way; `holding`: the event service is full. */
  | { readonly at: 'opening' | 'pulling' }
  | { readonly at: 'holding'; readonly isEnd: boolean }
  | { readonly at: 'backing-off'; readonly resume: 'check' | 'open' };

/** The state of a log puller. */
export interface LogPullerState {
  readonly phase: Phase;
  readonly props: LogPullerProps;
  readonly startAt: StartAt | null;
  readonly pulling: StartPulling | null;
  /** Where a reopened stream begins. */
  readonly resolved: Position | null;
  readonly timeline: readonly TimelineSegment[];
  readonly routing: Routing | null;
  /** Identifies the port call that is current: answers of earlier ones are dropped. */
  readonly call: number;
  /** Failures in a row. */
  readonly failureCount: number;
  readonly troubled: boolean;
}

type S = LogPullerState;

const backoffMsMin = 50;
const backoffMsMax = 5_000;

function init(props: LogPullerProps): Step<S> {
  return [
    {
      phase: { at: 'idle' },
      props,
      startAt: null,
      pulling: null,
      resolved: null,
      timeline: [],
      routing: null,
      call: 0,
      failureCount: 0,
      troubled: false,
    },
    [{ kind: 'Watch', target: props.manager }],
  ];
}

function receive(state: S, message: LogPullerInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'OpenSource':
      return becomeChecking(
        {
          ...state,
          startAt: message.startAt,
          pulling: null,
          failureCount: 0,
        },
        [{ kind: 'DropTimer', key: 'backoff' }],
      );
    case 'StartPulling':
      return becomeOpening(
        {
          ...state,
          pulling: message,
          resolved: message.position,
          timeline: message.timeline,
          routing: message.routing,
        },
        [],
      );
    case 'ChunkTaken':
      return chunkTaken(state, message.routing);
    case 'CloseSource':
      return becomeClosed(state);
    case 'BackoffDue':
      if (state.phase.at !== 'backing-off') return [state, []];
      return state.phase.resume === 'check' ? becomeChecking(state, []) : becomeOpening(state, []);
    case 'UpstreamAnswered':
      if (message.tag !== state.call) return [state, []];
      return message.outcome.ok
        ? answered(state, message.outcome.value)
        : troubled(state, message.outcome.failure, env);
    default:
      return unreachable(message);
  }
}

/** Nothing more is read: as asked, or because the end is reached. */
function becomeClosed(state: S): Step<S> {
  return call({ ...state, phase: { at: 'idle' }, pulling: null }, { kind: 'Close' }, [
    { kind: 'DropTimer', key: 'backoff' },
    toManager(state, { kind: 'UpstreamClosed', resolvedTs: state.resolved?.ts ?? 0 }),
  ]);
}

function becomeChecking(state: S, effects: readonly Effect[]): Step<S> {
  const { startAt } = state;
  if (startAt === null) return [state, effects];
  return call({ ...state, phase: { at: 'checking' } }, { kind: 'Check', startAt }, effects);
}

function becomeOpening(state: S, effects: readonly Effect[]): Step<S> {
  const { resolved, routing, timeline } = state;
  if (resolved === null || routing === null) return [state, effects];
  return call(
    { ...state, phase: { at: 'opening' } },
    { kind: 'Open', position: resolved, timeline, routing, until: state.pulling?.until ?? null },
    effects,
  );
}

function becomePulling(state: S, effects: readonly Effect[]): Step<S> {
  const byteCountMax = state.pulling?.chunkBytes ?? 1 << 20;
  return call({ ...state, phase: { at: 'pulling' } }, { kind: 'Next', byteCountMax }, effects);
}

function chunkTaken(state: S, routing: Routing | null): Step<S> {
  if (state.phase.at !== 'holding') return [routing === null ? state : { ...state, routing }, []];
  if (state.phase.isEnd) return becomeClosed(state);
  if (routing === null) return becomePulling(state, []);
  // The answer to Route leads on to Next.
  return call({ ...state, routing, phase: { at: 'opening' } }, { kind: 'Route', routing }, []);
}

function answered(state: S, answer: UpstreamAnswer): Step<S> {
  switch (answer.kind) {
    case 'Checked': {
      const { kind: _, flavor: _flavor, ...facts } = answer;
      return [
        { ...state, phase: { at: 'ready' }, failureCount: 0, troubled: false },
        [...recovered(state), toManager(state, { kind: 'UpstreamChecked', facts })],
      ];
    }
    case 'Opened':
    case 'Routed':
      return becomePulling({ ...state, troubled: false }, recovered(state));
    case 'Chunk': {
      const { blocks, resolved, commitMs, byteCount, transactionCount } = answer;
      const chunk: Chunk = {
        kind: 'Chunk',
        infos: blocks.map((block) => block.info),
        moved: blocks.map((block) => block.bytes),
        resolved,
        commitMs,
        ddl: answer.ddl ?? null,
        byteCount,
        transactionCount,
      };
      return [
        {
          ...state,
          phase: { at: 'holding', isEnd: answer.isEnd === true },
          resolved,
          failureCount: 0,
        },
        [{ kind: 'Send', to: state.props.eventService, message: chunk }],
      ];
    }
    case 'Closed':
      return [state, []];
    default:
      return unreachable(answer);
  }
}

function recovered(state: S): readonly Effect[] {
  return state.troubled ? [toManager(state, { kind: 'UpstreamTroubled', failure: null })] : [];
}

/**
 * A failed call: recoverable ones back off and try again from the last resolved position. `Resync`: the position must be found
 * anew, which is its maintainer's to ask for.
 */
function troubled(state: S, failure: Failure, env: Env): Step<S> {
  const { at } = state.phase;
  if (failure.retry === 'Never' || failure.retry === 'Resync') {
    return [
      { ...state, phase: { at: 'idle' }, pulling: null },
      [toManager(state, { kind: 'UpstreamFailed', failure })],
    ];
  }
  const resume = at === 'checking' ? 'check' : 'open';
  const failureCount = state.failureCount + 1;
  const ceiling = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(failureCount, 10));
  const afterMs = Math.round(ceiling * (0.5 + env.random() / 2));
  return [
    { ...state, phase: { at: 'backing-off', resume }, failureCount, troubled: true },
    [
      {
        kind: 'Log',
        level: 'warn',
        event: 'upstream-trouble',
        detail: { code: failure.code, message: failure.message, afterMs },
      },
      ...(resume === 'open'
        ? [
            {
              kind: 'Send',
              to: state.props.eventService,
              message: { kind: 'DiscardIncomplete' },
            } as Effect,
          ]
        : []),
      toManager(state, { kind: 'UpstreamTroubled', failure }),
      { kind: 'SetTimer', key: 'backoff', afterMs, message: { kind: 'BackoffDue' } },
    ],
  ];
}

function toManager(state: S, message: ManagerMessage): Effect {
  return { kind: 'Send', to: state.props.manager, message };
}

/** It ends with its manager, or when it is asked to; the connection is closed. */
function signal(state: S, signal: Signal): Step<S> {
  if (signal.kind !== 'StopAsked' && signal.kind !== 'Terminated') return [state, []];
  const [closed, effects] = call({ ...state, phase: { at: 'idle' } }, { kind: 'Close' }, []);
  return [closed, [...effects, { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]];
}

function call(state: S, request: UpstreamRequest, effects: readonly Effect[]): Step<S> {
  const tag = state.call + 1;
  const port = portOf('upstream', state.props.changefeed);
  return [
    { ...state, call: tag },
    [...effects, { kind: 'CallPort', port, request, answer: 'UpstreamAnswered', tag }],
  ];
}

/** See the top of this file. */
export const logPuller: Behaviour<LogPullerState, LogPullerInbox, LogPullerProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    phase: state.phase.at,
    resolvedTs: state.resolved?.ts ?? 0,
    failureCount: state.failureCount,
  }),
};
