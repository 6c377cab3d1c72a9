/**
 * The operators of a maintainer over spans (spec/01 §1.7) as state machines: add, remove, move, split, merge. Each has
 * one request under way, sent again until its answer has come; what it decides is a list of changes of the span table.
 *
 *     add     creating ──Working──▶ done                          dest lost ▶ absent
 *     remove  removing ──Stopped──▶ done                          node lost ▶ done
 *     move    removing ──Stopped──▶ creating ──Working──▶ done    dest lost while removing ▶ aborting ──Stopped──▶ absent
 *                                                                 dest lost while creating ▶ absent; origin lost ▶ creating
 *     split   removing ──Stopped──▶ reslotting ──slots divided──▶ done (children absent)      origin lost ▶ absent
 *     merge   removing ──all Stopped──▶ reslotting ──slots joined──▶ done (merged absent)     a node lost ▶ sources absent
 *
 * Every assignment is under a token of its own (FENCE §1.1): `mint` gives it when an operator begins to create, or to
 * reslot. From then on a split or merge cannot be taken back: the downstream may have done it already.
 */
import { assert, unreachable } from '#src/base/assert.ts';
import type { SpanChange } from './span-table.ts';

/** What a node says about one assignment. */
export interface SpanWord {
  readonly span: string;
  readonly node: string;
  readonly token: number;
  /** `stopped`: nothing of the assignment writes any more; also the answer for one that is not there. */
  readonly is: 'working' | 'stopped';
  /** With `stopped`: everything ≤ this is committed downstream; null when the node does not know the assignment. */
  readonly checkpointTs: number | null;
}

/** Place of an assignment. */
interface Assignment {
  readonly node: string;
  readonly token: number;
}

/** A source of a merge; `ts` once it has stopped. */
interface MergeSource extends Assignment {
  readonly span: string;
  readonly ts: number | null;
}

/** How the slots are to be divided: nothing before the phase `reslotting`. */
interface Reslotting {
  readonly token: number;
  /** Everything of the spans ≤ this is committed downstream. */
  readonly checkpointTs: number;
}

/** Before the phase `reslotting`. */
export const notReslotting: Reslotting = { token: 0, checkpointTs: 0 };

/** An operator; `span` is the object it holds. */
export type SpanOperator =
  | (Assignment & {
      readonly kind: 'add';
      readonly span: string;
      readonly phase: 'creating' | 'done';
    })
  | (Assignment & {
      readonly kind: 'remove';
      readonly span: string;
      readonly phase: 'removing' | 'done';
    })
  | {
      readonly kind: 'move';
      readonly span: string;
      readonly phase: 'removing' | 'aborting' | 'creating' | 'done';
      readonly origin: Assignment;
      readonly dest: string;
      /** Token at the destination, once it is being created there. */
      readonly destToken: number;
    }
  | (Assignment & {
      readonly kind: 'split';
      readonly span: string;
      readonly phase: 'removing' | 'reslotting' | 'done';
      readonly children: readonly string[];
      readonly slots: Reslotting;
    })
  | {
      readonly kind: 'merge';
      readonly span: string;
      readonly phase: 'removing' | 'reslotting' | 'done';
      readonly sources: readonly MergeSource[];
      readonly slots: Reslotting;
    };

/** What an operator wants of a node; `span` and `token` name the assignment. */
export interface NodeRequest extends Assignment {
  readonly kind: 'create' | 'stop';
  readonly span: string;
}

/** What an operator wants of the downstream: the slots of `from` become those of `to`. `span` is its object. */
export interface ReslotRequest {
  readonly kind: 'reslot';
  readonly span: string;
  readonly token: number;
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/** What an operator wants. */
export type SpanRequest = NodeRequest | ReslotRequest;

/** The operator afterwards, and what changes in the table. */
export interface SpanStep {
  readonly operator: SpanOperator;
  readonly changes: readonly SpanChange[];
}

/** What happens to an operator. */
export type SpanEvent =
  | { readonly kind: 'word'; readonly word: SpanWord }
  | { readonly kind: 'node-lost'; readonly node: string }
  /** The downstream has divided the slots as asked under this token, or refuses for good. */
  | { readonly kind: 'reslotted'; readonly token: number; readonly is: 'done' | 'refused' }
  /** The object is removed by somebody else: it ends without any effect of its own. */
  | { readonly kind: 'task-removed' };

/** What follows at once from an operator's start. */
export function begin(operator: SpanOperator): readonly SpanChange[] {
  if (operator.kind !== 'add')
    return operator.kind === 'remove' ? [{ to: 'gone', span: operator.span }] : [];
  const { span, node, token } = operator;
  return [{ to: 'scheduling', span, node, token }];
}

/** What it asks of nodes now, to be sent again until it is answered. */
export function requestsOf(operator: SpanOperator): readonly SpanRequest[] {
  const { span } = operator;
  switch (operator.kind) {
    case 'add':
      if (operator.phase === 'done') return [];
      return [{ kind: 'create', span, node: operator.node, token: operator.token }];
    case 'remove':
      if (operator.phase === 'done') return [];
      return [{ kind: 'stop', span, node: operator.node, token: operator.token }];
    case 'split': {
      const { phase, node, token, slots, children } = operator;
      if (phase === 'removing') return [{ kind: 'stop', span, node, token }];
      if (phase === 'done') return [];
      return [{ kind: 'reslot', span, token: slots.token, from: [span], to: children }];
    }
    case 'move':
      if (operator.phase === 'done') return [];
      return operator.phase === 'creating'
        ? [{ kind: 'create', span, node: operator.dest, token: operator.destToken }]
        : [{ kind: 'stop', span, ...operator.origin }];
    case 'merge': {
      const { phase, sources, slots } = operator;
      if (phase === 'done') return [];
      if (phase === 'reslotting') {
        const from = sources.map((source) => source.span);
        return [{ kind: 'reslot', span, token: slots.token, from, to: [span] }];
      }
      return sources
        .filter((source) => source.ts === null)
        .map((source) => ({
          kind: 'stop',
          span: source.span,
          node: source.node,
          token: source.token,
        }));
    }
    default:
      return unreachable(operator);
  }
}

/** Spans an operator holds: no other operator may touch them. */
export function heldSpans(operator: SpanOperator): readonly string[] {
  return operator.kind === 'merge'
    ? [operator.span, ...operator.sources.map((source) => source.span)]
    : [operator.span];
}

/** Nodes whose loss it must hear of. */
export function affectedNodes(operator: SpanOperator): readonly string[] {
  switch (operator.kind) {
    case 'add':
    case 'remove':
    case 'split':
      return [operator.node];
    case 'move':
      return [operator.origin.node, operator.dest];
    case 'merge':
      return operator.sources.map((source) => source.node);
    default:
      return unreachable(operator);
  }
}

/** The next step. Words about other assignments change nothing (F6 in the small: node and token must be the expected ones). */
export function step(operator: SpanOperator, event: SpanEvent, mint: () => number): SpanStep {
  const same: SpanStep = { operator, changes: [] };
  if (operator.phase === 'done') return same;
  if (event.kind === 'task-removed')
    return operator.phase === 'reslotting'
      ? same
      : { operator: { ...operator, phase: 'done' }, changes: [] };
  switch (operator.kind) {
    case 'add':
      return stepAdd(operator, event);
    case 'remove':
      return isGone(operator.span, operator, event)
        ? { operator: { ...operator, phase: 'done' }, changes: [] }
        : same;
    case 'move':
      return stepMove(operator, event, mint);
    case 'split':
      return stepSplit(operator, event, mint);
    case 'merge':
      return stepMerge(operator, event, mint);
    default:
      return unreachable(operator);
  }
}

type Kind<K extends SpanOperator['kind']> = Extract<SpanOperator, { kind: K }>;

function stepAdd(operator: Kind<'add'>, event: SpanEvent): SpanStep {
  const { span } = operator;
  if (isWorking(span, operator, event))
    return { operator: { ...operator, phase: 'done' }, changes: [{ to: 'replicating', span }] };
  if (isGone(span, operator, event))
    return { operator: { ...operator, phase: 'done' }, changes: [absentAfter(span, event)] };
  return { operator, changes: [] };
}

function stepMove(operator: Kind<'move'>, event: SpanEvent, mint: () => number): SpanStep {
  const { span, origin, dest, destToken } = operator;
  if (operator.phase === 'creating') {
    const made = { node: dest, token: destToken };
    if (isWorking(span, made, event))
      return { operator: { ...operator, phase: 'done' }, changes: [{ to: 'replicating', span }] };
    if (isGone(span, made, event))
      return { operator: { ...operator, phase: 'done' }, changes: [absentAfter(span, event)] };
    return { operator, changes: [] };
  }
  if (isGone(span, origin, event)) {
    if (operator.phase === 'aborting')
      return { operator: { ...operator, phase: 'done' }, changes: [absentAfter(span, event)] };
    const token = mint();
    assert(token > origin.token, 'a fresh token');
    const at = stoppedTs(event);
    return {
      operator: { ...operator, phase: 'creating', destToken: token },
      changes: [{ to: 'scheduling', span, node: dest, token, ...at }],
    };
  }
  if (event.kind === 'node-lost' && event.node === dest)
    return { operator: { ...operator, phase: 'aborting' }, changes: [] };
  return { operator, changes: [] };
}

function stepSplit(operator: Kind<'split'>, event: SpanEvent, mint: () => number): SpanStep {
  const { span, children, phase, slots } = operator;
  if (phase === 'reslotting') return stepReslot(operator, slots, event, [span], children);
  if (!isGone(span, operator, event)) return { operator, changes: [] };
  const changes = [absentAfter(span, event)];
  // Only who has stopped in order says where the children begin; a lost one is placed again, whole.
  const { checkpointTs } = stoppedTs(event);
  if (checkpointTs === undefined) return { operator: { ...operator, phase: 'done' }, changes };
  const token = mint();
  assert(token > operator.token, 'a fresh token');
  return {
    operator: { ...operator, phase: 'reslotting', slots: { token, checkpointTs } },
    changes,
  };
}

function stepMerge(operator: Kind<'merge'>, event: SpanEvent, mint: () => number): SpanStep {
  const { span, phase, slots } = operator;
  if (phase === 'reslotting') {
    const from = operator.sources.map((source) => source.span);
    return stepReslot(operator, slots, event, from, [span]);
  }
  const changes: SpanChange[] = [];
  let isLost = false;
  const sources = operator.sources.map((source) => {
    if (source.ts !== null || !isGone(source.span, source, event)) return source;
    const { checkpointTs } = stoppedTs(event);
    isLost ||= checkpointTs === undefined;
    changes.push(absentAfter(source.span, event));
    return { ...source, ts: checkpointTs ?? 0 };
  });
  // A source whose position is not known: all stay what they are, those that have stopped are placed again.
  if (isLost) return { operator: { ...operator, phase: 'done' }, changes };
  if (sources.some((source) => source.ts === null))
    return { operator: { ...operator, sources }, changes };
  const checkpointTs = Math.min(...sources.map((source) => source.ts ?? 0));
  const token = mint();
  assert(
    sources.every((source) => token > source.token),
    'a fresh token',
  );
  return {
    operator: { ...operator, sources, phase: 'reslotting', slots: { token, checkpointTs } },
    changes,
  };
}

/** Nobody serves the spans now: what the downstream says is all that counts. Refused, they are placed as they were. */
function stepReslot(
  operator: Kind<'split' | 'merge'>,
  { token, checkpointTs }: Reslotting,
  event: SpanEvent,
  spans: readonly string[],
  by: readonly string[],
): SpanStep {
  if (event.kind !== 'reslotted' || event.token !== token) return { operator, changes: [] };
  const done: SpanOperator = { ...operator, phase: 'done' };
  if (event.is === 'refused') return { operator: done, changes: [] };
  return { operator: done, changes: [{ to: 'replaced', spans, by, checkpointTs }] };
}

function isWorking(span: string, at: Assignment, event: SpanEvent): boolean {
  return event.kind === 'word' && event.word.is === 'working' && isAbout(span, at, event.word);
}

/** The assignment writes no more: it said so, or its node is lost (the token keeps what is left of it harmless). */
function isGone(span: string, at: Assignment, event: SpanEvent): boolean {
  if (event.kind === 'node-lost') return event.node === at.node;
  return event.kind === 'word' && event.word.is === 'stopped' && isAbout(span, at, event.word);
}

function isAbout(span: string, at: Assignment, word: SpanWord): boolean {
  return word.span === span && word.node === at.node && word.token === at.token;
}

function stoppedTs(event: SpanEvent): { readonly checkpointTs?: number } {
  if (event.kind !== 'word' || event.word.checkpointTs === null) return {};
  return { checkpointTs: event.word.checkpointTs };
}

function absentAfter(span: string, event: SpanEvent): SpanChange {
  return { to: 'absent', span, ...stoppedTs(event) };
}
