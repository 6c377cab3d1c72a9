import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { requireProgram } from './requirements.ts';
import { ServerProcess, becomesReady, claimDirectory, releaseDirectory } from './server-process.ts';

const PORT_TRIES = 8;

/** How to start a private etcd. */
export interface EtcdOptions {
  /** Flags added, e.g. `['--quota-backend-bytes=2097152']`. */
  readonly flags?: readonly string[];
  /** A directory to live in, kept after `stop`; its data are used again. Default: a new one, removed. */
  readonly directory?: string;
  /** One of several members, at ports of its own; `cluster` is etcd's initial-cluster. */
  readonly member?: {
    readonly name: string;
    readonly ports: readonly [client: number, peer: number];
    readonly cluster: string;
  };
  /** Listens for TLS as well, at `port`, and asks clients for a certificate of the same authority. */
  readonly secure?: {
    readonly port: number;
    readonly caPath: string;
    readonly certPath: string;
    readonly keyPath: string;
  };
}

/** A private single-member etcd on free ports of 127.0.0.1. It never outlives the test process. */
export class EtcdServer {
  readonly directory: string;
  readonly version: string;
  readonly #program: string;
  readonly #options: EtcdOptions;
  #ports: readonly [number, number] = [0, 0];
  #process: ServerProcess | null = null;

  private constructor(program: string, options: EtcdOptions) {
    this.#program = program;
    this.#options = options;
    this.version = etcdVersion(program);
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'sluice-etcd-'));
    if (options.directory === undefined) claimDirectory(this.directory);
    else mkdirSync(this.directory, { recursive: true });
  }

  /** Starts etcd and waits until it answers. */
  static async start(options: EtcdOptions = {}): Promise<EtcdServer> {
    const server = new EtcdServer(requireProgram('etcd'), options);
    await server.#run(null);
    return server;
  }

  /** The client port; it stays the same over a restart. */
  get port(): number {
    return this.#ports[0];
  }

  /** The client address, e.g. `http://127.0.0.1:23790`. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The process id. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Calls the JSON gateway, e.g. `call('kv/range', { key })`; throws on an error answer. */
  async call(path: string, body: Readonly<Record<string, unknown>>): Promise<unknown> {
    const response = await fetch(`${this.endpoint}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`etcd ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as unknown;
  }

  /** Sends a signal; a deadly one is waited for. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (signal === 'SIGSTOP') return this.#process?.freeze();
    this.#process?.signal(signal);
    if (signal === 'SIGCONT') return;
    await this.#process?.ended(30_000);
    this.#process = null;
  }

  /** Starts again on the same data and ports, ended first when it runs. */
  async restart(): Promise<void> {
    await this.#process?.stop();
    await this.#run(this.#ports);
  }

  /** Ends etcd and removes its directory. */
  async stop(): Promise<void> {
    await this.#process?.stop();
    this.#process = null;
    if (this.#options.directory === undefined) releaseDirectory(this.directory);
  }

  async #run(ports: readonly [number, number] | null): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      this.#ports = ports ?? this.#options.member?.ports ?? [await freePort(), await freePort()];
      const running = new ServerProcess({
        program: this.#program,
        args: [...this.#flags(), ...(this.#options.flags ?? [])],
        env: { ETCD_UNSUPPORTED_ARCH: process.arch },
        directory: this.directory,
        logFile: join(this.directory, 'server.log'),
      });
      this.#process = running;
      if (await becomesReady(running, () => this.#answers())) return;
      const { log } = running;
      await running.stop(1_000);
      this.#process = null;
      if (attempt < PORT_TRIES && log.includes('address already in use')) continue;
      if (this.#options.directory === undefined) releaseDirectory(this.directory);
      throw new Error(`etcd did not start:\n${log}`);
    }
  }

  #flags(): string[] {
    const client = `http://127.0.0.1:${this.#ports[0]}`;
    const peer = `http://127.0.0.1:${this.#ports[1]}`;
    const { member, secure } = this.#options;
    const name = member?.name ?? 'e1';
    const listen = secure === undefined ? client : `${client},https://127.0.0.1:${secure.port}`;
    const flags = {
      name,
      'data-dir': join(this.directory, 'data'),
      'listen-client-urls': listen,
      'advertise-client-urls': listen,
      'listen-peer-urls': peer,
      'initial-advertise-peer-urls': peer,
      'initial-cluster': member?.cluster ?? `${name}=${peer}`,
      logger: 'zap',
      'log-level': 'warn',
      ...(secure === undefined
        ? {}
        : {
            'cert-file': secure.certPath,
            'key-file': secure.keyPath,
            'trusted-ca-file': secure.caPath,
            'client-cert-auth': 'true',
          }),
    };
    return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
  }

  async #answers(): Promise<boolean> {
    try {
      await this.call('maintenance/status', {});
      return true;
    } catch {
      return false;
    }
  }
}

/** Starts a private single-member etcd. */
export function startEtcd(options: EtcdOptions = {}): Promise<EtcdServer> {
  return EtcdServer.start(options);
}

/** Starts a private cluster of three members. */
export async function startEtcdCluster(): Promise<readonly EtcdServer[]> {
  const names = ['e1', 'e2', 'e3'];
  const ports: (readonly [number, number])[] = [];
  for (const _ of names) ports.push([await freePort(), await freePort()]);
  const cluster = names.map((name, i) => `${name}=http://127.0.0.1:${ports[i]![1]}`).join(',');
  return await Promise.all(
    names.map((name, i) => EtcdServer.start({ member: { name, ports: ports[i]!, cluster } })),
  );
}

function etcdVersion(program: string): string {
  const text = execFileSync(program, ['--version'], {
    encoding: 'utf8',
    env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch },
  });
  return /etcd Version: (\S+)/.exec(text)?.[1] ?? 'unknown';
}
