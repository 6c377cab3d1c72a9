import type { MembershipProps } from '#actors/membership/membership.ts';
import type { PeerKeeperProps } from '#actors/peer-keeper/peer-keeper.ts';
import type { SessionProps } from '#actors/session/own-keys.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { CaptureSettings } from './settings.ts';

/** What the claim has to know of the node around it. */
export interface ClaimSurroundings {
  /** Where its peer links listen; empty when it has none. */
  readonly peerAddress: string;
  readonly session: Ref;
  readonly membership: Ref;
  /** Cells of main that membership tells without being asked. */
  readonly followers: readonly Ref[];
}

/** Props of the cells of team `claim`, by id. */
export function claimProps(
  id: 'session' | 'membership' | 'peer-keeper',
  settings: CaptureSettings,
  { peerAddress, session, membership, followers }: ClaimSurroundings,
): SessionProps | MembershipProps | PeerKeeperProps {
  const { clusterId, captureId } = settings;
  if (id === 'membership') return { clusterId, captureId, session, followers };
  if (id === 'peer-keeper') return { membership };
  const { leaseTtlMs: ttlMs, apiAddress, version } = settings.cluster ?? alone;
  return { clusterId, captureId, ttlMs, apiAddress, peerAddress, version };
}

/** A process without a cluster: nobody else reads what it says, and its session is as long as itself. */
const alone = { leaseTtlMs: 10_000, apiAddress: '', version: '' };
