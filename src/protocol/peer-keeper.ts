/** What others say to the peer keeper: membership's view, and nothing else. */
import type { Guards } from '../kernel/behaviour.ts';
import type { NodesChanged } from './membership.ts';

/** See the top of this file; the view counts only from the membership it follows. */
export const peerKeeperGuards: Guards<NodesChanged> = { NodesChanged: 'open' };
