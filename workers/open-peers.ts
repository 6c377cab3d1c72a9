/** The links of a node to the others of its cluster. */
import type { PeerEvents, Peers } from '#src/ports/peers.ts';
import type { CaptureSettings, ClusterSettings } from './settings.ts';

/**
 * Listens at `cluster.peerAddress`; see {@link openGrpcPeers} for what it refuses. The library is loaded here: a process
 * without a cluster does not pay for it.
 */
export async function openPeers(
  { clusterId, captureId }: CaptureSettings,
  { peerAddress: listen, tls, allowPlainText }: ClusterSettings,
  events: PeerEvents,
): Promise<Peers> {
  const { openGrpcPeers } = await import('#src/adapters/grpc-peers/grpc-peers.ts');
  return await openGrpcPeers({ clusterId, captureId, listen, tls, allowPlainText }, events);
}
