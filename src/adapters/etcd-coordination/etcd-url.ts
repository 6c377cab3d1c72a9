/** The option `--etcd`: one URL per member, `http(s)://[user:password@]host[:port][/?ca=FILE&cert=FILE&key=FILE]`, by commas. */
import { readFileSync } from 'node:fs';
import { fail } from '#src/base/failure.ts';
import { Secret } from '#src/base/secret.ts';

/** The members of an etcd cluster and how to be let in; the same account and certificates for all of them. */
export interface EtcdAddress {
  /** `host:port` each, in the order given. */
  readonly hosts: readonly string[];
  readonly account: { readonly user: string; readonly password: Secret } | null;
  readonly tls: EtcdTls | null;
}

/** TLS with certificate checks, always; `ca` null: the authorities of the system. */
export interface EtcdTls {
  readonly ca: Buffer | null;
  readonly client: { readonly cert: Buffer; readonly key: Buffer } | null;
}

const parameterNames = ['ca', 'cert', 'key'];
const hostCountMax = 16;

/** Reads the option. CONFIG_INVALID names every problem at once; its message never repeats a URL. */
export function parseEtcdUrls(option: string): EtcdAddress {
  const problems: string[] = [];
  const urls = option
    .split(',')
    .flatMap((text, index) => readUrl(text.trim(), index + 1, problems));
  if (urls.length > hostCountMax) problems.push(`more than ${hostCountMax} members`);
  const same = (what: string, of: (url: URL) => string): void => {
    if (new Set(urls.map((url) => of(url))).size > 1)
      problems.push(`${what} differs between members`);
  };
  same('the scheme', (url) => url.protocol);
  same('the account', (url) => `${url.username}:${url.password}`);
  same('what stands behind ?', (url) => url.search);
  const [url] = urls;
  if (url === undefined || problems.length > 0) return refuse(problems);
  const password = decode(url.password, 'password', problems);
  const user = decode(url.username, 'user', problems);
  const tls = readTls(url, problems);
  if (problems.length > 0) return refuse(problems);
  return {
    hosts: urls.map(({ hostname, port }) => `${hostname}:${port === '' ? 2379 : port}`),
    account: user === '' ? null : { user, password: new Secret(password) },
    tls,
  };
}

function readUrl(text: string, place: number, problems: string[]): readonly URL[] {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    problems.push(`member ${place} is not of the form http://host:port`);
    return [];
  }
  const url = new URL(text);
  if (url.pathname !== '/') problems.push(`member ${place} has a path`);
  if (url.hash !== '') problems.push(`member ${place}: a # must be written as %23`);
  if (url.username === '' && url.password !== '')
    problems.push(`member ${place} has a password without a user`);
  // The default port of http is not the default port of etcd.
  if (/:(80|443)(?=[/?]|$)/.test(text.slice(text.lastIndexOf('@') + 1)))
    problems.push(`member ${place}: etcd does not listen at port 80 or 443`);
  return [url];
}

function readTls(url: URL, problems: string[]): EtcdTls | null {
  const names = [...url.searchParams.keys()];
  const foreign = names.filter((name) => !parameterNames.includes(name));
  if (foreign.length > 0)
    problems.push(`unknown ${foreign.join(', ')}; known are ${parameterNames.join(', ')}`);
  if (new Set(names).size < names.length) problems.push('a parameter stands twice');
  if (url.protocol === 'http:') {
    if (names.length > foreign.length) problems.push('certificates need https');
    return null;
  }
  const [ca, cert, key] = parameterNames.map((name) => readPem(url, name, problems));
  if ((cert === null) !== (key === null)) problems.push('cert and key belong together');
  const client = cert && key ? { cert, key } : null;
  return { ca: ca ?? null, client };
}

function readPem(url: URL, name: string, problems: string[]): Buffer | null {
  const path = url.searchParams.get(name);
  if (path === null) return null;
  try {
    return readFileSync(path);
  } catch {
    problems.push(`the file of ${name} cannot be read`);
    return null;
  }
}

function decode(text: string, what: string, problems: string[]): string {
  try {
    return decodeURIComponent(text);
  } catch {
    problems.push(`the ${what} has a % that does not begin an escape (write %25)`);
    return '';
  }
}

function refuse(problems: readonly string[]): never {
  return fail('CONFIG_INVALID', `--etcd: ${problems.join('; ')}`, { scope: 'Node' });
}
