import { fail } from '../../base/failure.ts';
import { readTls, tlsParameters, type TlsOptions } from '../../config/tls.ts';
import { demandKnownParameters, parseDatabaseUri, type DatabaseUri } from '../../config/uri.ts';

/** What the upstream's URI says. */
export interface UpstreamUri {
  readonly database: DatabaseUri;
  readonly tls: TlsOptions | undefined;
  /** Replica id to register with; undefined: a free one is drawn. */
  readonly serverId: number | undefined;
  /** Milliseconds between heartbeats of an idle server. */
  readonly heartbeatMs: number;
  /** Milliseconds until a connection attempt or a query is given up. */
  readonly timeoutMs: number;
}

const knownParameters = ['server-id', 'heartbeat-ms', 'timeout-ms'] as const;

/** Reads the upstream's URI; CONFIG_INVALID names what is wrong. Certificate files are read here. */
export function parseUpstreamUri(uri: string): UpstreamUri {
  const database = parseDatabaseUri(uri);
  demandKnownParameters(database, [...knownParameters, ...tlsParameters, 'socket']);
  return {
    database,
    tls: readTls(database),
    serverId: readNumber(database, 'server-id', [1, 0xffffffff]),
    heartbeatMs: readNumber(database, 'heartbeat-ms', [50, 3_600_000]) ?? 1000,
    timeoutMs: readNumber(database, 'timeout-ms', [100, 3_600_000]) ?? 10_000,
  };
}

function readNumber(
  uri: DatabaseUri,
  name: (typeof knownParameters)[number],
  [low, high]: readonly [number, number],
): number | undefined {
  const text = uri.parameters.get(name);
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < low || value > high) {
    fail('CONFIG_INVALID', `URI: ${name} must be a whole number from ${low} to ${high}`);
  }
  return value;
}
