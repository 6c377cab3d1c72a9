/**
 * The layout of the coordination store (DESIGN §17): `/sluice/<cluster-id>/…`. Pure text; ids are checked where they come in, so
 * that none holds a slash, a space or anything but printable ASCII.
 *
 *     capture/<capture-id>          a running node, bound to its session
 *     capture-record/<capture-id>   stays until the node has stopped writing for sure (spec/09 9.2.5)
 *     coordinator                   election: who creates it is coordinator
 *     changefeed/<id>/info          configuration, state
 *     changefeed/<id>/status        checkpoint
 *     changefeed-epoch              highest maintainerEpoch of all changefeeds that were deleted
 *     secret-key                    seals stored passwords, where nodes were given no key of their own
 *     timeline/<upstream-id>        segments of an upstream's history (DESIGN §8)
 */

/** True for what may stand between two slashes of a key. */
export function isKeyPart(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(text);
}

/** Everything of one cluster begins with this. */
export function clusterPrefix(clusterId: string): string {
  return `/sluice/${clusterId}/`;
}

/** Capture keys and their records, for one watch over both. */
export function captureWatchPrefix(clusterId: string): string {
  return `${clusterPrefix(clusterId)}capture`;
}

/** The key of a running node. */
export function captureKey(clusterId: string, captureId: string): string {
  return `${clusterPrefix(clusterId)}capture/${captureId}`;
}

/** The key that outlives a node's session. */
export function captureRecordKey(clusterId: string, captureId: string): string {
  return `${clusterPrefix(clusterId)}capture-record/${captureId}`;
}

/** The key whose creator is coordinator. */
export function coordinatorKey(clusterId: string): string {
  return `${clusterPrefix(clusterId)}coordinator`;
}

/** All that is stored of changefeeds, for one list over both. */
export function changefeedListPrefix(clusterId: string): string {
  return `${clusterPrefix(clusterId)}changefeed`;
}

/** The key that keeps epochs rising beyond the end of a changefeed's record (spec/02 F2). */
export function changefeedEpochKey(clusterId: string): string {
  return `${clusterPrefix(clusterId)}changefeed-epoch`;
}

/** All keys of all changefeeds begin with this. */
export function changefeedPrefix(clusterId: string): string {
  return `${clusterPrefix(clusterId)}changefeed/`;
}

/** A changefeed's configuration and state. */
export function changefeedInfoKey(clusterId: string, changefeedId: string): string {
  return `${changefeedPrefix(clusterId)}${changefeedId}/info`;
}

/** A changefeed's checkpoint. */
export function changefeedStatusKey(clusterId: string, changefeedId: string): string {
  return `${changefeedPrefix(clusterId)}${changefeedId}/status`;
}

/** The key that seals stored passwords, where nodes were given none in a file. */
export function secretKeyKey(clusterId: string): string {
  return `${clusterPrefix(clusterId)}secret-key`;
}

/** An upstream's segments. */
export function timelineKey(clusterId: string, upstreamId: string): string {
  return `${clusterPrefix(clusterId)}timeline/${upstreamId}`;
}

/** What a key is about. */
export type CoordinationKey =
  | { readonly kind: 'capture'; readonly captureId: string }
  | { readonly kind: 'capture-record'; readonly captureId: string }
  | { readonly kind: 'coordinator' }
  | { readonly kind: 'changefeed-info'; readonly changefeedId: string }
  | { readonly kind: 'changefeed-status'; readonly changefeedId: string }
  | { readonly kind: 'changefeed-epoch' }
  | { readonly kind: 'secret-key' }
  | { readonly kind: 'timeline'; readonly upstreamId: string };

/** What a key of the cluster is about; null for keys of others, and of later versions. */
export function readCoordinationKey(clusterId: string, key: string): CoordinationKey | null {
  const prefix = clusterPrefix(clusterId);
  if (!key.startsWith(prefix)) return null;
  const [room = '', id = '', leaf = '', ...more] = key.slice(prefix.length).split('/');
  if (more.length > 0) return null;
  if (room === 'coordinator' && id === '' && leaf === '') return { kind: 'coordinator' };
  if (room === 'secret-key' && id === '' && leaf === '') return { kind: 'secret-key' };
  if (room === 'changefeed-epoch' && id === '' && leaf === '') return { kind: 'changefeed-epoch' };
  if (!isKeyPart(id)) return null;
  if (room === 'changefeed' && leaf === 'info')
    return { kind: 'changefeed-info', changefeedId: id };
  if (room === 'changefeed' && leaf === 'status')
    return { kind: 'changefeed-status', changefeedId: id };
  if (leaf !== '') return null;
  if (room === 'capture' || room === 'capture-record') return { kind: room, captureId: id };
  return room === 'timeline' ? { kind: 'timeline', upstreamId: id } : null;
}
