/**
 * The maintainer of one changefeed, under one maintainerEpoch: takes over the feed's slot, adopts what runs on every node,
 * gives each span a dispatcher with a fresh token, computes the checkpoint, and leads the feed through each DDL.
 *
 *     opening ─▶ raising ─▶ gathering ─▶ (checking ─▶) grouping ─▶ running ⇄ barrier (draining → saving → ddl → grouping)
 *        │          │           │             │            │          ├──▶ stopping (what was read is applied) ──┐
 *        └──────────┴───────────┴── failed ───┴────────────┴──────────┴──▶ closing (all managers) ◀─────────────┘
 *                                                              hand-off ▶ finishing (last checkpoint) ▶ ended
 *
 * Promises: the checkpoint never passes a change that is not committed downstream (P2); tokens rise with every
 * assignment (I-7); a DDL runs when everything before it is applied and nothing after it has been read on any node; before
 * it runs, the checkpoint before it is saved, so a restart meets it again and finds its done row. Once quiet (spec/06) it
 * schedules nothing more.
 * Assumes: messages of one sender come in order; its own node's stream reports a span before it resolves its events.
 */
import { assert, unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { Checkpoint } from '#src/model/position.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { RemoveThis } from '#src/protocol/maintainer.ts';
import type { ManagerMessage } from '#src/protocol/manager.ts';
import { collect } from '../placement/bootstrapper.ts';
import { barrierOn, barrierOver, ddlDone, readGroups } from './barrier.ts';
import { checkpointTs } from './checkpoint.ts';
import {
  callSink,
  feedSlot,
  isLeaving,
  isPlacing,
  newState,
  toManager,
  toManagers,
  type MaintainerInbox,
  type MaintainerProps,
  type MaintainerState,
  type SinkCall,
} from './maintainer-state.ts';
import {
  adopted,
  bootstrapOn,
  bootstrapped,
  feedClosed,
  heartbeat,
  notOwner,
  takeServed,
  viewChanged,
} from './nodes.ts';
import { place, rearrange, relocate } from './placing.ts';
import { reportOf, stageOf, stateOf } from './report.ts';
import {
  becomeClosing,
  becomeFinishing,
  becomeStopping,
  closeOn,
  end,
  save,
  saved,
  stopSelf,
} from './saving.ts';

type S = MaintainerState;

const tickMs = 50;
/** The checkpoint in the feed's slot is written at most this often; a restart reads again what came after it. */
const saveEveryMs = 500;

function init(props: MaintainerProps, env: Env): Step<S> {
  const state = newState(props, env);
  viewChanged(state, props.nodes);
  // A manager that starts anew knows of no maintainer: this one would go on beside the next.
  const watch: Effect = { kind: 'Watch', target: props.manager };
  if (props.isRemovalOnly) return [state, [watch, tick, ...becomeClosing(state, 'stopped', null)]];
  return [
    state,
    [watch, tick, callSink(state, { kind: 'Open', changefeed: props.config.id }, 'open')],
  ];
}

const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: tickMs,
  message: { kind: 'TickDue' },
};

function receive(state: S, message: MaintainerInbox, env: Env): Step<S> {
  if (message.kind === 'EndDue') return [state, [stopSelf]];
  if (state.phase.at === 'ended') return [state, []];
  return [state, effectsOf(state, message, env)];
}

function effectsOf(state: S, message: MaintainerInbox, env: Env): readonly Effect[] {
  switch (message.kind) {
    case 'SinkAnswered':
      return sinkAnswered(state, message.tag, message.outcome, env);
    case 'NodesChanged':
      viewChanged(state, message.nodes);
      return [...bootstrapOn(state, env), ...gathered(state, env), ...closeOn(state, env)];
    case 'RemoveThis':
      return removeThis(state, message, env);
    case 'RelocateSpan':
      relocate(state, message.span, message.node);
      return place(state, env);
    case 'DrainChanged':
      if (message.drain.number > state.drain.number) state.drain = message.drain;
      return [];
    case 'FeedBootstrapped':
      return bootstrapped(state, message, env);
    case 'FeedClosed':
      return [...feedClosed(state, message, env), ...closeOn(state, env)];
    case 'NotOwner':
      notOwner(state, env);
      return closeOn(state, env);
    case 'ManagerAdopted': {
      const node = adopted(state, message, env);
      if (node === null) return [];
      if (!isPlacing(state)) return gathered(state, env);
      const effects = takeServed(state, node, message, state.checkpoint?.ts ?? 0);
      return [...effects, ...startSources(state), ...place(state, env)];
    }
    case 'ManagerHeartbeat':
      return [...heartbeat(state, message, env), ...advance(state, env), ...place(state, env)];
    case 'SourceChecked':
      if (state.phase.at !== 'checking') return [];
      state.facts = message.facts;
      state.checkpoint = message.facts.start;
      return becomeGrouping(state);
    case 'TickDue':
      return [...ticked(state, env), tick];
    case 'StopDue':
      return state.phase.at === 'stopping' ? becomeClosing(state, 'stopped', null) : [];
    case 'CloseDue': {
      const { phase } = state;
      return phase.at === 'closing' ? becomeFinishing(state, phase.as, phase.failure, env) : [];
    }
    case 'EndDue':
      return [];
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  if (signal.kind !== 'StopAsked' && signal.kind !== 'Terminated') return [state, []];
  if (state.phase.at === 'ended') return [state, [stopSelf]];
  state.isStopAsked = true;
  // The tree ends whatever runs on this node; other nodes' managers wait for the next maintainer.
  const effects = becomeFinishing(state, 'stopped', null, env);
  return [state, effects];
}

// ── starting ────────────────────────────────────────────────────────────────────────────────────────────────────────

function sinkAnswered(
  state: S,
  tag: SinkCall,
  outcome: Outcome<SinkAnswer>,
  env: Env,
): readonly Effect[] {
  if (!outcome.ok) return sinkFailed(state, tag, outcome.failure, env);
  const answer = outcome.value;
  switch (tag) {
    case 'open':
      if (state.phase.at !== 'opening') return [];
      state.phase = { at: 'raising' };
      return [callSink(state, { kind: 'RaiseFeed', ...feedSlot(state) }, 'raise')];
    case 'raise':
      assert(answer.kind === 'FeedRaised', 'answer to RaiseFeed');
      return state.phase.at === 'raising' ? becomeGathering(state, answer.checkpoint, env) : [];
    case 'groups':
      assert(answer.kind === 'GroupsRead', 'answer to ReadGroups');
      state.routing = { ...state.routing, groups: answer.groups };
      return state.phase.at === 'grouping' ? becomeRunning(state, env) : barrierOver(state, env);
    case 'save':
      return saved(state, env);
    case 'ddl':
      return ddlDone(state);
    default:
      return unreachable(tag);
  }
}

function sinkFailed(state: S, tag: SinkCall, failure: Failure, env: Env): readonly Effect[] {
  if (tag === 'save') state.saving = null;
  const { phase } = state;
  // The end does not wait for a checkpoint that cannot be saved: the slots downstream have the truth. Only who says
  // `finished` must have saved it; another maintainer will.
  if (phase.at === 'finishing') {
    if (tag !== 'save') return [];
    return end(state, phase.as === 'finished' ? 'failed' : phase.as, phase.failure ?? failure);
  }
  // What may heal leaves everything running: the next maintainer adopts it.
  return failure.retry === 'Never'
    ? becomeClosing(state, 'failed', failure)
    : becomeFinishing(state, 'failed', failure, env);
}

function becomeGathering(state: S, stored: Checkpoint | null, env: Env): readonly Effect[] {
  state.phase = { at: 'gathering' };
  state.checkpoint = stored?.position ?? null;
  state.storedTimeline = stored?.timeline ?? [];
  state.savedTs = stored?.position.ts ?? -1;
  state.isRaised = true;
  return bootstrapOn(state, env);
}

/** Every node has answered: what runs is taken on; the upstream is checked when no stream runs anywhere. */
function gathered(state: S, env: Env): readonly Effect[] {
  if (state.phase.at !== 'gathering') return [];
  const [bootstrap, answers] = collect(state.bootstrap);
  state.bootstrap = bootstrap;
  if (answers === null) return [];
  const facts = [...answers.values()].find(({ source }) => source !== null)?.source ?? null;
  if (facts !== null) {
    state.facts = facts;
    state.checkpoint ??= facts.start;
    return becomeGrouping(state);
  }
  state.phase = { at: 'checking' };
  return checkOn(state, env);
}

/** Asks its own node to check the upstream, again until it is answered. */
function checkOn(state: S, env: Env): readonly Effect[] {
  if (state.phase.at !== 'checking' || env.now() - state.askedAtMs < 1_000) return [];
  state.askedAtMs = env.now();
  const { checkpoint, storedTimeline: timeline, props } = state;
  const startAt =
    checkpoint === null
      ? props.config.startAt
      : ({ kind: 'position', position: checkpoint, timeline } as const);
  return toManager(state.nodes.get(props.self), { kind: 'CheckSource', startAt });
}

function becomeGrouping(state: S): readonly Effect[] {
  state.phase = { at: 'grouping' };
  return [readGroups(state)];
}

/** The start position is stored (a restart begins there), what runs is taken on, then history flows. */
function becomeRunning(state: S, env: Env): readonly Effect[] {
  const { checkpoint } = state;
  assert(checkpoint !== null, 'a start position');
  state.phase = { at: 'running' };
  state.progressAtMs = env.now();
  state.history.push(checkpoint);
  state.table.commit(checkpoint.ts);
  const effects: Effect[] = [];
  for (const { node, answer } of answersOf(state))
    effects.push(...takeServed(state, node, answer, checkpoint.ts));
  effects.push(...save(state, checkpoint, env), ...startSources(state), ...place(state, env));
  return effects;
}

function answersOf(state: S): readonly {
  readonly node: NonNullable<ReturnType<S['nodes']['get']>>;
  readonly answer: Parameters<typeof takeServed>[2];
}[] {
  return [...state.bootstrap.nodes].flatMap(([name, { answer }]) => {
    const node = state.nodes.get(name);
    return answer === null || node === undefined || !node.isAdopted ? [] : [{ node, answer }];
  });
}

/** Streams that do not run yet begin at the checkpoint: nothing that any span may still need lies before it. */
function startSources(state: S): readonly Effect[] {
  const { checkpoint, facts, routing } = state;
  if (checkpoint === null || facts === null) return [];
  const message: ManagerMessage = { kind: 'StartSource', position: checkpoint, facts, routing };
  return [...state.nodes.values()].flatMap((node) => {
    if (!node.isAdopted || node.isStreaming) return [];
    node.isStreaming = true;
    return toManager(node, message);
  });
}

// ── running ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The checkpoint is the newest known position that every span and the streams have passed. */
function advance(state: S, env: Env): readonly Effect[] {
  const { table, watermarks, props } = state;
  // What is held is read first: a span that ends between the two must not escape both (spec/01 §1.5 rule 4).
  const heldTs = table.heldTs();
  const barrierTs = state.phase.at === 'barrier' ? state.phase.resolved.ts : Infinity;
  const busy = table.loads().keys();
  const ts = checkpointTs({ heldTs, barrierTs, self: props.self, busy }, watermarks);
  if (ts === null || state.checkpoint === null || !(isPlacing(state) || isLeaving(state)))
    return [];
  const reached = state.history.takeUpTo(ts);
  if (reached !== undefined && reached.ts > state.checkpoint.ts) {
    state.checkpoint = reached;
    state.progressAtMs = env.now();
    state.trouble = null;
    table.commit(reached.ts);
  }
  const effects = barrierOn(state, ts, env);
  if (state.phase.at === 'stopping' && isDrained(state))
    return [...effects, ...becomeClosing(state, 'stopped', null)];
  return isCaughtUp(state) ? [...effects, ...becomeClosing(state, 'finished', null)] : effects;
}

/** Every stream has ended, and what each has read is applied. */
function isDrained({ nodes, operators, table, watermarks }: S): boolean {
  if (table.absent().length > 0 || operators.size > 0) return false;
  return [...nodes.values()].every(({ node, isStreaming, isSourceClosed, resolved }) => {
    if (!isStreaming) return true;
    const appliedTs = watermarks.get(node)?.checkpointTs ?? -1;
    return isSourceClosed && resolved !== null && appliedTs >= resolved.ts;
  });
}

function isCaughtUp({ checkpoint, facts, phase, props }: S): boolean {
  if (!props.config.untilCaughtUp || phase.at !== 'running') return false;
  return checkpoint !== null && facts !== null && checkpoint.ts >= facts.newest.ts;
}

function removeThis(state: S, message: RemoveThis, env: Env): readonly Effect[] {
  if (message.cascade) {
    // A hand-off that is under way is turned into a close (spec/06).
    if (state.phase.at === 'finishing' && !state.isStopAsked) {
      state.phase = { at: 'closing', as: 'stopped', failure: null };
      state.askedAtMs = -Infinity;
      return closeOn(state, env);
    }
    return [...becomeStopping(state), ...closeOn(state, env)];
  }
  // Before it has heard everybody it would hand over what it does not know (Q6).
  if (!isPlacing(state)) return [];
  return becomeFinishing(state, 'stopped', null, env);
}

// ── status ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function ticked(state: S, env: Env): readonly Effect[] {
  const { checkpoint, props, nodes } = state;
  const effects: Effect[] = [];
  const isIdle =
    checkpoint !== null &&
    checkpoint.ts === nodes.get(props.self)?.resolved?.ts &&
    stateOf(state) !== 'warning';
  if (isIdle) state.progressAtMs = env.now();
  else if (env.now() - state.progressAtMs > props.config.stuckAfterMs && !isLeaving(state)) {
    const why =
      state.trouble ??
      state.sourceTrouble ??
      failureOf('INTERNAL_FAULT', `no progress while ${stageOf(state)}`);
    effects.push(...becomeClosing(state, 'failed', { ...why, retry: 'Never' }));
  }
  effects.push(...step(state, env));
  // The last word said it already.
  if (state.phase.at !== 'ended')
    effects.push(reportOf(state, stateOf(state), state.trouble ?? state.sourceTrouble, false));
  return effects;
}

/** Everything that is to be asked again, or has become due. */
function step(state: S, env: Env): readonly Effect[] {
  const effects: Effect[] = [];
  const { checkpoint, phase } = state;
  if (phase.at === 'gathering' || isPlacing(state)) effects.push(...bootstrapOn(state, env));
  if (phase.at === 'gathering') effects.push(...gathered(state, env));
  effects.push(...checkOn(state, env), ...closeOn(state, env));
  if (phase.at === 'stopping' && env.now() - state.askedAtMs >= 500) {
    state.askedAtMs = env.now();
    effects.push(...toManagers(state, { kind: 'CloseStream' }));
  }
  if (!isPlacing(state)) return effects;
  rearrange(state, env);
  effects.push(...startSources(state), ...place(state, env));
  const isDue = phase.at === 'running' && env.now() - state.savedAtMs >= saveEveryMs;
  if (isDue && checkpoint !== null && checkpoint.ts > state.savedTs)
    effects.push(...save(state, checkpoint, env));
  return effects;
}

/** See the top of this file. */
export const maintainer: Behaviour<MaintainerState, MaintainerInbox, MaintainerProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    stage: stageOf(state),
    checkpointTs: state.checkpoint?.ts ?? 0,
    nodes: [...state.nodes.values()].map(({ node, isAdopted, resolved, held }) => ({
      node,
      isAdopted,
      resolvedTs: resolved?.ts ?? 0,
      heldAt: held?.ddl.ts ?? null,
    })),
    spans: state.table.size,
    absent: state.table.absent().length,
    operators: state.operators.size,
    trouble: (state.trouble ?? state.sourceTrouble)?.code ?? null,
  }),
};
