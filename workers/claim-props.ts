import type { MembershipProps } from '#actors/membership/membership.ts';
import type { PeerKeeperProps } from '#actors/peer-keeper/peer-keeper.ts';
import type { SessionProps } from '#actors/session/own-keys.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { CaptureSettings } from './settings.ts';

/** Props of the cells of team `claim`, by id. `followers`: cells of main that membership tells without being asked. */
export function claimProps(
  id: 'session' | 'membership' | 'peer-keeper',
  settings: CaptureSettings,
  refs: { readonly session: Ref; readonly membership: Ref; readonly followers: readonly Ref[] },
): SessionProps | MembershipProps | PeerKeeperProps {
  const { clusterId, captureId } = settings;
  const { session, membership, followers } = refs;
  if (id === 'membership') return { clusterId, captureId, session, followers };
  if (id === 'peer-keeper') return { membership };
  const { leaseTtlMs: ttlMs, apiAddress, peerAddress, version } = settings.cluster ?? alone;
  return { clusterId, captureId, ttlMs, apiAddress, peerAddress, version };
}

/** A process without a cluster: nobody else reads what it says, and its session is as long as itself. */
const alone = { leaseTtlMs: 10_000, apiAddress: '', peerAddress: '', version: '' };
