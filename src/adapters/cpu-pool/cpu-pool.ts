/**
 * Threads for stateless CPU work on piscina (port: src/ports/cpu.ts). They start with the first request, end when there is
 * nothing to do for a while, and end with the thread that opened the pool; none of them keeps the process.
 */
import { availableParallelism } from 'node:os';
import type { Piscina } from 'piscina';
import { failed, failure, messageOf, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { CpuAnswer, CpuPort, CpuRequest } from '#src/ports/cpu.ts';
import type { CpuResult } from './cpu-task.ts';

/** Bounds of a pool. */
export interface CpuPoolOptions {
  readonly threadCountMax?: number;
  /** Requests that wait for a thread; one more is CPU_BUSY. */
  readonly queueCountMax?: number;
}

/** One core stays with the threads that have cells. */
const threadCountDefault = Math.min(4, Math.max(1, availableParallelism() - 1));
const queueCountDefault = 16;
const idleMs = 10_000;

/** Opens a pool; nothing is started or loaded before its first call. */
export function openCpuPool(options: CpuPoolOptions = {}): CpuPort {
  const pool = new CpuPool(options);
  return { call: (request, signal) => pool.call(request, signal), close: () => pool.close() };
}

class CpuPool {
  readonly #options: CpuPoolOptions;
  #pool: Promise<Piscina> | null = null;
  #isClosed = false;

  constructor(options: CpuPoolOptions) {
    this.#options = options;
  }

  async call(request: CpuRequest, signal?: AbortSignal): Promise<Outcome<CpuAnswer>> {
    try {
      this.#pool ??= this.#open();
      const pool = await this.#pool;
      if (this.#isClosed) return failed(stopped('the pool is closed'));
      const packed = new Uint8Array(request.packed);
      const result = (await pool.run(
        { ...request, packed },
        { transferList: [packed.buffer], signal: signal ?? null },
      )) as CpuResult;
      return result instanceof Uint8Array
        ? ok({ kind: 'Unpacked', bytes: result })
        : failed(result);
    } catch (error) {
      return failed(this.#translate(error, signal));
    }
  }

  /** Ends all threads, whatever they do; calls under way answer INTERNAL_STOPPED. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await (await this.#pool)?.destroy();
  }

  async #open(): Promise<Piscina> {
    const { threadCountMax, queueCountMax } = this.#options;
    const { Piscina: Pool } = await import('piscina');
    return new Pool({
      filename: new URL('./cpu-task.ts', import.meta.url).href,
      name: 'perform',
      minThreads: 0,
      maxThreads: threadCountMax ?? threadCountDefault,
      maxQueue: queueCountMax ?? queueCountDefault,
      idleTimeout: idleMs,
      recordTiming: false,
    });
  }

  #translate(error: unknown, signal: AbortSignal | undefined): Failure {
    if (this.#isClosed || signal?.aborted === true) return stopped('the work was cancelled');
    const message = messageOf(error);
    // Piscina tells its errors by their text only.
    if (/^(Task queue is at limit|No task queue available)/.test(message))
      return failure('CPU_BUSY', 'all threads for CPU work are busy', { retry: 'Again' });
    return failure('INTERNAL_FAULT', `CPU work: ${message}`, { retry: 'Again' });
  }
}

function stopped(message: string): Failure {
  return failure('INTERNAL_STOPPED', message);
}
