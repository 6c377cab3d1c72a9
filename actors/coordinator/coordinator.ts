/**
 * The coordinator of a cluster, for one term: gives each changefeed a maintainer under a fresh maintainerEpoch that is
 * persisted before any node hears of it (spec/02 F1), follows how it fares, and does what people ask.
 *
 *     loading (records) ──▶ gathering (what runs on every node) ──▶ running ──deposed, or asked to resign──▶ ended
 *                                └── 10 s: without those that are silent ──▲
 *
 * It exists only while its node's elector owns the coordinator key; everything it writes is conditioned on that
 * (FENCE §1.11), and everything it says carries its term. Promises: epochs of a changefeed rise for ever (F2); one
 * operator per changefeed; a stale maintainer stops before another starts (F13); every ask is answered once.
 */
import { unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import {
  changefeedInfoKey,
  changefeedListPrefix,
  changefeedStatusKey,
  readCoordinationKey,
} from '#src/model/coordination-key.ts';
import { absentKey, type CoordinationAnswer } from '#src/ports/coordination.ts';
import { readRecord } from '#src/protocol/changefeed-record.ts';
import type { DrainTarget, ManagerReported } from '#src/protocol/coordinator.ts';
import { nodeOf } from '#src/protocol/nodes.ts';
import {
  answered,
  askAgain,
  collect,
  due,
  logPassedOver,
  patienceMs,
  setNodes,
  silentNodes,
} from '../placement/bootstrapper.ts';
import { refuseWaiting, takeAsk } from './asks.ts';
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
import {
  aliveMs,
  forgetMissing,
  nodesLost,
  place,
  takeLate,
  takeStandings,
} from './feed-placing.ts';
import { afterWrite } from './after-write.ts';
import { saveStatus, takeStatusAnswer, takeStored } from './feed-status.ts';
import {
  answerWrite,
  dropWrites,
  isWriting,
  sendWrite,
  takeEntry,
  takeWriteAnswer,
  writeLater,
  type FeedWrite,
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
  return callStore({ kind: 'List', prefix: changefeedListPrefix(clusterId) }, 'load');
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

// ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function viewChanged(state: S, nodes: readonly string[], env: Env): readonly Effect[] {
  const lost = state.nodes.filter((node) => !nodes.includes(node));
  state.nodes = nodes;
  endDrain(state);
  state.bootstrap = setNodes(state.bootstrap, nodes);
  const endings = lost.flatMap((node) => nodesLost(state, node));
  return [...endings, ...bootstrapOn(state, env), ...gathered(state, env), ...place(state, env)];
}

function bootstrapOn(state: S, env: Env): readonly Effect[] {
  if (state.phase === 'loading') return [];
  const effects: Effect[] = [];
  for (const [node, heardAtMs] of state.heardAtMs) {
    const silentMs = env.now() - heardAtMs;
    // It speaks every second: a manager that is silent was started anew, or never heard of this term.
    const isAsked = state.bootstrap.nodes.get(node)?.answer === null;
    if (!isAsked && silentMs >= silenceMs) state.bootstrap = askAgain(state.bootstrap, node);
    if (silentMs >= aliveMs) effects.push(...passOver(state, node, env));
  }
  const [bootstrap, ask] = due(state.bootstrap, env.now());
  state.bootstrap = bootstrap;
  effects.push(...ask.map((node) => toManager(state, node, { kind: 'BootstrapManager' })));
  return effects;
}

/**
 * A node that keeps its session but has not been heard for so long: what it runs is placed elsewhere, as {@link gathered}
 * does it and says why that is harmless. Who has not heard its own node either has stood still itself.
 */
function passOver(state: S, node: string, env: Env): readonly Effect[] {
  const { self } = state.props;
  const isDeaf = env.now() - (state.heardAtMs.get(self) ?? -Infinity) >= silenceMs;
  if (node === self || isDeaf || state.phase !== 'running') return [];
  return [...logPassedOver([node], 'coordinator', aliveMs), ...nodesLost(state, node)];
}

function managerReported(state: S, message: ManagerReported, env: Env): readonly Effect[] {
  const node = nodeOf(env.from, state.props.self);
  if (!state.nodes.includes(node)) return [];
  const life = env.from.incarnation;
  const known = state.managerLives.get(node);
  if (known !== undefined && life < known) return [];
  state.heardAtMs.set(node, env.now());
  takeDrain(state, node, message.drain);
  const lost: Effect[] = [];
  if (message.isBootstrap) {
    state.managerLives.set(node, life);
    state.bootstrap = answered(state.bootstrap, node, message.reports);
    if (state.phase !== 'running') return gathered(state, env);
    // Only what another life of the manager was given is missing; an Add may be on its way to this one.
    if (known === undefined) takeLate(state, node, message.reports);
    else if (life !== known) lost.push(...forgetMissing(state, node, message.reports));
  } else if (life !== known) state.bootstrap = askAgain(state.bootstrap, node);
  // Before every node has spoken nobody knows what is stale.
  if (state.phase !== 'running') return [];
  const effects = message.reports.flatMap((one) => reported(state, node, one, env));
  return [...lost, ...effects, ...place(state, env)];
}

/** A drain outlives the coordinator that began it: the nodes know. */
function takeDrain(state: S, node: string, drain: DrainTarget | null): void {
  if (drain === null) return;
  state.drainTakenBy.set(node, drain.number);
  if (drain.number > state.drain.number) state.drain = drain;
}

/** A node that was drained and has left is not drained any more: the others are evened out again. */
function endDrain(state: S): void {
  const { number, node } = state.drain;
  if (node === null || state.nodes.includes(node)) return;
  state.drain = { number: number + 1, node: null };
  state.drainSentAtMs = -Infinity;
}

/**
 * Every node has said what it runs: what is current is kept, what is stale ends (F12).
 *
 * A node that keeps its session, but is not heard of within `patienceMs`, is passed over (P7): what it may run is placed
 * elsewhere, and nothing new there. Its maintainer lives on for a while, and none the less no changefeed has two that can
 * write: the next one's epoch is above the old one's before any node hears of it (F1, F2); it raises the feed's slot
 * before anything else, so that the old one's saves and DDLs are refused downstream and it ends; managers that it has
 * adopted take no word of a lower epoch; and what the unheard node's own dispatchers still write, under tokens of the old
 * epoch, is in order until their slots are raised, and refused from then on (FENCE §1). So this costs a takeover of what may
 * have been well, never a stale write. When the node is heard, {@link takeLate} and `reported` take what it says.
 */
function gathered(state: S, env: Env): readonly Effect[] {
  if (state.phase !== 'gathering') return [];
  const isOver = env.now() - state.gatheringAtMs >= patienceMs;
  const silent = silentNodes(state.bootstrap);
  const [bootstrap, answers] = collect(state.bootstrap, isOver);
  state.bootstrap = bootstrap;
  if (answers === null) return [];
  state.phase = 'running';
  endDrain(state);
  const effects: Effect[] = [...logPassedOver(silent, 'coordinator')];
  effects.push(...takeStandings(state, answers, env));
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
  if (what === 'status') return takeStatusAnswer(state, feed, outcome) ? [] : [deposed];
  if (what === 'read') return readAnswered(state, feed, outcome, env);
  return what === 'write' ? written(state, feed, outcome, env) : [];
}

/** Another is coordinator. */
const deposed: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'normal' } };

/** After a write whose outcome nobody knows: what is stored counts. */
function readAgain(state: S, id: string): readonly Effect[] {
  const key = changefeedInfoKey(state.props.clusterId, id);
  return state.feeds.has(id) ? [callStore({ kind: 'Get', key }, `read ${id}`)] : [];
}

function readAnswered(
  state: S,
  feed: Feed,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): readonly Effect[] {
  if (!outcome.ok || outcome.value.kind !== 'Got') {
    const message = { kind: 'ReadDue', id: feed.id } as const;
    return [{ kind: 'SetTimer', key: `read ${feed.id}`, afterMs: 500, message }];
  }
  const { entry } = outcome.value;
  // A write that was answered meanwhile is newer.
  if (entry.revision < feed.entry.revision) return [];
  const isThere = entry.value !== null && (takeEntry(feed, entry) || feed.entry.value !== null);
  if (isThere) return place(state, env);
  return isWriting(state, feed.id) ? [] : forget(state, feed);
}

/** Its record is gone: what still runs is unknown from here on, and is removed (F11). */
function forget(state: S, feed: Feed): readonly Effect[] {
  state.feeds.delete(feed.id);
  state.operators.release(feed.id);
  state.operators.taskRemoved(feed.id);
  return [...dropWrites(state, feed.id), report({ ...shownStatus(feed), state: 'removed' })];
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
    if (key?.kind === 'changefeed-epoch') state.epochEntry = entry;
    if (key?.kind !== 'changefeed-info') continue;
    const { changefeedId: id } = key;
    const record = entry.value === null ? null : readRecord(entry.value);
    if (record === null || record.config.id !== id) {
      // Of a later version, or not ours: it is left alone.
      effects.push({ kind: 'Log', level: 'error', event: 'changefeed-unreadable', detail: { id } });
      continue;
    }
    const statusKey = changefeedStatusKey(clusterId, id);
    const status = statuses.get(statusKey) ?? absentKey(statusKey);
    const feed = newFeed(id, record, { info: entry, status }, env.now());
    takeStored(feed, status);
    state.feeds.set(id, feed);
  }
  state.phase = 'gathering';
  state.gatheringAtMs = env.now();
  return [...effects, ...bootstrapOn(state, env)];
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
      return [deposed];
    case 'vanished':
      return forget(state, feed);
    case 'again':
      return [writeLater(feed.id)];
    case 'given-up':
      return [
        ...afterWrite(state, feed, result.write, false, env),
        ...answerWrite(result.write, result.failure),
        ...sendWrite(state, feed.id),
        ...readAgain(state, feed.id),
      ];
    case 'committed': {
      if (result.write.change.isDeleted === true)
        return [...forget(state, feed), ...answerWrite(result.write, null)];
      return [
        ...afterWrite(state, feed, result.write, true, env),
        ...answerWrite(result.write, unmade(feed, result.write)),
        reportFeed(feed),
        ...sendWrite(state, feed.id),
        ...place(state, env),
      ];
    }
    default:
      return unreachable(result);
  }
}

/** A removal that came first keeps a changefeed as it is. */
function unmade({ id, record }: Feed, { change }: FeedWrite): Failure | null {
  if (change.state === undefined || change.state === record.state) return null;
  return failureOf('CHANGEFEED_STATE', `the changefeed ${id} is ${record.state}`);
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
      operator: state.operators.get(id)?.kind ?? null,
    })),
  }),
};
