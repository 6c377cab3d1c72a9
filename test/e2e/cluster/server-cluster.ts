/** A cluster of `sluice server` processes over a real etcd: started, killed, frozen, and asked by the command line. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { must } from '#src/base/assert.ts';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { freePort } from '#test/servers/free-port.ts';
import { claimDirectory, releaseDirectory, ServerProcess } from '#test/servers/server-process.ts';
import { sluice, type CommandEnd, type JsonLine } from '#test/e2e/sluice-command.ts';

const command = fileURLToPath(new URL('../../../bin/sluice', import.meta.url));
const limitMs = 60_000;
const tickMs = 100;

/** Tables of one capture. */
export interface Placed {
  readonly captureId: string;
  readonly tables: readonly string[];
}

/** How every node is run. */
export interface ServerClusterOptions {
  readonly leaseTtlSeconds: number;
  /** More of the command line. */
  readonly args?: readonly string[];
  /** More of section `security` of node `i`'s configuration; files may be made in `directory`. */
  readonly security?: (i: number, directory: string) => Readonly<Record<string, string>>;
}

/** One node: it keeps its addresses and its directory from one process to the next. */
export class ServerMember {
  readonly address: string;
  readonly #args: readonly string[];
  readonly #directory: string;
  #process: ServerProcess | null = null;

  constructor(address: string, directory: string, args: readonly string[]) {
    this.address = address;
    this.#args = args;
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** Starts it, and waits until it is a node of its cluster. */
  async start(): Promise<void> {
    this.#process = new ServerProcess({
      program: command,
      args: ['server', '--addr', this.address, '--data-dir', this.#directory, ...this.#args],
      env: { TMPDIR: this.#directory },
      directory: this.#directory,
      logFile: this.#logFile,
    });
    await until(
      () => `${this.address} is healthy: ${this.log.slice(-2_000)}`,
      () => this.isHealthy(),
    );
  }

  /** Runs another node over the same directory, at another address, to its end. */
  another(): Promise<CommandEnd> {
    const place = ['--addr', '127.0.0.1:0', '--data-dir', this.#directory];
    return sluice(['server', ...place, ...this.#args], limitMs);
  }

  /** Whether it says that it holds its session. */
  async isHealthy(): Promise<boolean> {
    const answer = await fetch(`http://${this.address}/api/v2/health`).catch(() => null);
    return answer?.status === 200;
  }

  /** Its capture id now. */
  async captureId(): Promise<string> {
    const status = (await this.get('status')) as { readonly id: string };
    return status.id;
  }

  /** What its API answers at `path`; throws when that is an error. */
  async get(path: string): Promise<unknown> {
    const answer = await fetch(`http://${this.address}/api/v2/${path}`);
    const body = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${body}`);
    return JSON.parse(body) as unknown;
  }

  get isRunning(): boolean {
    return this.#process?.running === true;
  }

  /** Waits until it has ended by itself or as asked, half a minute at most; its exit status, null when a signal ended it. */
  async ended(): Promise<number | null> {
    const process = must(this.#process, 'a process');
    await process.ended(30_000);
    return process.exitStatus;
  }

  /** Sends a signal; a deadly one is waited for. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const process = must(this.#process, 'a process');
    if (signal === 'SIGSTOP') return process.freeze();
    process.signal(signal);
    if (signal !== 'SIGCONT') await process.ended(30_000);
  }

  /** Everything its processes have logged. */
  get log(): string {
    try {
      return readFileSync(this.#logFile, 'utf8');
    } catch {
      return '';
    }
  }

  get #logFile(): string {
    return join(this.#directory, 'server.log');
  }
}

/** See the top of this file. */
export class ServerCluster {
  readonly etcd: EtcdServer;
  readonly members: readonly ServerMember[];
  readonly #directory: string;

  private constructor(etcd: EtcdServer, members: readonly ServerMember[], directory: string) {
    this.etcd = etcd;
    this.members = members;
    this.#directory = directory;
  }

  /** Starts etcd and `count` nodes. */
  static async start(count: number, options: ServerClusterOptions): Promise<ServerCluster> {
    const directory = mkdtempSync(join(tmpdir(), 'sluice-servers-'));
    claimDirectory(directory);
    const key = join(directory, 'secret.key');
    writeFileSync(key, '5e'.repeat(32));
    const etcd = await startEtcd();
    const members: ServerMember[] = [];
    for (let i = 0; i < count; i += 1) {
      const [address, peer] = [await freePort(), await freePort()].map(
        (port) => `127.0.0.1:${port}`,
      );
      const own = join(directory, String(i));
      const config = join(directory, `${i}.toml`);
      const security = { 'secret-key-path': key, ...options.security?.(i, directory) };
      const lines = Object.entries(security).map(([name, value]) => `${name} = "${value}"\n`);
      writeFileSync(config, `[security]\n${lines.join('')}`);
      const args = ['--etcd', etcd.endpoint, '--peer-addr', must(peer, 'an address')];
      const more = ['--config', config, '--lease-ttl', String(options.leaseTtlSeconds)];
      members.push(
        new ServerMember(must(address, 'an address'), own, [
          ...args,
          ...more,
          ...(options.args ?? []),
        ]),
      );
    }
    const cluster = new ServerCluster(etcd, members, directory);
    await Promise.all(members.map((member) => member.start()));
    return cluster;
  }

  /** A client command with its JSON answer, by way of a member that runs. */
  async client(...args: readonly string[]): Promise<JsonLine> {
    const { address } = must(
      this.members.find(({ isRunning }) => isRunning),
      'a node that runs',
    );
    const end: CommandEnd = await sluice([...args, '--server', `http://${address}`, '--json']);
    if (end.status !== 0)
      throw new Error(`${args.join(' ')}: ${JSON.stringify(end.result)} ${end.errors}`);
    return end.result;
  }

  /** What a member that runs answers at `path`; tried again while the cluster sorts itself. */
  async get(path: string): Promise<unknown> {
    const deadline = performance.now() + limitMs;
    for (let turn = 0; ; turn += 1) {
      const running = this.members.filter(({ isRunning }) => isRunning);
      try {
        return await must(running[turn % running.length], 'a node that runs').get(path);
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await sleep(tickMs);
      }
    }
  }

  /** Ends a node's session as an operator might: etcd forgets its lease. */
  async revoke(member: ServerMember): Promise<void> {
    const captureId = await member.captureId();
    const key = Buffer.from(`/sluice/default/capture/${captureId}`).toString('base64');
    const { kvs } = (await this.etcd.call('kv/range', { key })) as {
      readonly kvs: readonly { readonly lease: string }[];
    };
    await this.etcd.call('lease/revoke', { ID: must(kvs[0], 'a key').lease });
  }

  /** Capture ids that a member sees. */
  async captures(): Promise<readonly string[]> {
    const { items } = (await this.get('captures')) as {
      readonly items: readonly { readonly id: string }[];
    };
    return items.map(({ id }) => id);
  }

  /** The member whose capture leads the cluster. */
  async coordinator(): Promise<ServerMember> {
    const { items } = (await this.get('captures')) as {
      readonly items: readonly { readonly address: string; readonly is_owner: boolean }[];
    };
    return this.#at(items.find((one) => one.is_owner)?.address);
  }

  /** The member whose capture maintains the changefeed. */
  async maintainer(id: string): Promise<ServerMember> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const feed = (await this.get(`changefeeds/${id}`)) as { readonly maintainer_addr: string };
      if (feed.maintainer_addr !== '') return this.#at(feed.maintainer_addr);
      if (performance.now() > deadline) throw new Error(`${id} has no maintainer`);
      await sleep(tickMs);
    }
  }

  /** Where the tables of a changefeed are; those that are nowhere are left out. */
  async tables(id: string): Promise<readonly Placed[]> {
    const { items } = (await this.get(`changefeeds/${id}/tables`)) as {
      readonly items: readonly { readonly node_id: string; readonly tables: readonly string[] }[];
    };
    return items
      .filter(({ node_id: captureId }) => captureId !== '')
      .map(({ node_id: captureId, tables }) => ({ captureId, tables }));
  }

  /** Waits until `count` tables are spread evenly over `nodes` members that run, and no others. */
  async balanced(id: string, count: number, nodes: number): Promise<readonly Placed[]> {
    let placed: readonly Placed[] = [];
    await until(
      () =>
        `${id} is balanced: ${JSON.stringify(placed.map(({ captureId, tables }) => [captureId, tables.length]))}`,
      async () => {
        placed = await this.tables(id);
        const counts = placed.map(({ tables }) => tables.length).filter((one) => one > 0);
        const sum = counts.reduce((total, one) => total + one, 0);
        const isEven = Math.max(...counts) - Math.min(...counts) <= 1;
        return sum === count && counts.length === nodes && isEven;
      },
    );
    return placed;
  }

  /** Waits until the changefeed's checkpoint is at or beyond `ts`. */
  async reaches(id: string, ts: number): Promise<void> {
    let seen: unknown;
    await until(
      () => `${id} reaches ${ts}: ${JSON.stringify(seen)}`,
      async () => {
        seen = await this.get(`changefeeds/${id}`);
        return (seen as { readonly checkpoint_ts: number }).checkpoint_ts >= ts;
      },
    );
  }

  /** Ends all nodes in order, then etcd. */
  async stop(): Promise<void> {
    await Promise.all(
      this.members.filter(({ isRunning }) => isRunning).map((one) => one.signal('SIGTERM')),
    );
    await this.etcd.stop();
    releaseDirectory(this.#directory);
  }

  #at(address: string | undefined): ServerMember {
    return must(
      this.members.find((member) => member.address === address),
      `a member at ${address ?? 'nowhere'}`,
    );
  }
}

/** Waits until `holds`, a minute at most. */
export async function until(what: () => string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`never: ${what()}`);
    await sleep(tickMs);
  }
}
