/** What a behaviour is given in tests of single steps. */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';

/** An address; the thread does not matter to behaviours. */
export function refOf(path: string, incarnation = 1): Ref {
  return { path, thread: 'main', incarnation };
}

/** The world as one step sees it: time stands still, chance gives one half. */
export function envOf(from = 'other', nowMs = 0): Env {
  return { self: refOf('self'), now: () => nowMs, random: () => 0.5, from: refOf(from) };
}

/** Effects in one line each: what is sent to whom, what is asked of a port, which timer is set. */
export function told(effects: readonly Effect[]): string[] {
  return effects.flatMap((effect) => {
    switch (effect.kind) {
      case 'Send':
        return [`${effect.to.path} ${effect.message.kind}`];
      case 'CallPort':
        return [`port ${effect.request.kind}`];
      case 'SetTimer':
        return [`timer ${effect.key} ${effect.afterMs}`];
      case 'Stop':
        return [`stop ${effect.target === 'self' ? 'self' : effect.target.path}`];
      case 'Spawn':
        return [`spawn ${effect.id}`];
      case 'Reply':
      case 'DropTimer':
      case 'Watch':
      case 'Log':
      case 'Count':
        return [];
    }
  });
}
