/** The URIs of databases: `mysql://user:password@host:port/database?key=value`, for the upstream and the sink alike. */
import { fail } from '../base/failure.ts';
import { Secret } from '../base/secret.ts';

/** A database URI in its parts; the password cannot be printed. */
export interface DatabaseUri {
  /** `mysql` (also for MariaDB) as written, in lower case. */
  readonly scheme: 'mysql' | 'mariadb';
  readonly user: string;
  readonly password: Secret;
  readonly host: string;
  /** 1…65535; 3306 when the URI names none. */
  readonly port: number;
  /** Path of a Unix socket; when set, host and port are not used. */
  readonly socket?: string;
  readonly database?: string;
  /** What stands behind `?`, decoded, without `socket`. Names are lower case with dashes. */
  readonly parameters: ReadonlyMap<string, string>;
}

const schemes: readonly string[] = ['mysql', 'mariadb'];

/** Reads a database URI. CONFIG_INVALID names every problem at once; its message never repeats the URI. */
export function parseDatabaseUri(uri: string): DatabaseUri {
  const problems: string[] = [];
  const url = parseUrl(uri, problems);
  if (url === undefined) return refuse(problems);
  const scheme = url.protocol.slice(0, -1).toLowerCase();
  if (!schemes.includes(scheme)) {
    problems.push(`scheme "${scheme}" is not one of ${schemes.join(', ')}`);
  }
  const parameters = readParameters(url.searchParams, problems);
  const socket = parameters.get('socket');
  parameters.delete('socket');
  const user = decodePart(url.username, 'user', problems);
  if (user === '') problems.push('the user is missing (mysql://USER:PASSWORD@HOST:PORT/)');
  const host = decodePart(url.hostname.replace(/^\[(.*)\]$/, '$1'), 'host', problems);
  if (host === '' && socket === undefined) problems.push('the host is missing');
  const database = decodePart(url.pathname.replace(/^\//, ''), 'database', problems);
  if (database.includes('/')) problems.push('the path holds more than one database name');
  if (url.hash !== '') problems.push('a # must be written as %23');
  const password = new Secret(decodePart(url.password, 'password', problems));
  if (problems.length > 0) return refuse(problems);
  return {
    scheme: scheme === 'mariadb' ? 'mariadb' : 'mysql',
    user,
    password,
    host: host === '' ? 'localhost' : host,
    port: url.port === '' ? 3306 : Number(url.port),
    ...(socket === undefined ? {} : { socket }),
    ...(database === '' ? {} : { database }),
    parameters,
  };
}

/** The URI with its password (and any parameter that holds one) as `***`: what may be shown. Total: takes any text. */
export function maskUri(uri: string): string {
  const schemeEnd = uri.indexOf('://');
  const start = schemeEnd < 0 ? 0 : schemeEnd + 3;
  const queryAt = uri.indexOf('?', start);
  const at = uri.lastIndexOf('@', queryAt < 0 ? uri.length : queryAt);
  const colon = uri.indexOf(':', start);
  let shown = uri;
  if (at >= start && colon >= 0 && colon < at) {
    // The last @ before the query: a password with an unescaped / or @ must not be shown in part.
    shown = `${uri.slice(0, colon)}:***${uri.slice(at)}`;
  } else if (
    queryAt >= 0 &&
    at < 0 &&
    colon >= 0 &&
    colon < queryAt &&
    uri.includes('@', queryAt)
  ) {
    shown = `${uri.slice(0, colon)}:***${uri.slice(uri.lastIndexOf('@'))}`;
  }
  return shown.replaceAll(
    /([?&][^=&]*(?:password|passphrase|secret|token)[^=&]*=)[^&]*/gi,
    '$1***',
  );
}

/** CONFIG_INVALID for every parameter of `uri` that is not in `known`, and a hint at the known ones. */
export function demandKnownParameters(uri: DatabaseUri, known: readonly string[]): void {
  const foreign = [...uri.parameters.keys()].filter((name) => !known.includes(name));
  if (foreign.length === 0) return;
  fail(
    'CONFIG_INVALID',
    `URI: unknown parameter ${foreign.map((name) => `"${name}"`).join(', ')}; known are ${known.join(', ')}`,
  );
}

function parseUrl(uri: string, problems: string[]): URL | undefined {
  // With a socket nobody needs a host, but a URL with a user and no host does not parse.
  const whole = uri.replace(/^([a-z]+:\/\/[^/?#]*@)(?=[/?]|$)/i, '$1localhost');
  if (!URL.canParse(whole)) {
    problems.push('it is not of the form mysql://user:password@host:port/?key=value');
    return undefined;
  }
  return new URL(whole);
}

function readParameters(search: URLSearchParams, problems: string[]): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [key, value] of search) {
    const name = key.toLowerCase().replaceAll('_', '-');
    if (parameters.has(name)) problems.push(`parameter "${name}" stands twice`);
    else if (value === '') problems.push(`parameter "${name}" has no value`);
    parameters.set(name, value);
  }
  return parameters;
}

function decodePart(text: string, name: string, problems: string[]): string {
  try {
    return decodeURIComponent(text);
  } catch {
    problems.push(`the ${name} has a % that does not begin an escape (write %25)`);
    return '';
  }
}

function refuse(problems: readonly string[]): never {
  return fail('CONFIG_INVALID', `URI: ${problems.join('; ')}`);
}
