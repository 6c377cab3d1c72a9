/** The command line as users run it: a process of its own, its JSON lines and its exit status. */
import { spawn, type ChildProcess } from 'node:child_process';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One JSON line. */
export type JsonLine = Readonly<Record<string, unknown>>;

/** How a command ended. */
export interface CommandEnd {
  /** Exit status; null when a signal ended the process. */
  readonly status: number | null;
  /** The last JSON line; empty when there was none. */
  readonly result: JsonLine;
  readonly lines: readonly JsonLine[];
  /** All of standard error. */
  readonly errors: string;
}

const program = fileURLToPath(new URL('../../bin/sluice', import.meta.url));
const compiled = join(tmpdir(), `sluice-compiled-${userInfo().uid}`);
const tickMs = 50;

/** A running `sluice`. */
export class SluiceCommand {
  readonly child: ChildProcess;
  /** Resolves when the process has ended. */
  readonly end: Promise<CommandEnd>;
  /** JSON lines so far. */
  readonly lines: JsonLine[] = [];
  #isOver = false;

  constructor(args: readonly string[]) {
    this.child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Compiled code is kept between runs: a start takes a third of the time.
      env: { ...process.env, NODE_OPTIONS: '', NODE_COMPILE_CACHE: compiled },
    });
    const ended = Promise.withResolvers<CommandEnd>();
    this.end = ended.promise;
    let rest = '';
    let errors = '';
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop()!;
      for (const part of parts) {
        if (part.startsWith('{')) this.lines.push(JSON.parse(part) as JsonLine);
      }
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const atExit = (): void => void this.child.kill('SIGKILL');
    process.once('exit', atExit);
    this.child.once('close', (status) => {
      process.off('exit', atExit);
      this.#isOver = true;
      ended.resolve({ status, result: this.lines.at(-1) ?? {}, lines: this.lines, errors });
    });
  }

  /** Waits for a line that `wanted` takes; throws when the process ends or `limitMs` pass before. */
  async line(wanted: (line: JsonLine) => boolean, limitMs = 60_000): Promise<JsonLine> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const found = this.lines.find(wanted);
      if (found !== undefined) return found;
      if (this.#isOver || performance.now() > deadline) {
        throw new Error(`no such line: ${JSON.stringify(this.lines.at(-1))}`);
      }
      await new Promise((resolve) => setTimeout(resolve, tickMs));
    }
  }

  /** Sends a signal. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

/** Runs a command to its end; killed after `limitMs`, which shows as a null status. */
export async function sluice(args: readonly string[], limitMs = 240_000): Promise<CommandEnd> {
  const command = new SluiceCommand(args);
  const timer = setTimeout(() => command.signal('SIGKILL'), limitMs);
  try {
    return await command.end;
  } finally {
    clearTimeout(timer);
  }
}
