import { readFileSync } from 'node:fs';
import { fail } from '../../base/failure.ts';
import { demandKnownParameters, parseDatabaseUri, type DatabaseUri } from '../../config/uri.ts';

/** TLS material and strictness for one connection. */
export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The server's certificate must be signed by `ca` (or a system authority). */
  readonly rejectUnauthorized: boolean;
  /** The certificate must also name the host. */
  readonly verifyIdentity: boolean;
}

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

const knownParameters = [
  'server-id',
  'heartbeat-ms',
  'timeout-ms',
  'ssl-mode',
  'ssl-ca',
  'ssl-cert',
  'ssl-key',
] as const;

const sslModes = ['disabled', 'required', 'verify-ca', 'verify-identity'];

/** Reads the upstream's URI; CONFIG_INVALID names what is wrong. Certificate files are read here. */
export function parseUpstreamUri(uri: string): UpstreamUri {
  const database = parseDatabaseUri(uri);
  demandKnownParameters(database, [...knownParameters, 'socket']);
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

function readTls(uri: DatabaseUri): TlsOptions | undefined {
  const ca = readPem(uri, 'ssl-ca');
  const cert = readPem(uri, 'ssl-cert');
  const key = readPem(uri, 'ssl-key');
  const given = uri.parameters.get('ssl-mode')?.toLowerCase().replaceAll('_', '-');
  if (given !== undefined && !sslModes.includes(given)) {
    fail('CONFIG_INVALID', `URI: ssl-mode must be one of ${sslModes.join(', ')}`);
  }
  if ((cert === undefined) !== (key === undefined)) {
    fail('CONFIG_INVALID', 'URI: ssl-cert and ssl-key belong together');
  }
  const some = ca !== undefined || cert !== undefined;
  const mode = given ?? (some ? 'verify-identity' : 'disabled');
  if (mode === 'disabled') {
    if (some) fail('CONFIG_INVALID', 'URI: ssl-mode=disabled with certificates');
    return undefined;
  }
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    rejectUnauthorized: mode !== 'required',
    verifyIdentity: mode === 'verify-identity',
  };
}

function readPem(uri: DatabaseUri, name: (typeof knownParameters)[number]): string | undefined {
  const path = uri.parameters.get(name);
  if (path === undefined) return undefined;
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return fail('CONFIG_INVALID', `URI: the file of ${name} cannot be read`, {
      cause: String(error),
    });
  }
}
