/**
 * Passwords of URIs as they are stored and as actors hand them on: sealed (AES-256-GCM) under a key that the coordination
 * store does not hold in plain. Everything else of the URI stays readable, and what names the server is bound to the
 * seal: a password opens for no other server or account than the one it was given for.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { fail } from '#src/base/failure.ts';

const cipher = 'aes-256-gcm';
const mark = 'sealed.v1.';
const nonceBytes = 12;
const tagBytes = 16;
/** Scheme and account up to the colon, password, what names the server, and the rest. */
const form = /^([a-z][a-z0-9+.-]*:\/\/[^:/?#]*:)([^/?#]*)@([^/?#@]*)(.*)$/is;

/** Hexadecimal digits of a key. */
export const sealKeyDigits = 64;

/** See the top of this file. */
export class UriSeal {
  readonly #key: Buffer;

  /** `key`: {@link sealKeyDigits} hexadecimal digits. */
  constructor(key: string) {
    this.#key = Buffer.from(key, 'hex');
  }

  /** A new key. */
  static newKey(): string {
    return randomBytes(sealKeyDigits / 2).toString('hex');
  }

  /** The URI with its password sealed; as it is when it has none. */
  seal(uri: string): string {
    const [, account, password, server, rest] = form.exec(uri) ?? [];
    if (account === undefined || password === undefined || password === '') return uri;
    const nonce = randomBytes(nonceBytes);
    const sealing = createCipheriv(cipher, this.#key, nonce).setAAD(boundTo(account, server));
    const body = Buffer.concat([sealing.update(password, 'utf8'), sealing.final()]);
    const sealed = Buffer.concat([nonce, body, sealing.getAuthTag()]).toString('base64url');
    return `${account}${mark}${sealed}@${server}${rest}`;
  }

  /** The URI as it was given; SECRET_KEY_WRONG when it was sealed under another key, or changed since. */
  open(uri: string): string {
    const [, account, password, server, rest] = form.exec(uri) ?? [];
    if (account === undefined || password?.startsWith(mark) !== true) return uri;
    const sealed = Buffer.from(password.slice(mark.length), 'base64url');
    return `${account}${this.#open(sealed, boundTo(account, server))}@${server}${rest}`;
  }

  #open(sealed: Buffer, bound: Buffer): string {
    try {
      const opening = createDecipheriv(cipher, this.#key, sealed.subarray(0, nonceBytes))
        .setAAD(bound)
        .setAuthTag(sealed.subarray(-tagBytes));
      const body = opening.update(sealed.subarray(nonceBytes, -tagBytes));
      return Buffer.concat([body, opening.final()]).toString('utf8');
    } catch {
      return fail('SECRET_KEY_WRONG', 'a stored password was sealed under another key', {
        retry: 'Never',
      });
    }
  }
}

function boundTo(account: string, server: string | undefined): Buffer {
  return Buffer.from(`${account}@${server ?? ''}`, 'utf8');
}
