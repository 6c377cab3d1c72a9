/**
 * The peer keeper tells the peers port who the other captures are: it follows membership, and whoever lost its session is cut
 * off, though its address still answers. Without a complete view nothing is told, so that a restart of membership never
 * cuts standing links.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import { addressOf, type Ref } from '#src/kernel/ref.ts';
import type { PeerMember, PeersRequest } from '#src/ports/peers.ts';
import type { MembershipMessage, NodesChanged } from '#src/protocol/membership.ts';

/** What the peer keeper is started with. */
export interface PeerKeeperProps {
  readonly membership: Ref;
}

/** Everything the peer keeper receives. */
export type PeerKeeperInbox = NodesChanged | { readonly kind: 'PeersAnswered' };

/** The state. */
export interface PeerKeeperState {
  readonly props: PeerKeeperProps;
  /** What the port was told last; null before. */
  readonly told: readonly PeerMember[] | null;
}

type S = PeerKeeperState;

const follow: MembershipMessage = { kind: 'FollowNodes' };

function init(props: PeerKeeperProps): Step<S> {
  return [{ props, told: null }, [{ kind: 'Send', to: props.membership, message: follow }]];
}

function receive(state: S, message: PeerKeeperInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'NodesChanged':
      return nodesChanged(state, message, env);
    case 'PeersAnswered':
      return [state, []];
    default:
      return unreachable(message);
  }
}

function nodesChanged(state: S, { self, members, isComplete }: NodesChanged, env: Env): Step<S> {
  if (!isComplete || addressOf(env.from) !== addressOf(state.props.membership)) return [state, []];
  const peers: readonly PeerMember[] = members
    .filter((member) => member.state === 'alive' && member.captureId !== self)
    .map(({ captureId, peerAddress: address }) => ({ captureId, address }));
  // Membership repeats itself every second.
  if (state.told !== null && isSame(state.told, peers)) return [state, []];
  const request: PeersRequest = { kind: 'SetMembers', members: peers };
  return [
    { ...state, told: peers },
    [{ kind: 'CallPort', port: 'peers', request, answer: 'PeersAnswered' }],
  ];
}

function isSame(before: readonly PeerMember[], after: readonly PeerMember[]): boolean {
  return (
    before.length === after.length &&
    before.every(
      ({ captureId, address }, i) =>
        captureId === after[i]!.captureId && address === after[i]!.address,
    )
  );
}

/** See the top of this file. */
export const peerKeeper: Behaviour<PeerKeeperState, PeerKeeperInbox, PeerKeeperProps> = {
  init,
  receive,
  overview: ({ told }) => ({ peers: told?.map(({ captureId }) => captureId) ?? null }),
};
