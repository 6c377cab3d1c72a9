/** TLS between captures: both sides show a certificate of the cluster's authority (RELIABILITY §5). */
import { readFileSync, statSync } from 'node:fs';
import { checkServerIdentity, createSecureContext, type PeerCertificate } from 'node:tls';
import { ChannelCredentials, ServerCredentials } from '@grpc/grpc-js';
import { fail } from '../../base/failure.ts';

/** Files of a node's certificate; they are read anew when they change. */
export interface PeerTls {
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
  /** When not empty, a certificate must carry one of these names. */
  readonly allowedNames: readonly string[];
}

interface Pems {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** Credentials of this node, and a `stamp` that changes when a file does. CONFIG_INVALID when a file cannot be read. */
export class PeerCertificates {
  readonly #tls: PeerTls;

  constructor(tls: PeerTls) {
    this.#tls = tls;
  }

  /** Differs when a certificate file was replaced; total. */
  stamp(): string {
    const { caPath, certPath, keyPath } = this.#tls;
    return [caPath, certPath, keyPath]
      .map((path) => {
        const found = statSync(path, { throwIfNoEntry: false });
        return found === undefined ? 'none' : `${found.mtimeMs}-${found.ino}-${found.size}`;
      })
      .join(' ');
  }

  /** For listening: a client without a certificate of the authority is refused by TLS itself. */
  server(): ServerCredentials {
    const { ca, cert, key } = this.#read();
    return ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], true);
  }

  /** For connecting: the certificate must name `host`, and pass `check`. */
  channel(host: string, check: (names: readonly string[]) => string | null): ChannelCredentials {
    const { ca, cert, key } = this.#read();
    const context = createSecureContext({ ca, cert, key, minVersion: 'TLSv1.2' });
    return ChannelCredentials.createFromSecureContext(context, {
      // Not the name the library passes: that is a placeholder where the host is a number.
      checkServerIdentity: (_servername, certificate) => {
        const wrong = checkServerIdentity(host, certificate);
        if (wrong !== undefined) return wrong;
        const refusal = this.refusal(namesOf(certificate)) ?? check(namesOf(certificate));
        return refusal === null ? undefined : new Error(refusal);
      },
    });
  }

  /** Why a certificate of these names may not take part, or null. */
  refusal(names: readonly string[]): string | null {
    const { allowedNames } = this.#tls;
    if (allowedNames.length === 0 || names.some((name) => allowedNames.includes(name))) return null;
    return `the certificate of ${names[0] ?? 'nobody'} carries none of the allowed names`;
  }

  #read(): Pems {
    const read = (path: string, key: string): Buffer => {
      try {
        return readFileSync(path);
      } catch (error) {
        return fail('CONFIG_INVALID', `${key}: the file cannot be read`, { cause: String(error) });
      }
    };
    const { caPath, certPath, keyPath } = this.#tls;
    return {
      ca: read(caPath, 'security.ca-path'),
      cert: read(certPath, 'security.cert-path'),
      key: read(keyPath, 'security.key-path'),
    };
  }
}

/** Names a certificate carries: common name first, then alternative names without their type. */
export function namesOf(certificate: PeerCertificate): readonly string[] {
  const common: string | string[] | undefined = certificate.subject?.CN;
  const others = (certificate.subjectaltname ?? '')
    .split(', ')
    .filter((entry) => entry !== '')
    .map((entry) => entry.slice(entry.indexOf(':') + 1));
  return [...new Set([...(common === undefined ? [] : [common].flat()), ...others])];
}
