import { readFileSync } from 'node:fs';
import { fail } from '#src/base/failure.ts';
import { demandKnownParameters, parseDatabaseUri } from '#src/config/uri.ts';

import type { ConnectionOptions, SslOptions } from 'mysql2';
import type { DatabaseUri } from '#src/config/uri.ts';

/** Where the downstream is and who logs in, from the sink URI. */
export interface Endpoint {
  /** Options for the driver; holds the password, so it is never logged. */
  readonly connect: ConnectionOptions;
  /** Database of the bookkeeping tables. */
  readonly metaDatabase: string;
  /** The user states that only one node of the Galera cluster is ever written to (FENCE W1). */
  readonly allowsGalera: boolean;
}

const knownParameters = [
  'meta-database',
  'allow-galera',
  'ssl-mode',
  'ssl-ca',
  'ssl-cert',
  'ssl-key',
] as const;

/** Reads a sink URI, `mysql://user:password@host:port/?key=value`; CONFIG_INVALID names what is wrong. */
export function readEndpoint(uri: string): Endpoint {
  const parts = parseDatabaseUri(uri);
  demandKnownParameters(parts, knownParameters);
  const ssl = readSsl(parts);
  return {
    connect: {
      ...(parts.socket === undefined
        ? { host: parts.host, port: parts.port }
        : { socketPath: parts.socket }),
      user: parts.user,
      password: parts.password.reveal(),
      ...(ssl === undefined ? {} : { ssl }),
    },
    metaDatabase: parts.parameters.get('meta-database') ?? 'sluice_meta',
    allowsGalera: parts.parameters.get('allow-galera') === 'true',
  };
}

/** TLS as the URI asks: `ssl-mode` disabled (default without other ssl keys), required, verify-ca or verify-identity. */
function readSsl(uri: DatabaseUri): SslOptions | undefined {
  const ca = uri.parameters.get('ssl-ca');
  const cert = uri.parameters.get('ssl-cert');
  const key = uri.parameters.get('ssl-key');
  const named = ca !== undefined || cert !== undefined || key !== undefined;
  const mode = uri.parameters.get('ssl-mode') ?? (named ? 'verify-identity' : 'disabled');
  if (mode === 'disabled') return undefined;
  if (!['required', 'verify-ca', 'verify-identity'].includes(mode)) {
    fail('CONFIG_INVALID', `sink URI: ssl-mode "${mode}" is not known`);
  }
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: mode !== 'required',
    verifyIdentity: mode === 'verify-identity',
    ...(ca === undefined ? {} : { ca: readPem(ca, 'ssl-ca') }),
    ...(cert === undefined ? {} : { cert: readPem(cert, 'ssl-cert') }),
    ...(key === undefined ? {} : { key: readPem(key, 'ssl-key') }),
  };
}

function readPem(path: string, parameter: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return fail('CONFIG_INVALID', `sink URI: the file of ${parameter} cannot be read`);
  }
}
