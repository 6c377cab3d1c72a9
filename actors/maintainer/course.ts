/** How a running feed goes on: its checkpoint, and what follows when everything that was read is applied. */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { barrierOn } from './barrier.ts';
import { checkpointTs } from './checkpoint.ts';
import { isLeaving, isPlacing, type MaintainerState } from './maintainer-state.ts';
import { becomeClosing } from './saving.ts';

type S = MaintainerState;

/** The checkpoint is the newest known position that every span and the streams have passed. */
export function advance(state: S, env: Env): readonly Effect[] {
  const { table, watermarks, props } = state;
  // What is held is read first: a span that ends between the two must not escape both (spec/01 §1.5 rule 4).
  const heldTs = table.heldTs();
  const barrierTs = state.phase.at === 'barrier' ? state.phase.resolved.ts : Infinity;
  const busy = table.loads().keys();
  const ts = checkpointTs({ heldTs, barrierTs, self: props.self, busy }, watermarks);
  // Before what runs is in the table nobody knows what a watermark leaves out, not even on the way out.
  const isKnown = isPlacing(state) || (isLeaving(state) && state.hasTakenOn);
  if (ts === null || state.checkpoint === null || !isKnown) return [];
  const reached = state.history.takeUpTo(ts);
  if (reached !== undefined && reached.position.ts > state.checkpoint.ts) {
    state.checkpoint = reached.position;
    state.checkpointMs = reached.sourceMs;
    state.progressAtMs = env.now();
    state.trouble = null;
    table.commit(reached.position.ts);
  }
  // An upstream at rest moves no checkpoint: what was wrong is over when everything runs and nothing is left to do.
  if (state.trouble !== null && isAtRest(state, ts)) state.trouble = null;
  const effects = barrierOn(state, ts, env);
  if (state.phase.at === 'stopping' && isDrained(state))
    return [...effects, ...becomeClosing(state, 'stopped', null)];
  const isOver = isCaughtUp(state) || isAtTarget(state);
  return isOver ? [...effects, ...becomeClosing(state, 'finished', null)] : effects;
}

/** Everything runs on every node, and all that was read is applied. */
function isAtRest({ nodes, operators, table }: S, ts: number): boolean {
  if (table.absent().length > 0 || operators.size > 0) return false;
  return [...nodes.values()].every(
    ({ isAdopted, isStreaming, resolved }) =>
      isAdopted && isStreaming && resolved !== null && resolved.ts <= ts,
  );
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

/** The stream of its own node has ended where it was to end, which while a feed runs it does for nothing else. */
function isAtTarget({ checkpoint, nodes, phase, props }: S): boolean {
  if ((props.config.untilGtid ?? null) === null || phase.at !== 'running') return false;
  const own = nodes.get(props.self);
  if (own?.isSourceClosed !== true || own.resolved === null) return false;
  return checkpoint !== null && checkpoint.ts >= own.resolved.ts;
}

function isCaughtUp({ checkpoint, facts, phase, props }: S): boolean {
  if (!props.config.untilCaughtUp || phase.at !== 'running') return false;
  return checkpoint !== null && facts !== null && checkpoint.ts >= facts.newest.ts;
}
