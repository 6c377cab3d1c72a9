/**
 * What is wanted of tables, by people and by schedulers: each wish is checked, waits until its spans are at rest, becomes an
 * operator, and is answered when what was wanted is so. What is so already is answered at once: askers repeat themselves.
 *
 *     checking (split: downstream asked) ──▶ waiting ⇄ working (operator) ──▶ answered
 */
import { must } from '#src/base/assert.ts';
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { evenParts, isGroup, isPart } from '#src/model/span.ts';
import { portOf } from '#src/ports/port.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { AskTable, TableAnswered } from '#src/protocol/maintainer-manager.ts';
import type { SpanPlacement, TableReply, TableRequest } from '#src/protocol/maintainer.ts';
import type { MaintainerState } from './maintainer-state.ts';
import { alive, destinations } from './destinations.ts';
import { notReslotting } from './span-operator.ts';

type S = MaintainerState;

/** A change of the spans that is to come about. */
type Change = Exclude<TableRequest, { kind: 'list' }>;

/** A wish under way; one per span. */
export interface Wish {
  readonly change: Change;
  /** Who is to be answered; nobody when a scheduler wants it. */
  readonly askIds: Set<number>;
  step: 'checking' | 'waiting' | 'working';
  /** Numbers the question to the downstream: what was true before a DDL says nothing. */
  checkCount: number;
  tryCount: number;
}

/** Wishes under way at most. */
const wishCountMax = 1_000;
/** Operators that a wish begins at most: nodes that die take them along. */
const tryCountMax = 5;

/** Takes a question on; the answer may be under way already. */
export function askTable(state: S, { askId, request }: AskTable): readonly Effect[] {
  if (request.kind === 'list')
    return answer(state, [askId], ok({ kind: 'Tables', placement: placementOf(state) }));
  return wish(state, request, [askId]);
}

/** Wants a change of the spans. */
export function wish(state: S, change: Change, askIds: readonly number[]): readonly Effect[] {
  const no = (code: FailureCode, message: string): readonly Effect[] =>
    answer(state, askIds, failed(failure(code, message, { scope: 'Table' })));
  if (isSo(state, change)) return answer(state, askIds, ok({ kind: 'Done' }));
  const known = state.wishes.get(change.span);
  if (known !== undefined) {
    if (JSON.stringify(known.change) !== JSON.stringify(change))
      return no('CHANGEFEED_STATE', `another change of ${change.span} is under way`);
    for (const askId of askIds) known.askIds.add(askId);
    return [];
  }
  const refusal = refusalOf(state, change);
  if (refusal !== null) return no(refusal.code, refusal.message);
  if (state.wishes.size >= wishCountMax)
    return no('CHANGEFEED_STATE', `more than ${wishCountMax} changes of tables are under way`);
  const step = change.kind === 'split' ? 'checking' : 'waiting';
  const wanted: Wish = { change, askIds: new Set(askIds), step, checkCount: 0, tryCount: 0 };
  state.wishes.set(change.span, wanted);
  return step === 'checking' ? [checkSplit(state, wanted)] : [];
}

/** A DDL has run: whether a table may be split is to be asked anew. */
export function checkAgain(state: S): readonly Effect[] {
  return [...state.wishes.values()].flatMap((wanted) =>
    wanted.change.kind === 'split' && wanted.step !== 'working' ? [checkSplit(state, wanted)] : [],
  );
}

function checkSplit(state: S, wanted: Wish): Effect {
  const { id } = state.props.config;
  const { span } = wanted.change;
  wanted.step = 'checking';
  wanted.checkCount++;
  const request = { kind: 'CheckSplit', changefeed: id, span } as const;
  return {
    kind: 'CallPort',
    port: portOf('sink', id),
    request,
    answer: 'SplitAnswered',
    tag: `${wanted.checkCount} ${span}`,
  };
}

function refusalOf(
  { table, props, nodes, routing }: S,
  change: Change,
): { readonly code: FailureCode; readonly message: string } | null {
  const { span } = change;
  const { id } = props.config;
  const unknown = { code: 'TABLE_UNKNOWN', message: `${id} has no span ${span}` } as const;
  const parts = table.partsOf(span);
  switch (change.kind) {
    case 'move':
      if (parts.length > 0) {
        const message = `${span} is split into ${parts.length} parts: move one of them, such as ${parts[0]}`;
        return { code: 'CHANGEFEED_STATE', message };
      }
      if (table.get(span) === undefined) return unknown;
      if (nodes.has(change.node)) return null;
      return { code: 'CAPTURE_UNKNOWN', message: `there is no capture ${change.node}` };
    case 'split':
      if (parts.length > 0) {
        const message = `${span} is split into ${parts.length} parts already: merge it first`;
        return { code: 'CHANGEFEED_STATE', message };
      }
      if (isGroup(span) || routing.groups[span] !== undefined) {
        const message = `${span} is tied to other tables by cascading foreign keys`;
        return { code: 'TABLE_UNSPLITTABLE', message };
      }
      return table.get(span) === undefined || isPart(span) ? unknown : null;
    case 'merge':
      return parts.length > 0 ? null : unknown;
  }
}

/** True when nothing is left to be done. */
function isSo({ table, operators }: S, change: Change): boolean {
  const { span } = change;
  const row = table.get(span);
  switch (change.kind) {
    case 'move':
      return row?.node === change.node && row.state === 'replicating' && !operators.holds(span);
    case 'split':
      return table.partsOf(span).length === change.partCount;
    case 'merge':
      return row !== undefined && !isPart(span);
  }
}

/** The downstream says whether a table may be split. */
export function splitChecked(
  state: S,
  tag: string,
  outcome: Outcome<SinkAnswer>,
): readonly Effect[] {
  const [count, span] = readTag(tag);
  const wanted = state.wishes.get(span);
  if (wanted?.step !== 'checking' || wanted.checkCount !== count) return [];
  if (!outcome.ok) return settle(state, span, failed(outcome.failure));
  const refusal = outcome.value.kind === 'SplitChecked' ? outcome.value.refusal : null;
  if (refusal === null) {
    wanted.step = 'waiting';
    return [];
  }
  state.heat.refuse(span);
  const why = failure('TABLE_UNSPLITTABLE', `${span} cannot be split: ${refusal}`, {
    scope: 'Table',
  });
  return settle(state, span, failed(why));
}

/**
 * The downstream has divided slots, or says why not. What may heal is asked again; a refusal for good ends the wish. Answers
 * the failure, null when there is none.
 */
export function reslotted(
  state: S,
  tag: string,
  outcome: Outcome<SinkAnswer>,
): readonly [Failure | null, readonly Effect[]] {
  const [token, span] = readTag(tag);
  const isRefused = !outcome.ok && outcome.failure.retry === 'Never';
  const is = outcome.ok ? 'done' : isRefused ? 'refused' : 'again';
  state.operators.reslotted(span, token, is);
  if (outcome.ok) return [null, []];
  state.trouble = outcome.failure;
  return [outcome.failure, isRefused ? settle(state, span, failed(outcome.failure)) : []];
}

/** A number, and a span that may hold blanks. */
function readTag(tag: string): readonly [number, string] {
  const at = tag.indexOf(' ');
  return [Number(tag.slice(0, at)), tag.slice(at + 1)];
}

/** Begins what can begin, and answers what is done. Nothing begins while a DDL stands before the streams. */
export function pursue(state: S): readonly Effect[] {
  const effects: Effect[] = [];
  for (const [span, wanted] of state.wishes) {
    if (wanted.step === 'checking' || state.operators.holds(span)) continue;
    if (wanted.step === 'working' || wanted.change.kind === 'merge') {
      if (isSo(state, wanted.change)) {
        effects.push(...settle(state, span, ok({ kind: 'Done' })));
        continue;
      }
      if (wanted.tryCount >= tryCountMax) {
        const says = `${span} is not as wanted after ${tryCountMax} tries: its nodes come and go`;
        effects.push(...settle(state, span, failed(failure('CHANGEFEED_STATE', says))));
        continue;
      }
    }
    if (state.phase.at !== 'running' || !begin(state, wanted.change)) continue;
    wanted.step = 'working';
    wanted.tryCount++;
  }
  return effects;
}

/** Starts the operator; false when something of it is not at rest. */
function begin(state: S, change: Change): boolean {
  const { table, operators } = state;
  const { span } = change;
  if (change.kind === 'merge') return beginMerge(state, span);
  const row = table.get(span);
  if (row?.state !== 'replicating') return false;
  const at = { node: must(row.node, 'a node'), token: row.token };
  if (change.kind === 'split') {
    const children = evenParts(span, change.partCount);
    const slots = notReslotting;
    return operators.push(
      { kind: 'split', span, phase: 'removing', ...at, children, slots },
      alive(state),
    );
  }
  if (!destinations(state).includes(change.node)) return false;
  return operators.push(
    { kind: 'move', span, phase: 'removing', origin: at, dest: change.node, destToken: 0 },
    alive(state),
  );
}

/** Joins all parts of a table; false when not every one of them is at rest. */
export function beginMerge(state: S, whole: string): boolean {
  const { table, operators } = state;
  const rows = table.partsOf(whole).map((part) => must(table.get(part), part));
  const isAtRest = rows.every((row) => row.state === 'replicating' && !operators.holds(row.span));
  if (!isAtRest || rows.length === 0) return false;
  const sources = rows.map(({ span, node, token }) => ({
    span,
    node: must(node, 'a node'),
    token,
    ts: null,
  }));
  return operators.push(
    { kind: 'merge', span: whole, phase: 'removing', sources, slots: notReslotting },
    alive(state),
  );
}

function settle(state: S, span: string, outcome: Outcome<TableReply>): readonly Effect[] {
  const wanted = state.wishes.get(span);
  state.wishes.delete(span);
  return answer(state, [...(wanted?.askIds ?? [])], outcome);
}

function answer(
  { props }: S,
  askIds: readonly number[],
  outcome: Outcome<TableReply>,
): readonly Effect[] {
  return askIds.map((askId): Effect => {
    const message: TableAnswered = { kind: 'TableAnswered', askId, outcome };
    return { kind: 'Send', to: props.manager, message };
  });
}

function placementOf({ table }: S): readonly SpanPlacement[] {
  const byNode = new Map<string | null, string[]>();
  for (const { node, span } of table.rows()) byNode.set(node, [...(byNode.get(node) ?? []), span]);
  return [...byNode].map(([node, spans]) => ({ node, spans }));
}
