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
import { unreachable } from '#src/base/assert.ts';
import { failure as failureOf } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import type { RemoveThis } from '#src/protocol/maintainer.ts';
import { balanceSplit } from './balance-split.ts';
import { advance } from './course.ts';
import {
  callSink,
  isLeaving,
  isPlacing,
  newState,
  toManagers,
  type MaintainerInbox,
  type MaintainerProps,
  type MaintainerState,
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
import { checkOn, gathered, sinkAnswered, sourceChecked, startSources } from './opening.ts';
import { place, rearrange } from './placing.ts';
import { awaitedNodes, phaseText, reportOf, stageOf, stateOf } from './report.ts';
import {
  becomeClosing,
  becomeFinishing,
  becomeStopping,
  closeOn,
  retired,
  save,
  stopSelf,
} from './saving.ts';
import { lookWhetherItStands } from './standstill.ts';
import { askTable, reslotted, splitChecked } from './table-asks.ts';

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
    case 'AskTable':
      if (!isPlacing(state)) return [];
      return [...askTable(state, message), ...place(state, env)];
    case 'SplitAnswered':
      return [...splitChecked(state, message.tag, message.outcome), ...place(state, env)];
    case 'ReslotAnswered': {
      const [failure, answers] = reslotted(state, message.tag, message.outcome);
      const isFenced = failure?.code === 'SINK_FENCED';
      if (isFenced) return [...answers, ...becomeClosing(state, 'failed', failure)];
      return [...answers, ...place(state, env)];
    }
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
      return [...effects, ...startSources(state, env), ...place(state, env)];
    }
    case 'ManagerHeartbeat':
      return [...heartbeat(state, message, env), ...advance(state, env), ...place(state, env)];
    case 'SourceChecked':
      return sourceChecked(state, message.facts);
    case 'TickDue':
      return [...ticked(state, env), tick];
    case 'StopDue':
      return state.phase.at === 'stopping' ? becomeClosing(state, 'stopped', null) : [];
    case 'CloseDue': {
      const { phase } = state;
      return phase.at === 'closing'
        ? becomeFinishing(state, phase.as, phase.failure, env, true)
        : [];
    }
    case 'RetireDue':
      return retired(state, failureOf('SINK_UNREACHABLE', 'no answer', { retry: 'Again' }));
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

// ── ending ─────────────────────────────────────────────────────────────────────────────────────────────────────────

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
  effects.push(...step(state, env), ...lookWhetherItStands(state, env));
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
  effects.push(...balanceSplit(state, env));
  effects.push(...startSources(state, env), ...place(state, env));
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
    stage: phaseText(state),
    awaits: awaitedNodes(state),
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
