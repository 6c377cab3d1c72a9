/** Transport security of database connections, read from URIs. */
import { readFileSync } from 'node:fs';
import { fail } from '../base/failure.ts';
import type { DatabaseUri } from './uri.ts';

/** TLS as a URI asks for it, in the driver's words. */
export interface TlsOptions {
  readonly minVersion: 'TLSv1.2';
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  /** The server's certificate must be signed by `ca` (or a system authority). */
  readonly rejectUnauthorized: boolean;
  /** The certificate must also name the host. */
  readonly verifyIdentity: boolean;
}

/** URI parameters of TLS. */
export const tlsParameters = ['ssl-mode', 'ssl-ca', 'ssl-cert', 'ssl-key'] as const;

const sslModes = ['disabled', 'required', 'verify-ca', 'verify-identity'];

/**
 * TLS as the URI asks: `ssl-mode` disabled (the default without certificates), required, verify-ca or verify-identity (the
 * default with them). Reads the certificate files; CONFIG_INVALID names what is wrong.
 */
export function readTls(uri: DatabaseUri): TlsOptions | undefined {
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
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
    rejectUnauthorized: mode !== 'required',
    verifyIdentity: mode === 'verify-identity',
  };
}

function readPem(uri: DatabaseUri, name: (typeof tlsParameters)[number]): string | undefined {
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
