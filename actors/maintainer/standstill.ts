/** What the checkpoint of a feed waits for, said when it has stood for a while: never silently stuck (DESIGN P7). */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { isPlacing, type MaintainerState } from './maintainer-state.ts';

type S = MaintainerState;

/** A checkpoint that has stood for so long while there is something to apply is worth a word. */
const standsAfterMs = 10_000;

/** Looks what the checkpoint waits for; a new reason is logged. */
export function lookWhetherItStands(state: S, env: Env): readonly Effect[] {
  const before = state.waitsFor;
  const isStanding = isPlacing(state) && env.now() - state.progressAtMs >= standsAfterMs;
  state.waitsFor = isStanding ? reasonOf(state) : '';
  if (state.waitsFor === '' || state.waitsFor === before) return [];
  const detail = { waitsFor: state.waitsFor, checkpointTs: state.checkpoint?.ts ?? 0 };
  return [{ kind: 'Log', level: 'warn', event: 'checkpoint-stands', detail }];
}

/** Whoever is lowest of all that the checkpoint is the lowest of; empty when that is a barrier. */
function reasonOf({ phase, table, nodes, watermarks }: S): string {
  let [reason, ts] = ['', phase.at === 'barrier' ? phase.resolved.ts : Infinity];
  for (const { span, state, node, checkpointTs } of table.rows()) {
    if (state === 'replicating' || checkpointTs >= ts) continue;
    [reason, ts] = [
      node === null ? `a place for ${span}` : `${span} to begin on ${node}`,
      checkpointTs,
    ];
  }
  for (const { node, hindmost } of nodes.values()) {
    const appliedTs = watermarks.get(node)?.checkpointTs ?? Infinity;
    if (appliedTs >= ts) continue;
    [reason, ts] = [
      hindmost === '' ? `the stream of ${node}` : `${hindmost} on ${node}`,
      appliedTs,
    ];
  }
  return reason;
}
