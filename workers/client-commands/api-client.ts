/** The command line's side of the HTTP API: one request, its answer or a Failure in the server's own words. */
import { readFileSync } from 'node:fs';
import { fail, failure, FailureError } from '#src/base/failure.ts';
import { failureCatalogue, type FailureCode } from '#src/base/failures.ts';
import { Secret } from '#src/base/secret.ts';
import { maskUri } from '#src/config/uri.ts';

/** Options every client command has. */
export interface ClientOptions {
  readonly server: string;
  readonly tokenFile?: string;
  readonly json?: boolean;
}

/** An answer's body. */
export type Answer = Readonly<Record<string, unknown>>;

const requestMsMax = 120_000;
/** Nothing of the request has left this process then: another node may be asked. */
const notSent: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Talks to one node: the first of those given that can be reached. */
export class ApiClient {
  readonly #origins: readonly string[];
  readonly #token: Secret | null;

  /** CONFIG_INVALID for a URL or token file that is none. */
  constructor({ server, tokenFile }: ClientOptions) {
    this.#origins = server.split(',').map(originOf);
    this.#token = tokenFile === undefined ? null : readToken(tokenFile, '--token-file');
  }

  get(path: string): Promise<Answer> {
    return this.#call('GET', path, undefined);
  }

  post(path: string, body?: Answer): Promise<Answer> {
    return this.#call('POST', path, body);
  }

  put(path: string, body: Answer): Promise<Answer> {
    return this.#call('PUT', path, body);
  }

  delete(path: string): Promise<Answer> {
    return this.#call('DELETE', path, undefined);
  }

  async #call(method: string, path: string, body: Answer | undefined): Promise<Answer> {
    const response = await this.#fetch(path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(this.#token === null ? {} : { authorization: `Bearer ${this.#token.reveal()}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(requestMsMax),
    });
    const answer = await bodyOf(response);
    if (response.ok) return answer;
    const { error_code: code, error_msg: message } = answer;
    throw new FailureError(
      failure(
        typeof code === 'string' && isCode(code) ? code : 'API_UNREACHABLE',
        typeof message === 'string' ? message : `status ${response.status}`,
      ),
    );
  }

  async #fetch(path: string, request: RequestInit): Promise<Response> {
    const tried: string[] = [];
    let cause = '';
    for (const origin of this.#origins) {
      tried.push(origin);
      try {
        return await fetch(`${origin}/api/v2${path}`, request);
      } catch (error) {
        cause = String(error);
        if (!notSent.has(codeOf(error))) break;
      }
    }
    return fail('API_UNREACHABLE', `no sluice server answers at ${tried.join(', ')}`, { cause });
  }
}

function originOf(server: string): string {
  const url = URL.canParse(server) ? new URL(server) : null;
  if (url !== null && ['http:', 'https:'].includes(url.protocol)) return url.origin;
  return fail(
    'CONFIG_INVALID',
    `--server: "${maskUri(server)}" is not of the form http://HOST:PORT`,
  );
}

function codeOf(error: unknown): unknown {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && 'code' in cause ? cause.code : undefined;
}

/** The token in `path`; CONFIG_INVALID, beginning with `option`, when there is none. */
export function readToken(path: string, option: string): Secret {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    return fail('CONFIG_INVALID', `${option}: ${path} cannot be read`, { cause: String(error) });
  }
  if (text.length < 16) fail('CONFIG_INVALID', `${option}: a token has at least 16 characters`);
  return new Secret(text);
}

async function bodyOf(response: Response): Promise<Answer> {
  try {
    return (await response.json()) as Answer;
  } catch {
    return { error_msg: 'what answers is no sluice server' };
  }
}

function isCode(code: string): code is FailureCode {
  return Object.hasOwn(failureCatalogue, code);
}
