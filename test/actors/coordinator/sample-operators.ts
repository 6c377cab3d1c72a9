/** Operators of changefeed `f` as they begin, on node `a` under epoch 5. */
import type {
  FeedOperator,
  MaintainerWord,
  StopOperator,
} from '#actors/coordinator/feed-operator.ts';

export const add = {
  kind: 'add',
  id: 'f',
  phase: 'adding',
  node: 'a',
  epoch: 5,
} as const satisfies FeedOperator;
export const stop: StopOperator = {
  kind: 'stop',
  id: 'f',
  phase: 'stopping',
  node: 'a',
  epoch: 5,
  removed: false,
  about: 'placement',
};

/** What a node says of its maintainer of `f`. */
export function word(
  node: string,
  epoch: number,
  isWorking: boolean,
  isBootstrapped = true,
  isClosed = !isWorking,
): MaintainerWord {
  return { id: 'f', node, epoch, isWorking, isBootstrapped, isClosed };
}
