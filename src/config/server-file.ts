/** A server's configuration file (TOML, TiCDC's keys where the meaning is the same): all problems in one Failure. */
import { z } from 'zod';
import { fail } from '../base/failure.ts';
import { problemsOf, readToml } from './changefeed-file.ts';

const path = z.string().min(1);

const schema = z.strictObject({
  security: z
    .strictObject({
      'ca-path': path.optional().describe('authority that signs the certificates of all nodes'),
      'cert-path': path.optional().describe('certificate of this node'),
      'key-path': path.optional().describe('its private key'),
      'cert-allowed-cn': z
        .array(z.string().min(1))
        .default([])
        .describe('names of which a certificate of another node must carry one'),
      'allow-plain-text': z
        .boolean()
        .default(false)
        .describe('let nodes talk without TLS beyond loopback'),
      'secret-key-path': path
        .optional()
        .describe('file with the key that seals stored passwords, the same on every node'),
      'api-token-path': path
        .optional()
        .describe('file with the token that API clients must show; needed beyond loopback'),
    })
    .prefault({}),
});

/** What the file says, with defaults filled in. */
export interface ServerFile {
  /** Null: nodes talk in plain text. */
  readonly tls: {
    readonly caPath: string;
    readonly certPath: string;
    readonly keyPath: string;
    readonly allowedNames: readonly string[];
  } | null;
  readonly allowPlainText: boolean;
  readonly apiTokenPath: string | null;
  /** Null: a key of the node's own, or one that its cluster keeps in etcd. */
  readonly secretKeyPath: string | null;
}

/** Reads `path`, or the defaults when it is undefined; CONFIG_INVALID lists every problem with its key. */
export function readServerFile(path: string | undefined): ServerFile {
  const where = path ?? 'configuration';
  const parsed = schema.safeParse(path === undefined ? {} : readToml(path));
  if (!parsed.success) {
    return fail('CONFIG_INVALID', `${where}: ${problemsOf(parsed.error, 'file').join('; ')}`);
  }
  const { security } = parsed.data;
  const { 'ca-path': caPath, 'cert-path': certPath, 'key-path': keyPath } = security;
  const given = [caPath, certPath, keyPath].filter((one) => one !== undefined).length;
  if (given !== 0 && given !== 3) {
    fail('CONFIG_INVALID', `${where}: security.ca-path, cert-path and key-path belong together`);
  }
  const tls =
    caPath === undefined || certPath === undefined || keyPath === undefined
      ? null
      : { caPath, certPath, keyPath, allowedNames: security['cert-allowed-cn'] };
  return {
    tls,
    allowPlainText: security['allow-plain-text'],
    apiTokenPath: security['api-token-path'] ?? null,
    secretKeyPath: security['secret-key-path'] ?? null,
  };
}
