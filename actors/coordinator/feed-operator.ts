/**
 * The operators of the coordinator over maintainers (spec/02 §2b) as state machines: add, move, stop. Each sends one
 * request again until the maintainer's own word, from the expected node and under the expected epoch, ends it (F6).
 *
 *     add    adding ──Working, bootstrapped──▶ done                    node lost ▶ absent
 *     move   remove-origin ──stopped──▶ origin-stopped ──tick──▶ add-target ──Working, bootstrapped──▶ done
 *              target lost ▶ back to the origin, once                  origin lost ▶ origin-stopped
 *              target lost while adding ▶ absent, never back: the Add may have arrived
 *     stop   stopping ──stopped, all closed──▶ done     node lost, or stopped before all was closed ▶ needs-epoch
 *              needs-epoch ──epoch──▶ stopping, here
 */
import { unreachable } from '#src/base/assert.ts';

/** What a node says about the maintainer it runs. */
export interface MaintainerWord {
  readonly id: string;
  readonly node: string;
  readonly epoch: number;
  readonly isWorking: boolean;
  /** It has heard every node, and may schedule. */
  readonly isBootstrapped: boolean;
  /** It has stopped, and nothing of its changefeed is left on any node. */
  readonly isClosed: boolean;
}

/** A maintainer: the node it was given to, and under which epoch. */
export interface Placed {
  readonly node: string;
  readonly epoch: number;
}

/** True when the word is of this maintainer. */
export function isOf(placed: Placed, word: MaintainerWord): boolean {
  return word.node === placed.node && word.epoch === placed.epoch;
}

/** Gives a changefeed its maintainer. */
export interface AddOperator {
  readonly kind: 'add';
  readonly id: string;
  readonly phase: 'adding' | 'done';
  readonly node: string;
  readonly epoch: number;
}

/** Moves a maintainer: the origin stops under its own epoch, the target starts under the next (F7). */
export interface MoveOperator {
  readonly kind: 'move';
  readonly id: string;
  readonly phase: 'remove-origin' | 'origin-stopped' | 'add-target' | 'done';
  readonly origin: string;
  readonly originEpoch: number;
  readonly target: string;
  readonly epoch: number;
  readonly isOriginLost: boolean;
  /** The target was lost, and the origin has become the target. */
  readonly hasFallenBack: boolean;
}

/** Ends a maintainer with everything below it. */
export interface StopOperator {
  readonly kind: 'stop';
  readonly id: string;
  readonly phase: 'stopping' | 'needs-epoch' | 'done';
  readonly node: string;
  readonly epoch: number;
  /** The changefeed is removed for good, not paused. */
  readonly removed: boolean;
  /** `placement`: what the coordinator placed; `stale-owner`: a maintainer of an earlier epoch (spec/08 6134). */
  readonly about: 'placement' | 'stale-owner';
}

/** See the top of this file. */
export type FeedOperator = AddOperator | MoveOperator | StopOperator;

/** What happens to an operator. */
export type FeedEvent =
  | { readonly kind: 'word'; readonly word: MaintainerWord }
  | { readonly kind: 'node-lost'; readonly node: string }
  | { readonly kind: 'tick' }
  /** The epoch that a stop asked for is committed; it goes on at `node`, the coordinator's own. */
  | { readonly kind: 'epoch'; readonly epoch: number; readonly node: string }
  | { readonly kind: 'task-removed' };

/** Where the changefeed is after an operator has ended. */
export type FeedPlace =
  | { readonly is: 'replicating'; readonly node: string }
  | { readonly is: 'absent' }
  /** Stopped by intent, or a stale owner is gone. */
  | { readonly is: 'stopped' }
  /** The operator ended without a result of its own. */
  | { readonly is: 'unchanged' };

/** The operator afterwards; `place` is set once, when it is done. */
export interface FeedStep {
  readonly operator: FeedOperator;
  readonly place: FeedPlace | null;
}

/** What an operator asks of a maintainer manager. */
export type FeedRequest =
  | { readonly kind: 'add'; readonly id: string; readonly node: string; readonly epoch: number }
  | {
      readonly kind: 'remove';
      readonly id: string;
      readonly node: string;
      readonly epoch: number;
      readonly cascade: boolean;
      readonly removed: boolean;
    };

/** A move that is about to begin. */
export function newMove(id: string, from: Placed, to: Placed): MoveOperator {
  return {
    kind: 'move',
    id,
    phase: 'remove-origin',
    origin: from.node,
    originEpoch: from.epoch,
    target: to.node,
    epoch: to.epoch,
    isOriginLost: false,
    hasFallenBack: false,
  };
}

/** What it asks now, to be sent again until it is answered; null when it waits for something else. */
export function requestOf(operator: FeedOperator): FeedRequest | null {
  const { id } = operator;
  switch (operator.kind) {
    case 'add':
      if (operator.phase === 'done') return null;
      return { kind: 'add', id, node: operator.node, epoch: operator.epoch };
    case 'move': {
      const { origin, originEpoch, target, epoch } = operator;
      if (operator.phase === 'add-target') return { kind: 'add', id, node: target, epoch };
      if (operator.phase !== 'remove-origin') return null;
      const flags = { cascade: false, removed: false };
      return { kind: 'remove', id, node: origin, epoch: originEpoch, ...flags };
    }
    case 'stop': {
      if (operator.phase !== 'stopping') return null;
      const { node, epoch, removed } = operator;
      return { kind: 'remove', id, node, epoch, cascade: true, removed };
    }
    default:
      return unreachable(operator);
  }
}

/** Nodes whose loss it must hear of. */
export function affectedNodes(operator: FeedOperator): readonly string[] {
  return operator.kind === 'move' ? [operator.origin, operator.target] : [operator.node];
}

/** True while a word of this maintainer is the final one that a move waits for: its checkpoint counts (spec/08 6283). */
export function isHandOff(operator: FeedOperator, word: MaintainerWord): boolean {
  return (
    operator.kind === 'move' &&
    operator.phase === 'remove-origin' &&
    isOf({ node: operator.origin, epoch: operator.originEpoch }, word) &&
    !word.isWorking
  );
}

/** Which maintainer a stop must reach while `operator` is under way: in a move, until the target is bound, the origin. */
export function placementOf(operator: FeedOperator): Placed {
  if (operator.kind !== 'move') return { node: operator.node, epoch: operator.epoch };
  return operator.phase === 'remove-origin'
    ? { node: operator.origin, epoch: operator.originEpoch }
    : { node: operator.target, epoch: operator.epoch };
}

/** The next step. */
export function step(operator: FeedOperator, event: FeedEvent): FeedStep {
  if (operator.phase === 'done') return stay(operator);
  if (event.kind === 'task-removed') return done(operator, { is: 'unchanged' });
  switch (operator.kind) {
    case 'add':
      if (isUp(operator.node, operator.epoch, event))
        return done(operator, { is: 'replicating', node: operator.node });
      return isLost(operator.node, event) ? done(operator, { is: 'absent' }) : stay(operator);
    case 'move':
      return stepMove(operator, event);
    case 'stop':
      return stepStop(operator, event);
    default:
      return unreachable(operator);
  }
}

function stepMove(operator: MoveOperator, event: FeedEvent): FeedStep {
  const { origin, target } = operator;
  switch (operator.phase) {
    case 'remove-origin': {
      if (isDown(origin, operator.originEpoch, event))
        return stay({ ...operator, phase: 'origin-stopped' });
      if (isLost(origin, event)) {
        // Also when it had become its own target again: then there is no target left.
        if (origin === target) return done(operator, { is: 'absent' });
        return stay({ ...operator, phase: 'origin-stopped', isOriginLost: true });
      }
      return isLost(target, event) ? fallBack(operator) : stay(operator);
    }
    case 'origin-stopped':
      if (event.kind === 'tick') return stay({ ...operator, phase: 'add-target' });
      if (isLost(target, event)) return fallBack(operator);
      return isLost(origin, event) ? stay({ ...operator, isOriginLost: true }) : stay(operator);
    case 'add-target':
      if (isUp(target, operator.epoch, event))
        return done(operator, { is: 'replicating', node: target });
      return isLost(target, event) ? done(operator, { is: 'absent' }) : stay(operator);
    case 'done':
      return stay(operator);
    default:
      return unreachable(operator.phase);
  }
}

/** The target is lost before anything was sent to it: the origin takes the changefeed back, if it can, once. */
function fallBack(operator: MoveOperator): FeedStep {
  if (operator.isOriginLost || operator.hasFallenBack) return done(operator, { is: 'absent' });
  return stay({ ...operator, target: operator.origin, hasFallenBack: true });
}

function stepStop(operator: StopOperator, event: FeedEvent): FeedStep {
  const { node, epoch } = operator;
  if (operator.phase === 'needs-epoch') {
    if (event.kind !== 'epoch') return stay(operator);
    return stay({ ...operator, phase: 'stopping', node: event.node, epoch: event.epoch });
  }
  if (!isDown(node, epoch, event) && !isLost(node, event)) return stay(operator);
  // A stale owner dies with its node. What was placed may have left managers elsewhere: they are closed from here,
  // under an epoch of its own, which they admit (spec/09 9.2.7).
  const isAll = event.kind === 'word' && event.word.isClosed;
  return operator.about === 'stale-owner' || isAll
    ? done(operator, { is: 'stopped' })
    : stay({ ...operator, phase: 'needs-epoch' });
}

function stay(operator: FeedOperator): FeedStep {
  return { operator, place: null };
}

function done(operator: FeedOperator, place: FeedPlace): FeedStep {
  return { operator: { ...operator, phase: 'done' }, place };
}

function isUp(node: string, epoch: number, event: FeedEvent): boolean {
  if (event.kind !== 'word' || !isOf({ node, epoch }, event.word)) return false;
  return event.word.isWorking && event.word.isBootstrapped;
}

function isDown(node: string, epoch: number, event: FeedEvent): boolean {
  return event.kind === 'word' && isOf({ node, epoch }, event.word) && !event.word.isWorking;
}

function isLost(node: string, event: FeedEvent): boolean {
  return event.kind === 'node-lost' && event.node === node;
}
