/**
 * The coordinator of a cluster, for one term: gives each changefeed a maintainer under a fresh maintainerEpoch that is
 * persisted before any node hears of it (spec/02 F1), follows how it fares, and does what people ask.
 *
 *     loading (records) ──▶ gathering (what runs on every node) ──▶ running ──deposed, or asked to resign──▶ ended
 *
 * It exists only while its node's elector owns the coordinator key; everything it writes is conditioned on that
 * (FENCE §1.11), and everything it says carries its term. Promises: epochs of a changefeed rise for ever (F2); one
 * operator per changefeed; a stale maintainer stops before another starts (F13); every ask is answered once.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import {
  changefeedPrefix,
  changefeedStatusKey,
  readCoordinationKey,
} from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, KeyValue } from '#src/ports/coordination.ts';
import { readRecord, readStatusRecord } from '#src/protocol/changefeed-record.ts';
import type { ManagerReported } from '#src/protocol/coordinator.ts';
import { nodeOf } from '#src/protocol/nodes.ts';
import { answered, askAgain, collect, due, setNodes } from '../placement/bootstrapper.ts';
import { takeAsk } from './asks.ts';
import { tableAnswered, tableAsksOn } from './table-asks.ts';
import {
  callStore,
  newFeed,
  newState,
  report,
  reportFeed,
  shownStatus,
  toManager,
  type CoordinatorInbox,
  type CoordinatorProps,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';
import { reported } from './feed-course.ts';
import { forgetMissing, nodesLost, place, takeStandings } from './feed-placing.ts';
import { afterWrite } from './after-write.ts';
import {
  answerWrite,
  sendWrite,
  takeStatusAnswer,
  takeWriteAnswer,
  writeLater,
} from './feed-writes.ts';

type S = CoordinatorState;

const tickMs = 100;
/** A manager that is silent for so long is asked again what it runs. */
const silenceMs = 3_000;

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

function load(clusterId: string): Effect {
  return callStore({ kind: 'List', prefix: changefeedPrefix(clusterId) }, 'load');
}

function receive(state: S, message: CoordinatorInbox, env: Env): Step<S> {
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
    case 'LoadDue':
      return [load(state.props.clusterId)];
    case 'TickDue':
      return [
        ...bootstrapOn(state, env),
        ...place(state, env),
        ...tableAsksOn(state, env),
        ...tellChanged(state),
        tick,
      ];
    case 'ReportAnswered':
      return [];
    default:
      return unreachable(message);
  }
}

/** Whatever changed a changefeed's state, it is told. */
function tellChanged(state: S): readonly Effect[] {
  return [...state.feeds.values()]
    .filter((feed) => shownStatus(feed).state !== feed.toldState)
    .map(reportFeed);
}

// ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function viewChanged(state: S, nodes: readonly string[], env: Env): readonly Effect[] {
  const lost = state.nodes.filter((node) => !nodes.includes(node));
  state.nodes = nodes;
  state.bootstrap = setNodes(state.bootstrap, nodes);
  const endings = lost.flatMap((node) => nodesLost(state, node));
  return [...endings, ...bootstrapOn(state, env), ...gathered(state, env), ...place(state, env)];
}

function bootstrapOn(state: S, env: Env): readonly Effect[] {
  if (state.phase === 'loading') return [];
  for (const [node, heardAtMs] of state.heardAtMs) {
    // It speaks every second: a manager that is silent was started anew, or never heard of this term.
    if (env.now() - heardAtMs < silenceMs) continue;
    state.heardAtMs.set(node, env.now());
    state.bootstrap = askAgain(state.bootstrap, node);
  }
  const [bootstrap, ask] = due(state.bootstrap, env.now());
  state.bootstrap = bootstrap;
  return ask.map((node) => toManager(state, node, { kind: 'BootstrapManager' }));
}

function managerReported(state: S, message: ManagerReported, env: Env): readonly Effect[] {
  const node = nodeOf(env.from, state.props.self);
  if (!state.nodes.includes(node)) return [];
  state.heardAtMs.set(node, env.now());
  if (message.drain !== null) state.drainTakenBy.set(node, message.drain.number);
  if (message.isBootstrap) {
    state.bootstrap = answered(state.bootstrap, node, message.reports);
    if (state.phase !== 'running') return gathered(state, env);
  }
  // Before every node has spoken nobody knows what is stale.
  if (state.phase !== 'running') return [];
  if (message.isBootstrap) forgetMissing(state, node, message.reports);
  const effects = message.reports.flatMap((one) => reported(state, node, one, env));
  return [...effects, ...place(state, env)];
}

/** Every node has said what it runs: what is current is kept, what is stale ends (F12). */
function gathered(state: S, env: Env): readonly Effect[] {
  if (state.phase !== 'gathering') return [];
  const [bootstrap, answers] = collect(state.bootstrap);
  state.bootstrap = bootstrap;
  if (answers === null) return [];
  state.phase = 'running';
  const effects: Effect[] = [...takeStandings(state, answers, env)];
  for (const { message, from } of state.waiting.splice(0))
    effects.push(...takeAsk(state, message, { ...env, from }));
  return [...effects, ...place(state, env)];
}

// ── store ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function storeAnswered(
  state: S,
  tag: string,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): readonly Effect[] {
  const [what = '', id = ''] = tag.split(' ');
  if (what === 'load') return loaded(state, outcome, env);
  const feed = state.feeds.get(id);
  if (feed === undefined) return [];
  if (what === 'status') {
    takeStatusAnswer(feed, outcome);
    return [];
  }
  return what === 'write' ? written(state, feed, outcome, env) : [];
}

function loaded(state: S, outcome: Outcome<CoordinationAnswer>, env: Env): readonly Effect[] {
  if (state.phase !== 'loading') return [];
  if (!outcome.ok || outcome.value.kind !== 'Listed')
    return [{ kind: 'SetTimer', key: 'load', afterMs: 500, message: { kind: 'LoadDue' } }];
  const { clusterId } = state.props;
  const statuses = new Map(outcome.value.entries.map((entry) => [entry.key, entry]));
  const effects: Effect[] = [];
  for (const entry of outcome.value.entries) {
    const key = readCoordinationKey(clusterId, entry.key);
    if (key?.kind !== 'changefeed-info') continue;
    const { changefeedId: id } = key;
    const record = entry.value === null ? null : readRecord(entry.value);
    if (record === null) {
      // Of a later version, or not ours: it is left alone.
      effects.push({ kind: 'Log', level: 'error', event: 'changefeed-unreadable', detail: { id } });
      continue;
    }
    const statusKey = changefeedStatusKey(clusterId, id);
    const status = statuses.get(statusKey) ?? absent(statusKey);
    const feed = newFeed(id, record, { info: entry, status }, env.now());
    const stored = status.value === null ? null : readStatusRecord(status.value);
    if (stored !== null) {
      feed.status = { ...feed.status, checkpoint: stored.checkpoint };
      feed.savedTs = stored.checkpoint.ts;
    }
    state.feeds.set(id, feed);
  }
  state.phase = 'gathering';
  return [...effects, ...bootstrapOn(state, env)];
}

function absent(key: string): KeyValue {
  return { key, value: null, revision: 0, createRevision: 0, lease: '' };
}

function written(
  state: S,
  feed: Feed,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): readonly Effect[] {
  const result = takeWriteAnswer(state, feed, outcome);
  if (result === null) return [];
  switch (result.is) {
    case 'deposed':
      return [{ kind: 'Stop', target: 'self', exit: { kind: 'normal' } }];
    case 'again':
      return [writeLater(feed.id)];
    case 'given-up':
      return [
        ...afterWrite(state, feed, result.write, false, env),
        ...answerWrite(result.write, result.failure),
        ...sendWrite(state, feed.id),
      ];
    case 'committed': {
      const isGone = result.write.change.isDeleted === true;
      if (isGone) state.feeds.delete(feed.id);
      return [
        ...afterWrite(state, feed, result.write, true, env),
        ...answerWrite(result.write, null),
        isGone ? report({ ...shownStatus(feed), state: 'removed' }) : reportFeed(feed),
        ...sendWrite(state, feed.id),
        ...place(state, env),
      ];
    }
    default:
      return unreachable(result);
  }
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
    changefeeds: [...state.feeds.values()].map(({ id, record, node }) => ({
      id,
      state: record.state,
      epoch: record.epoch,
      node,
      operator: state.operators.get(id)?.kind ?? null,
    })),
  }),
};
