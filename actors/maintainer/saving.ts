/** The feed's checkpoint in its own slot downstream, and how a maintainer ends with it. */
import { assert } from '#src/base/assert.ts';
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Checkpoint, Position } from '#src/model/position.ts';
import { lastTokenOf } from '#src/model/token.ts';
import type { ChangefeedState } from '#src/protocol/changefeed.ts';
import { places, mainRef } from '#src/protocol/nodes.ts';
import type { OrchestratorMessage } from '#src/protocol/orchestrator.ts';
import {
  callSink,
  feedSlot,
  isLeaving,
  toManager,
  toManagers,
  type MaintainerState,
  type NodeState,
} from './maintainer-state.ts';
import { reportOf } from './report.ts';

type S = MaintainerState;

/** How long the last word waits to be heard. */
const endMs = 5_000;
/** How long a stop waits for what was read to be applied. */
const stopDrainMs = 8_000;
/** How long one that has failed waits for managers to close; the next maintainer adopts what is left. */
const failedCloseMs = 5_000;
/** How long a changefeed that is to rest waits for its slots to be raised: a downstream that is gone must not keep it. */
const retireMs = 10_000;
/** Closes are asked for again this often. */
const closeAgainMs = 100;

/** Saves `position` when it is newer than what is saved; one save at a time. */
export function save(state: S, position: Position, env: Env): readonly Effect[] {
  if (state.saving !== null) return [];
  state.saving = position;
  if (position.ts <= state.savedTs) return saved(state, env);
  state.savedAtMs = env.now();
  const timeline = state.facts?.timeline ?? [];
  const checkpoint: Checkpoint = { version: 1, position, timeline };
  return [callSink(state, { kind: 'SaveCheckpoint', ...feedSlot(state), checkpoint }, 'save')];
}

/** A save is done; what waited for it goes on. */
export function saved(state: S, env: Env): readonly Effect[] {
  const { phase, saving } = state;
  assert(saving !== null, 'an answer to a save');
  state.saving = null;
  state.savedTs = Math.max(state.savedTs, saving.ts);
  // Only what a restart will not ask for again may be let go of.
  const retain = toManagers(state, { kind: 'CheckpointAdvanced', ts: state.savedTs });
  if (phase.at === 'finishing') {
    return state.checkpoint !== null && state.checkpoint.ts > state.savedTs
      ? save(state, state.checkpoint, env)
      : finish(state);
  }
  if (phase.at !== 'barrier' || phase.step !== 'saving') return retain;
  if (state.savedTs < phase.resolved.ts) return save(state, phase.resolved, env);
  state.phase = { ...phase, step: 'ddl' };
  const run = callSink(state, { kind: 'RunDdl', ...feedSlot(state), ddl: phase.ddl }, 'ddl');
  return [...retain, run];
}

/** A running feed applies what it has read, so that it stops at one position in all tables; others end at once. */
export function becomeStopping(state: S): readonly Effect[] {
  const { phase } = state;
  if (phase.at === 'stopping' || isLeaving(state)) return [];
  const isApplying =
    phase.at === 'running' || (phase.at === 'barrier' && phase.step === 'draining');
  if (!isApplying) return becomeClosing(state, 'stopped', null);
  state.phase = { at: 'stopping' };
  return [
    ...toManagers(state, { kind: 'CloseStream' }),
    { kind: 'SetTimer', key: 'stop', afterMs: stopDrainMs, message: { kind: 'StopDue' } },
  ];
}

/**
 * Closes every manager of the feed, then saves and ends. Who was fenced does neither: whoever did it takes over what runs, and
 * a node that may not write must not stop what others write.
 */
export function becomeClosing(
  state: S,
  as: ChangefeedState,
  failure: Failure | null,
): readonly Effect[] {
  if (isLeaving(state)) return [];
  assert(as !== 'failed' || failure !== null, 'a failed feed says why');
  if (failure?.code === 'SINK_FENCED') {
    state.operators.quiesce();
    return end(state, as, failure);
  }
  state.phase = { at: 'closing', as, failure };
  state.operators.quiesce();
  const bound: Effect = {
    kind: 'SetTimer',
    key: 'close',
    afterMs: failedCloseMs,
    message: { kind: 'CloseDue' },
  };
  state.askedAtMs = -Infinity;
  return failure === null ? [] : [bound];
}

/** Asks again whoever has not closed; goes on when all have (Q9). */
export function closeOn(state: S, env: Env): readonly Effect[] {
  const { phase, props } = state;
  if (phase.at !== 'closing') return [];
  const open = [...state.nodes.values()].filter((node) => !node.isClosed);
  if (open.length === 0) return becomeFinishing(state, phase.as, phase.failure, env, true);
  if (env.now() - state.askedAtMs < closeAgainMs) return [];
  state.askedAtMs = env.now();
  return open.flatMap((node) => askClose(state, node, props.self));
}

function askClose(state: S, node: NodeState, self: string): readonly Effect[] {
  const { config, epoch } = state.props;
  const to = mainRef(places.orchestrator, node.node, self);
  const removed = state.props.isRemovalOnly;
  const message: OrchestratorMessage = { kind: 'CloseFeed', id: config.id, epoch, removed };
  return [...toManager(node, { kind: 'CloseManager' }), { kind: 'Send', to, message }];
}

/** Saves the last checkpoint, then ends; `rests`: nobody goes on with the changefeed. */
export function becomeFinishing(
  state: S,
  as: ChangefeedState,
  failure: Failure | null,
  env: Env,
  rests = false,
): readonly Effect[] {
  if (['finishing', 'retiring', 'ended'].includes(state.phase.at)) return [];
  state.phase = { at: 'finishing', as, failure, rests };
  state.operators.quiesce();
  if (state.saving !== null) return [];
  // Before the feed's slot was raised, or once fenced, there is nothing that may be saved.
  const maySave = state.isRaised && failure?.code !== 'SINK_FENCED';
  if (!maySave || state.checkpoint === null || state.checkpoint.ts <= state.savedTs)
    return finish(state);
  return save(state, state.checkpoint, env);
}

/** The last checkpoint is saved, or cannot be. */
export function finish(state: S, failed: Failure | null = null): readonly Effect[] {
  const { phase, props } = state;
  assert(phase.at === 'finishing', 'at the end');
  const as = failed !== null && phase.as === 'finished' ? 'failed' : phase.as;
  const failure = phase.failure ?? failed;
  // A node that stops in order hands over; who was fenced has nothing to raise.
  if (!phase.rests || state.isStopAsked || failure?.code === 'SINK_FENCED')
    return end(state, as, failure);
  state.phase = { at: 'retiring', as, failure };
  if (!props.hasSink) return retired(state, noSink);
  const token = lastTokenOf(props.epoch);
  const { id: changefeed } = props.config;
  return [
    callSink(state, { kind: 'RetireFeed', changefeed, token }, 'retire'),
    { kind: 'SetTimer', key: 'retire', afterMs: retireMs, message: { kind: 'RetireDue' } },
  ];
}

const noSink = failureOf('SINK_UNREACHABLE', 'its ports cannot be opened on this node');

/**
 * Nothing that a node which is late still sends commits from here on (RELIABILITY I-12, F40). Where the downstream cannot be
 * told the changefeed rests all the same, and the log says what is not assured.
 */
export function retired(state: S, failure: Failure | null): readonly Effect[] {
  const { phase, props } = state;
  if (phase.at !== 'retiring') return [];
  const ending = end(state, phase.as, phase.failure);
  // Whoever is newer has raised them.
  if (failure === null || failure.code === 'SINK_FENCED') return ending;
  const detail = { id: props.config.id, code: failure.code, message: failure.message };
  return [{ kind: 'Log', level: 'warn', event: 'slots-not-retired', detail }, ...ending];
}

/** Says the last word. */
export function end(state: S, as: ChangefeedState, failure: Failure | null): readonly Effect[] {
  state.phase = { at: 'ended' };
  const last = reportOf(state, as, failure, true);
  if (state.isStopAsked) return [last, stopSelf];
  return [last, { kind: 'SetTimer', key: 'end', afterMs: endMs, message: { kind: 'EndDue' } }];
}

/** It is over. */
export const stopSelf: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'normal' } };
