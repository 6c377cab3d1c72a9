import { readTls, tlsParameters } from '#src/config/tls.ts';
import { demandKnownParameters, parseDatabaseUri } from '#src/config/uri.ts';

import type { ConnectionOptions } from 'mysql2';

/** Where the downstream is and who logs in, from the sink URI. */
export interface Endpoint {
  /** Options for the driver; holds the password, so it is never logged. */
  readonly connect: ConnectionOptions;
  /** Database of the bookkeeping tables. */
  readonly metaDatabase: string;
  /** The user states that only one node of the Galera cluster is ever written to (FENCE W1). */
  readonly allowsGalera: boolean;
}

const knownParameters = ['meta-database', 'allow-galera', ...tlsParameters] as const;

/** Reads a sink URI, `mysql://user:password@host:port/?key=value`; CONFIG_INVALID names what is wrong. */
export function readEndpoint(uri: string): Endpoint {
  const parts = parseDatabaseUri(uri);
  demandKnownParameters(parts, knownParameters);
  const ssl = readTls(parts);
  return {
    connect: {
      ...(parts.socket === undefined
        ? { host: parts.host, port: parts.port }
        : { socketPath: parts.socket }),
      user: parts.user,
      password: parts.password.reveal(),
      ...(ssl === undefined ? {} : { ssl: { ...ssl } }),
    },
    metaDatabase: parts.parameters.get('meta-database') ?? 'sluice_meta',
    allowsGalera: parts.parameters.get('allow-galera') === 'true',
  };
}
