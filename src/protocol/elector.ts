/**
 * What others say to the elector: membership tells it the nodes and its session, the process around it asks things of
 * the coordinator, wherever that is.
 */
import type { Guards } from '../kernel/behaviour.ts';
import type { Answered, Ask } from './coordinator.ts';
import type { NodesChanged } from './membership.ts';

/** Messages to the elector. */
export type ElectorMessage = NodesChanged | Ask | Answered;

/** See {@link ElectorMessage}; answers are matched by their number. */
export const electorGuards: Guards<ElectorMessage> = {
  NodesChanged: 'open',
  Ask: 'open',
  Answered: 'open',
};
