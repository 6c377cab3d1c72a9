import { tableKey } from './ddl-fingerprint.ts';

import type { DdlStatement } from '#src/model/ddl-statement.ts';
import type { Fingerprint, ObjectLook } from './ddl-fingerprint.ts';

/**
 * What to do with a DDL whose intent was written and whose end nobody saw. `run`: it did not happen, or happening twice does no
 * harm. `finish`: some of the objects it drops are gone, run it for the rest. `done`: it happened. `uncertain`: neither.
 */
export type Verdict = 'run' | 'finish' | 'done' | 'uncertain';

/**
 * Judges by how the objects looked before and look now (FENCE W6). Sound because a DDL is a barrier: nothing else of the
 * feed touched these objects since, and the session that ran it is gone.
 */
export function judge(
  statement: DdlStatement,
  sql: string,
  looks: { readonly before: Fingerprint; readonly now: Fingerprint },
): Verdict {
  const { before, now } = looks;
  const keys = Object.keys(before);
  // Emptied twice is empty; no row of later transactions is in it yet.
  if (statement.action === 'truncate') return 'run';
  if (statement.action === 'drop' && statement.object !== 'index') {
    const gone = keys.filter((key) => isGone(now, key));
    if (gone.length === keys.length)
      return keys.some((key) => !isGone(before, key)) ? 'done' : 'run';
    return gone.some((key) => !isGone(before, key)) ? 'finish' : 'run';
  }
  if (statement.action === 'rename') return judgeMoves(pairs(statement), looks);
  if (statement.tables.length > 1) {
    // Rows change places between two tables of one definition: only the engine's numbers tell.
    if (/\bEXCHANGE\s+PARTITION\b/i.test(sql)) return judgeExchange(looks);
    return judgeAlterAndRename(statement, looks);
  }
  return keys.every((key) => sameDefinition(before[key], now[key])) ? 'run' : 'done';
}

interface Looks {
  readonly before: Fingerprint;
  readonly now: Fingerprint;
}

function judgeMoves(moves: readonly (readonly [string, string])[], looks: Looks): Verdict {
  const { before, now } = looks;
  const after: Record<string, ObjectLook | null> = { ...before };
  for (const [from, to] of moves) {
    after[to] = after[from] ?? null;
    after[from] = null;
  }
  const keys = Object.keys(before);
  const unmoved = keys.every((key) => sameObject(before[key], now[key]));
  const moved = keys.every((key) => sameObject(after[key], now[key]));
  if (unmoved && moved) return 'uncertain';
  if (unmoved) return 'run';
  return moved ? 'done' : 'uncertain';
}

function judgeExchange(looks: Looks): Verdict {
  const { before, now } = looks;
  const keys = Object.keys(before);
  const isSeen = keys.every((key) => (before[key]?.identity ?? '') !== '');
  if (!isSeen) return 'uncertain';
  const unmoved = keys.every((key) => before[key]?.identity === now[key]?.identity);
  return unmoved ? 'run' : 'done';
}

/** ALTER TABLE a …, RENAME TO b: one step, so the old name is gone exactly when it happened. */
function judgeAlterAndRename(statement: DdlStatement, looks: Looks): Verdict {
  const { before, now } = looks;
  const [from, to] = statement.tables.map(tableKey);
  if (from === undefined || to === undefined || from === to) {
    return Object.keys(before).every((key) => sameDefinition(before[key], now[key]))
      ? 'run'
      : 'done';
  }
  if (isGone(now, from) && !isGone(now, to)) return 'done';
  const unchanged = sameDefinition(before[from], now[from]) && sameDefinition(before[to], now[to]);
  return unchanged ? 'run' : 'uncertain';
}

function pairs(statement: DdlStatement): (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < statement.tables.length; at += 2) {
    found.push([tableKey(statement.tables[at]!), tableKey(statement.tables[at + 1]!)]);
  }
  return found;
}

function isGone(looks: Fingerprint, key: string): boolean {
  return (looks[key] ?? null) === null;
}

function sameDefinition(
  a: ObjectLook | null | undefined,
  b: ObjectLook | null | undefined,
): boolean {
  return (a?.definition ?? null) === (b?.definition ?? null);
}

/** The same table, by the engine's number when it is known on both sides. */
function sameObject(a: ObjectLook | null | undefined, b: ObjectLook | null | undefined): boolean {
  if ((a ?? null) === null || (b ?? null) === null) return (a ?? null) === (b ?? null);
  if (a!.identity !== '' && b!.identity !== '') return a!.identity === b!.identity;
  return a!.definition === b!.definition;
}
