import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ServerProcess } from '#test/servers/server-process.ts';

import type { SqlServer } from '#test/servers/sql-server.ts';

/** Which replication to run. */
export interface ReplicateProcessOptions {
  readonly upstream: SqlServer;
  readonly downstream: SqlServer;
  /** Where its log and its temporary files go; made when missing. */
  readonly directory: string;
  /** More of the command line. */
  readonly args?: readonly string[];
}

const command = fileURLToPath(new URL('../../bin/sluice', import.meta.url));

/** `sluice replicate --json --start oldest` as a process of its own, which never outlives the test. */
export class ReplicateProcess {
  readonly #process: ServerProcess;
  readonly #logFile: string;
  readonly #logStart: number;

  constructor(options: ReplicateProcessOptions) {
    const { upstream, downstream, directory, args = [] } = options;
    mkdirSync(directory, { recursive: true });
    this.#logFile = join(directory, 'replicate.log');
    this.#logStart = readText(this.#logFile).length;
    const uris = ['--upstream', upstream.uri(), '--sink-uri', downstream.uri()];
    this.#process = new ServerProcess({
      program: command,
      args: ['replicate', '--json', '--start', 'oldest', ...uris, ...args],
      // Compiled code is kept between runs: a start takes a third of the time, and kills reach further.
      env: { TMPDIR: directory, NODE_COMPILE_CACHE: join(directory, 'compiled') },
      directory,
      logFile: this.#logFile,
    });
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** False once it has ended, by itself or killed. */
  get running(): boolean {
    return this.#process.running;
  }

  /** Everything it has written so far. */
  get log(): string {
    return readText(this.#logFile).slice(this.#logStart);
  }

  /** Waits for the first word of its changefeed's maintainer, at most `limitMs`; before it, status lines say `starting`. */
  async speaks(limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (
      this.running &&
      !/"stage":"(?!starting")/.test(this.log) &&
      performance.now() < deadline
    ) {
      await sleep(5);
    }
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.#process.signal('SIGKILL');
    await this.#process.ended(10_000);
  }

  /** Waits for its end, at most `limitMs`, and answers its last JSON line; {} when there is none. */
  async result(limitMs: number): Promise<Readonly<Record<string, unknown>>> {
    await this.#process.ended(limitMs);
    const last = this.log.trimEnd().split('\n').at(-1) ?? '';
    return last.startsWith('{"ok"') ? (JSON.parse(last) as Record<string, unknown>) : {};
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
