/** What a person or a script sees while a replication runs: one live line, or JSON lines. */
import { lagMs, type ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { ReplicationResult } from './replication.ts';

const everyMs = 1_000;
/** A new state or failure is shown sooner. */
const changeMs = 100;

/** Shows statuses on standard output, at most one a second or a new state in between; the same object serves one run. */
export class Progress {
  readonly #json: boolean;
  #shownMs = -everyMs;
  #phase = '';
  #rows = 0;
  #lineOpen = false;

  constructor(json: boolean) {
    this.#json = json;
  }

  /** Takes every status; shows some. */
  status(status: ChangefeedStatus): void {
    const nowMs = performance.now();
    const sinceMs = nowMs - this.#shownMs;
    const phase = `${status.state} ${status.failure?.code ?? ''}`;
    if (sinceMs < (phase === this.#phase ? everyMs : changeMs)) return;
    this.#shownMs = nowMs;
    this.#phase = phase;
    const rowsPerSecond = Math.max(
      0,
      Math.round(((status.counts.rows - this.#rows) * 1_000) / sinceMs),
    );
    this.#rows = status.counts.rows;
    if (this.#json) this.#writeJson(status, rowsPerSecond);
    else this.#writeLine(status, rowsPerSecond);
  }

  /** The last line: the result of DESIGN §17 as JSON, or a sentence. */
  result(result: ReplicationResult, more: Readonly<Record<string, unknown>> = {}): void {
    const { status, elapsedMs } = result;
    const ok = result.ok && more['ok'] !== false;
    if (this.#json) {
      const { rows, transactions, ddl } = status.counts;
      const error = status.failure;
      const body = ok
        ? {
            ok,
            state: status.state,
            checkpoint: shortPosition(status),
            rows,
            transactions,
            ddl,
            elapsedMs: Math.round(elapsedMs),
            ...more,
          }
        : {
            ...more,
            ok,
            error: {
              code: error?.code ?? 'PROOF_FAILED',
              message: error?.message ?? 'the proof failed',
            },
          };
      process.stdout.write(`${JSON.stringify(body)}\n`);
      return;
    }
    this.#endLine();
    const { rows, transactions, ddl } = status.counts;
    const seconds = (elapsedMs / 1_000).toFixed(1);
    process.stdout.write(
      status.failure !== null && !result.ok
        ? `failed: ${status.failure.code}: ${status.failure.message}\n`
        : `${status.state}: ${rows} rows in ${transactions} transactions, ${ddl} DDL, in ${seconds} s; checkpoint ${status.checkpoint?.gtid ?? 'none'}\n`,
    );
  }

  #writeJson(status: ChangefeedStatus, rowsPerSecond: number): void {
    const { state, stage, counts, spanCount } = status;
    const line = {
      state,
      stage,
      ...counts,
      rowsPerSecond,
      spans: spanCount,
      lagMs: lagMs(status, Date.now()),
      checkpoint: shortPosition(status),
    };
    const failure =
      status.failure === null
        ? {}
        : { failure: { code: status.failure.code, message: status.failure.message } };
    process.stdout.write(`${JSON.stringify({ ...line, ...failure })}\n`);
  }

  #writeLine(status: ChangefeedStatus, rowsPerSecond: number): void {
    const trouble =
      status.failure === null ? '' : `  ${status.failure.code}: ${status.failure.message}`;
    const text =
      `${status.state} (${status.stage})  ${rowsPerSecond} rows/s  ${status.counts.rows} rows  ` +
      `lag ${lagMs(status, Date.now())} ms  ${status.spanCount} tables  checkpoint ${status.checkpoint?.gtid ?? '-'}${trouble}`;
    if (process.stdout.isTTY) {
      process.stdout.write(`\r\u001b[K${text.slice(0, (process.stdout.columns ?? 120) - 1)}`);
      this.#lineOpen = true;
    } else process.stdout.write(`${text}\n`);
  }

  #endLine(): void {
    if (this.#lineOpen) process.stdout.write('\n');
    this.#lineOpen = false;
  }
}

function shortPosition(
  status: ChangefeedStatus,
): { readonly ts: number; readonly gtid: string } | null {
  return status.checkpoint === null
    ? null
    : { ts: status.checkpoint.ts, gtid: status.checkpoint.gtid };
}
