/** Certificates for tests, made by openssl in a directory of the caller's. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of one certificate. */
export interface CertificateFiles {
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
}

/** An authority that signs certificates for 127.0.0.1. */
export class Authority {
  readonly #directory: string;
  readonly #name: string;

  private constructor(directory: string, name: string) {
    this.#directory = directory;
    this.#name = name;
  }

  /** Makes an authority of its own key. */
  static make(directory: string, name = 'authority'): Authority {
    const authority = new Authority(directory, name);
    const { key, cert } = authority.#own;
    const subject = ['-subj', `/CN=${name}`];
    openssl(['req', '-x509', ...newKey(key), '-days', '2', ...subject, '-out', cert]);
    return authority;
  }

  /** Signs a certificate; `days` below zero makes one that has expired, `host` is the address it names. */
  issue(
    name: string,
    { days = 2, host = '127.0.0.1' }: { days?: number; host?: string } = {},
  ): CertificateFiles {
    const file = (suffix: string): string =>
      join(this.#directory, `${this.#name}-${name}.${suffix}`);
    const [key, request, cert, extension] = ['key', 'csr', 'pem', 'ext'].map(file) as [
      string,
      string,
      string,
      string,
    ];
    writeFileSync(extension, `subjectAltName=IP:${host},DNS:${name}\n`);
    openssl(['req', '-new', ...newKey(key), '-subj', `/CN=${name}`, '-out', request]);
    const { key: caKey, cert: caCert } = this.#own;
    const sign = ['-CA', caCert, '-CAkey', caKey, '-CAcreateserial', '-extfile', extension];
    openssl(['x509', '-req', '-in', request, ...sign, '-days', String(days), '-out', cert]);
    return { caPath: caCert, certPath: cert, keyPath: key };
  }

  get #own(): { readonly key: string; readonly cert: string } {
    return {
      key: join(this.#directory, `${this.#name}.key`),
      cert: join(this.#directory, `${this.#name}.pem`),
    };
  }
}

function newKey(path: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', path];
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: 'pipe' });
}
