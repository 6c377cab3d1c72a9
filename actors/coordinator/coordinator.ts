/**
 * The coordinator of a cluster, for one term: gives each changefeed a maintainer under a fresh maintainerEpoch that is
 * persisted before any node hears of it (spec/02 F1), follows how it fares, and does what people ask.
 *
 *     loading (records) ──▶ gathering (what runs on every node) ──▶ running ──deposed, or asked to resign──▶ ended
 *                                └── 10 s: without those that are silent ──▲      (another leads when most are)
 *
 * It exists only while its node's elector owns the coordinator key; everything it writes is conditioned on that
 * (FENCE §1.11), and everything it says carries its term. Promises: epochs of a changefeed rise for ever (F2); one
 * operator per changefeed; a stale maintainer stops before another starts (F13); every ask is answered once.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import { refuseWaiting, takeAsk } from './asks.ts';
import {
  newState,
  reportFeed,
  shownStatus,
  type CoordinatorInbox,
  type CoordinatorProps,
  type CoordinatorState,
} from './coordinator-state.ts';
import { place } from './feed-placing.ts';
import { saveStatus } from './feed-status.ts';
import { sendWrite } from './feed-writes.ts';
import { bootstrapOn, gathered, managerReported, viewChanged } from './nodes.ts';
import { load, readAgain, storeAnswered } from './store.ts';
import { tableAnswered, tableAsksOn } from './table-asks.ts';

type S = CoordinatorState;

const tickMs = 100;

function init(props: CoordinatorProps, env: Env): Step<S> {
  const watch: Effect = { kind: 'Watch', target: props.elector };
  return [newState(props, env), [watch, tick, load(props.clusterId)]];
}

const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: tickMs,
  message: { kind: 'TickDue' },
};

function receive(state: S, message: CoordinatorInbox, env: Env): Step<S> {
  state.nowMs = env.now();
  return [state, effectsOf(state, message, env)];
}

/** It ends with its elector, and when it is asked to: its term is over. */
function signal(state: S, signal: Signal): Step<S> {
  const isOver = signal.kind === 'StopAsked' || signal.kind === 'Terminated';
  return [state, isOver ? [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }] : []];
}

function effectsOf(state: S, message: CoordinatorInbox, env: Env): readonly Effect[] {
  switch (message.kind) {
    case 'NodesChanged':
      state.members = message.members;
      return viewChanged(state, message.nodes, env);
    case 'ManagerReported':
      return managerReported(state, message, env);
    case 'TableAnswered':
      return tableAnswered(state, message);
    case 'Ask':
      return [...takeAsk(state, message, env), ...place(state, env)];
    case 'CoordinationAnswered':
      return storeAnswered(state, message.tag, message.outcome, env);
    case 'WriteDue':
      return sendWrite(state, message.id);
    case 'ReadDue':
      return readAgain(state, message.id);
    case 'LoadDue':
      return [load(state.props.clusterId)];
    case 'TickDue':
      return [
        ...bootstrapOn(state, env),
        ...gathered(state, env),
        ...refuseWaiting(state, env),
        ...place(state, env),
        ...tableAsksOn(state, env),
        ...saveOn(state, env),
        ...tellChanged(state),
        tick,
      ];
    case 'ReportAnswered':
      return [];
    default:
      return unreachable(message);
  }
}

/** Checkpoints that came too soon after the one stored last. */
function saveOn(state: S, env: Env): readonly Effect[] {
  if (state.phase !== 'running') return [];
  return [...state.feeds.values()].flatMap((feed) => saveStatus(state, feed, env));
}

/** Whatever changed a changefeed's state, it is told. */
function tellChanged(state: S): readonly Effect[] {
  return [...state.feeds.values()]
    .filter((feed) => shownStatus(feed).state !== feed.toldState)
    .map(reportFeed);
}

/** See the top of this file. */
export const coordinator: Behaviour<CoordinatorState, CoordinatorInbox, CoordinatorProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    phase: state.phase,
    term: state.props.ownership.revision,
    nodes: state.nodes,
    drain: state.drain.node,
    changefeeds: [...state.feeds.values()].map(({ id, record, placed }) => ({
      id,
      state: record.state,
      epoch: record.epoch,
      node: placed?.node ?? null,
      maintainerEpoch: placed?.epoch ?? null,
      operator: state.operators.get(id)?.kind ?? null,
    })),
  }),
};
