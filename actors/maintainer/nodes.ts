/** A maintainer and the nodes: whom it bootstraps, whose managers it has adopted, what they say (spec/01 §1.9). */
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import { isSeldom } from '#src/base/seldom.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import {
  noTotals,
  type FeedBootstrapped,
  type FeedClosed,
  type ManagerAdopted,
  type ManagerHeartbeat,
  type ServedSpan,
  type SpanReport,
} from '#src/protocol/maintainer.ts';
import type { Position } from '#src/model/position.ts';
import { isPart } from '#src/model/span.ts';
import { epochOf, tokenAssignments } from '#src/model/token.ts';
import { mainRef, nodeOf, places } from '#src/protocol/nodes.ts';
import type { OrchestratorMessage } from '#src/protocol/orchestrator.ts';
import {
  answered,
  askAgain,
  due,
  logPassedOver,
  patienceMs,
  setNodes,
} from '../placement/bootstrapper.ts';
import {
  addTotals,
  isLeaving,
  isPlacing,
  toManager,
  type MaintainerState,
  type NodeState,
} from './maintainer-state.ts';
import { becomeClosing } from './saving.ts';

type S = MaintainerState;

/** A manager that is silent for so long is asked for again at its orchestrator. */
const silenceMs = 3_000;
/** A manager that lived so long has lived. */
const managerLifeMs = 15_000;
/** Between two managers of a node that are lost in a row. */
const managerAgainMsMax = 10_000;
/** A span whose dispatcher is lost more often in a row, without progress, fails the feed. */
const lossCountMax = 8;

/** The node view is now `nodes`: what ran on those that are gone is placed again. */
export function viewChanged(state: S, nodes: readonly string[]): void {
  for (const node of state.nodes.keys()) {
    if (nodes.includes(node)) continue;
    managerGone(state, node);
    state.nodes.delete(node);
  }
  for (const node of nodes) if (!state.nodes.has(node)) state.nodes.set(node, newNode(node));
  state.bootstrap = setNodes(state.bootstrap, nodes);
}

function newNode(node: string): NodeState {
  return {
    node,
    manager: null,
    madeAtMs: -Infinity,
    lostCount: 0,
    isAdopted: false,
    isStreaming: false,
    startedAtMs: -Infinity,
    resolved: null,
    hindmost: '',
    held: null,
    isSourceClosed: false,
    isClosed: false,
    heardAtMs: 0,
    totals: noTotals,
  };
}

/** Asks every node that has not answered, and those that have fallen silent. */
export function bootstrapOn(state: S, env: Env): readonly Effect[] {
  const { config, epoch, self } = state.props;
  const effects: Effect[] = [];
  for (const node of state.nodes.values()) {
    const silentMs = env.now() - node.heardAtMs;
    if (!node.isAdopted || silentMs < silenceMs) continue;
    const isAsked = state.bootstrap.nodes.get(node.node)?.answer === null;
    if (!isAsked) state.bootstrap = askAgain(state.bootstrap, node.node);
    if (silentMs >= patienceMs) effects.push(...passOver(state, node, env));
  }
  const [bootstrap, ask] = due(state.bootstrap, env.now());
  state.bootstrap = bootstrap;
  const message: OrchestratorMessage = { kind: 'BootstrapFeed', config, epoch };
  for (const node of ask)
    effects.push({ kind: 'Send', to: mainRef(places.orchestrator, node, self), message });
  return effects;
}

/**
 * A node that keeps its session but has not been heard for so long is gone for this changefeed until it is heard again, so
 * that it holds neither the checkpoint nor a DDL for ever (P7). Harmless for the reasons that {@link gathered} of opening.ts
 * gives. Who has not heard its own node either has stood still itself, and knows nothing of others.
 */
function passOver(state: S, { node }: NodeState, env: Env): readonly Effect[] {
  const { self, config } = state.props;
  const own = state.nodes.get(self);
  const isDeaf = own === undefined || env.now() - own.heardAtMs >= silenceMs;
  if (node === self || isDeaf || !isPlacing(state)) return [];
  managerGone(state, node);
  return logPassedOver([node], config.id);
}

/** What an orchestrator says about our manager there. */
export function bootstrapped(state: S, message: FeedBootstrapped, env: Env): readonly Effect[] {
  const node = state.nodes.get(nodeOf(env.from, state.props.self));
  if (node === undefined || isLeaving(state)) return [];
  switch (message.is) {
    case 'refused': {
      const token = (message.closedEpoch ?? 0) * tokenAssignments;
      const why = failureOf('SINK_FENCED', 'a newer owner has closed this changefeed', {
        detail: { token },
      });
      return becomeClosing(state, 'failed', why);
    }
    case 'retry':
      return node.manager === null ? [] : managerLost(state, node, env);
    case 'ready': {
      const ref = seenFrom(state, node, message.manager);
      if (ref === null) return [];
      if (node.manager !== null && node.manager.incarnation !== ref.incarnation)
        managerGone(state, node.node);
      if (node.manager === null) node.madeAtMs = env.now();
      node.manager = ref;
      return toManager(node, { kind: 'AdoptManager' });
    }
  }
}

/**
 * A manager that was lost once is asked for at once; on a node where it cannot live (a key or a network of its own), later
 * each time, and its operator is told.
 */
function managerLost(state: S, node: NodeState, env: Env): readonly Effect[] {
  const count = env.now() - node.madeAtMs < managerLifeMs ? node.lostCount + 1 : 1;
  managerGone(state, node.node);
  node.lostCount = count;
  const afterMs = count === 1 ? 0 : Math.min(managerAgainMsMax, 50 * 2 ** count);
  state.bootstrap = askAgain(state.bootstrap, node.node, env.now() + afterMs);
  if (count === 1 || !isSeldom(count)) return [];
  const detail = { node: node.node, changefeed: state.props.config.id, inARow: count };
  return [{ kind: 'Log', level: 'warn', event: 'manager-lost', detail }];
}

function seenFrom(state: S, { node }: NodeState, ref: Ref | null): Ref | null {
  if (ref === null || node === state.props.self) return ref;
  return { ...ref, node };
}

/** An orchestrator's answer while we close. */
export function feedClosed(state: S, message: FeedClosed, env: Env): readonly Effect[] {
  const node = state.nodes.get(nodeOf(env.from, state.props.self));
  if (node === undefined || state.phase.at !== 'closing') return [];
  if (message.is === 'closed') {
    node.isClosed = true;
    return [];
  }
  // One that was made anew meanwhile is another.
  if (node.manager?.incarnation === message.manager?.incarnation) return [];
  node.manager = seenFrom(state, node, message.manager);
  return toManager(node, { kind: 'CloseManager' });
}

/** The manager of a node is governed by another: there is nothing of ours left to close (spec/04 E5). */
export function notOwner(state: S, env: Env): void {
  const node = state.nodes.get(nodeOf(env.from, state.props.self));
  if (node !== undefined && state.phase.at === 'closing') node.isClosed = true;
}

/** A manager has taken us on; false when it is not the one we know. */
export function adopted(state: S, message: ManagerAdopted, env: Env): NodeState | null {
  const node = senderOf(state, env);
  if (node === null || isLeaving(state)) return null;
  node.isAdopted = true;
  node.heardAtMs = env.now();
  if (message.source !== null) {
    node.isStreaming = true;
    node.startedAtMs = env.now();
  }
  state.bootstrap = answered(state.bootstrap, node.node, message);
  return node;
}

/** Puts what a manager serves into the table; tells it to stop what is served elsewhere under a higher token. */
export function takeServed(
  state: S,
  node: NodeState,
  message: ManagerAdopted,
  checkpointTs: number,
): readonly Effect[] {
  const effects: Effect[] = [];
  const served = new Set(message.served.map(({ span }) => span));
  for (const row of state.table.on(node.node)) {
    if (row.state === 'replicating' && !served.has(row.span) && !state.operators.holds(row.span))
      state.table.apply({ to: 'absent', span: row.span });
  }
  for (const one of message.served) effects.push(...takeOne(state, node, one));
  for (const span of message.idle) state.table.see(span, checkpointTs);
  return effects;
}

function takeOne(state: S, node: NodeState, served: ServedSpan): readonly Effect[] {
  const { span, token, checkpointTs } = served;
  const row = state.table.get(span);
  if (state.operators.holds(span)) return [];
  // The slots say how its table is divided: a part that is not among them was joined with others.
  const isPast = row === undefined && (isPart(span) || state.table.isDividedOtherwise(span));
  if (isPast) return toManager(node, { kind: 'StopDispatcher', span, token });
  if (row !== undefined && row.token > token)
    return toManager(node, { kind: 'StopDispatcher', span, token });
  const other = row?.node ?? null;
  state.table.adopt(span, node.node, token, checkpointTs);
  if (row === undefined || other === null || other === node.node) return [];
  const rival = state.nodes.get(other);
  return toManager(rival, { kind: 'StopDispatcher', span, token: row.token });
}

/** The manager of a node is gone, or the node: its spans are absent, its words are forgotten. */
export function managerGone(state: S, name: string): void {
  const node = state.nodes.get(name);
  if (node === undefined) return;
  const { self } = state.props;
  state.formerTotals = addTotals(state.formerTotals, node.totals, name === self);
  state.watermarks.forget(name);
  state.operators.nodeLost(name);
  Object.assign(node, { ...newNode(name), isClosed: node.isClosed });
}

/** A manager's heartbeat; the watermark is stored before the reports of the same message are used (spec/01 §1.5 rule 3). */
export function heartbeat(state: S, message: ManagerHeartbeat, env: Env): readonly Effect[] {
  const node = senderOf(state, env);
  if (node === null || !node.isAdopted) return [];
  node.heardAtMs = env.now();
  node.totals = message.totals;
  state.heat.add(message.loads);
  node.isSourceClosed = message.isSourceClosed;
  const { seq, checkpointTs, resolved } = message;
  if (resolved !== null) {
    state.watermarks.take(node.node, { seq, checkpointTs });
    node.resolved = resolved;
    node.hindmost = message.hindmost;
    if (node.node === state.props.self) passed(state, resolved, message.totals.sourceMs);
  }
  const effects: Effect[] = [];
  // Until its answer is in the table, what a manager says of its spans is left for it to say again.
  const isKnown = isPlacing(state) || isLeaving(state);
  const seenTs = state.checkpoint?.ts ?? 0;
  for (const span of message.seen) state.table.see(span, seenTs);
  if (isKnown)
    for (const report of message.spans) effects.push(...spanReported(state, node, report, env));
  if (message.ddl !== null) node.held = message.ddl;
  const { failure } = message;
  // A manager that can be made anew has ended already; a position that must be found anew needs a new beginning of all.
  const isHealed = failure?.retry === 'Again' || failure?.retry === 'Reconnect';
  if (failure !== null && isLeftBehind(state, node, failure))
    effects.push(...toManager(node, { kind: 'CloseManager' }));
  else if (failure !== null && isHealed) state.trouble = failure;
  else if (failure !== null) effects.push(...becomeClosing(state, 'failed', failure));
  else if (node.node === state.props.self) state.sourceTrouble = message.trouble;
  const { beat } = message;
  const isToTake = message.seen.length > 0 || message.spans.length > 0 || message.isClosed;
  if (isToTake && isKnown) effects.push(...toManager(node, { kind: 'HeartbeatTaken', beat }));
  return effects;
}

/** Before the checkpoint moves for the first time, its time is taken for that of what was read first after it. */
function passed(state: S, resolved: Position, sourceMs: number): void {
  state.history.push(resolved, sourceMs);
  if (state.checkpointMs === 0) state.checkpointMs = sourceMs;
}

/**
 * A node that heard nothing for long may stand where the log has gone, while the feed went on without it. Its next manager
 * begins at the checkpoint; if that is gone as well, the feed fails then.
 */
function isLeftBehind({ checkpoint }: S, { resolved }: NodeState, { code }: Failure): boolean {
  if (code !== 'SOURCE_BINLOG_PURGED' || checkpoint === null) return false;
  return resolved !== null && resolved.ts < checkpoint.ts;
}

function spanReported(state: S, node: NodeState, report: SpanReport, env: Env): readonly Effect[] {
  const { span, token, is, checkpointTs, failure } = report;
  const isHeld = state.operators.heard({ span, node: node.node, token, is, checkpointTs });
  const row = state.table.get(span);
  const isOurs = row?.node === node.node && row.token === token;
  if (is === 'working') {
    // What nobody knows of, or knows elsewhere, must not write on (spec/06 self-healing).
    const isOrphan = !isHeld && !isOurs && !isLeaving(state);
    return isOrphan ? toManager(node, { kind: 'StopDispatcher', span, token }) : [];
  }
  if (!isHeld && isOurs && row.state === 'replicating') {
    const at = checkpointTs === null ? {} : { checkpointTs };
    state.table.apply({ to: 'absent', span, ...at });
  }
  // One that was replaced by another under a higher token fails, as it must.
  const isPast = row === undefined || row.token > token;
  if (failure === null || isLeaving(state) || isPast) return [];
  const known = state.losses.get(span);
  // A report is repeated until it is taken: only a new one counts.
  if (known?.token === token) return [];
  const ts = checkpointTs ?? 0;
  const count = known === undefined || ts > known.ts ? 1 : known.count + 1;
  // A node that may not write any more says nothing of the feed: its spans go elsewhere.
  // And one of an earlier epoch, taken on before it had raised its slot, is fenced by what we raised: it gets a new token.
  const isOfPast = failure.code === 'SINK_FENCED' && epochOf(token) < state.props.epoch;
  const isFinal = failure.retry === 'Never' && failure.scope !== 'Node' && !isOfPast;
  if (isFinal || count > lossCountMax) return becomeClosing(state, 'failed', failure);
  const afterMs = Math.min(5_000, 50 * 2 ** count);
  state.losses.set(span, { count, ts, token, notBeforeMs: env.now() + afterMs });
  state.trouble = failure;
  const detail = { span, code: failure.code, message: failure.message, afterMs };
  return [{ kind: 'Log', level: 'warn', event: 'dispatcher-lost', detail }];
}

/** The node whose adopted or awaited manager sent the message being received; null for managers that are past. */
function senderOf(state: S, env: Env): NodeState | null {
  const node = state.nodes.get(nodeOf(env.from, state.props.self));
  if (node?.manager == null) return null;
  const { path, incarnation } = node.manager;
  return env.from.path === path && env.from.incarnation === incarnation ? node : null;
}
