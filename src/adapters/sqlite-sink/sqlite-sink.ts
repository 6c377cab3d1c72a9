/**
 * The sink into a SQLite file (port: src/ports/sink.ts). Each table of upstream is one table named `schema.table`. One
 * lane: rows, position and guard commit in one immediate transaction, so the fence is exact even between processes.
 * Several instances, one per thread, share the file.
 */
import { randomUUID } from 'node:crypto';
import { must, unreachable } from '#src/base/assert.ts';
import { type Outcome, fail, failed, failure, ok } from '#src/base/failure.ts';
import type { Checkpoint } from '#src/model/position.ts';
import type { Log } from '#src/ports/log.ts';
import type { SinkAnswer, SinkApplied, SinkPort, SinkRequest } from '#src/ports/sink.ts';
import { type BatchCounts, SqliteBatch, TableCache } from './sqlite-batch.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import { SqliteConnection } from './sqlite-connection.ts';
import { runSqliteDdl } from './sqlite-ddl.ts';
import { translateSqliteError } from './sqlite-error.ts';
import {
  advanceSlot,
  guardSlot,
  makeMetaTables,
  noteDdl,
  raiseSlot,
  readSlot,
  retireSlots,
  slotState,
  storeCheckpoint,
} from './sqlite-slot.ts';
import { StagedTransaction } from './sqlite-stage.ts';
import { parseSqliteUri } from './sqlite-uri.ts';

/** What the sink needs to open. */
export interface SqliteSinkOptions {
  /** `sqlite:///path/to/file`; the file is made when missing. */
  readonly uri: string;
  readonly log: Log;
  readonly gate?: SubmitGate;
}

type ApplyRequest = Extract<SinkRequest, { kind: 'Apply' }>;
type DdlRequest = Extract<SinkRequest, { kind: 'RunDdl' }>;

/** Opens the sink; FailureError CONFIG_INVALID when the URI is wrong. The file is opened by the first call. */
export function openSqliteSink(options: SqliteSinkOptions): SinkPort {
  const sink = new SqliteSink(parseSqliteUri(options.uri), options);
  return { call: (request) => sink.call(request), close: () => sink.close() };
}

class SqliteSink {
  readonly #path: string;
  readonly #log: Log;
  readonly #gate: SubmitGate | undefined;
  #opening: Promise<OpenFile> | null = null;
  /** Transactions a slot had after our last one, with the token it had: another writer of the same token is noticed. */
  readonly #seqs = new Map<string, { readonly token: number; readonly seq: number }>();
  /** Transactions that are larger than one call, by changefeed and span. */
  readonly #staged = new Map<string, StagedTransaction>();
  #isClosed = false;

  constructor(path: string, options: SqliteSinkOptions) {
    this.#path = path;
    this.#log = options.log;
    this.#gate = options.gate;
  }

  async call(request: SinkRequest): Promise<Outcome<SinkAnswer>> {
    if (this.#isClosed) return failed(failure('INTERNAL_STOPPED', 'the SQLite sink is closed'));
    try {
      return ok(await this.#answer(await this.#file(), request));
    } catch (error) {
      return failed(translateSqliteError(error));
    }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const staged of this.#staged.values()) staged.drop();
    this.#staged.clear();
    const file = await this.#opening?.catch(() => undefined);
    file?.connection.close();
  }

  /** Opens the file once; a failed attempt is not kept. */
  #file(): Promise<OpenFile> {
    this.#opening ??= openFile(this.#path, this.#gate).catch((error: unknown) => {
      this.#opening = null;
      throw error;
    });
    return this.#opening;
  }

  #answer(file: OpenFile, request: SinkRequest): SinkAnswer | Promise<SinkAnswer> {
    switch (request.kind) {
      case 'Open':
        return this.#open(file, request.changefeed);
      case 'RaiseFeed':
        return this.#raiseFeed(file, request.changefeed, request.token);
      case 'RaiseSpan':
        return this.#raiseSpan(file, request);
      case 'Apply':
        return request.stage === 'whole'
          ? this.#applyWhole(file, request)
          : this.#applyStage(request);
      case 'SaveCheckpoint':
        return this.#save(file, request.changefeed, request.token, request.checkpoint);
      case 'RunDdl':
        return this.#runDdl(file, request);
      case 'CheckSplit':
        return { kind: 'SplitChecked', refusal: 'a SQLite file has one writer at a time' };
      case 'Reslot':
        return fail('SINK_REFUSED', 'a SQLite file holds no parts of tables');
      case 'RetireFeed':
        return this.#retireFeed(file, request.changefeed, request.token);
      case 'ReadGroups':
        // SQLite tables made here have no foreign keys.
        return { kind: 'GroupsRead', groups: {} };
      case 'Release':
        this.#release(request.span);
        return { kind: 'Done' };
      default:
        return unreachable(request);
    }
  }

  async #open(file: OpenFile, changefeed: string): Promise<SinkAnswer> {
    const { connection } = file;
    await connection.transaction(() => proveGuard(connection, `${changefeed}/canary`));
    const version = String(connection.row('SELECT sqlite_version() AS version')?.['version']);
    return { kind: 'Opened', version: `SQLite ${version}`, serverId: file.identity, laneCount: 1 };
  }

  async #raiseFeed(file: OpenFile, cf: string, token: number): Promise<SinkAnswer> {
    const row = await file.connection.transaction(() =>
      raiseSlot(file.connection, cf, { span: '', token, ts: 0, isStrict: true }),
    );
    this.#log('info', 'feed-raised', { changefeed: cf, token });
    const checkpoint = row.checkpoint === null ? null : (JSON.parse(row.checkpoint) as Checkpoint);
    return { kind: 'FeedRaised', checkpoint, parts: [] };
  }

  async #retireFeed(file: OpenFile, cf: string, token: number): Promise<SinkAnswer> {
    await file.connection.transaction(() => retireSlots(file.connection, cf, token));
    return { kind: 'FeedRetired' };
  }

  async #raiseSpan(
    file: OpenFile,
    request: Extract<SinkRequest, { kind: 'RaiseSpan' }>,
  ): Promise<SinkAnswer> {
    const { changefeed, span, token, ts } = request;
    this.#release(span);
    const row = await file.connection.transaction(() =>
      raiseSlot(file.connection, changefeed, { span, token, ts, isStrict: false }),
    );
    this.#seqs.set(slotKey(changefeed, span), { token, seq: row.seq });
    return { kind: 'SpanRaised', lanes: [slotState(row)] };
  }

  async #applyWhole(file: OpenFile, request: ApplyRequest): Promise<SinkAnswer> {
    const { connection, cache } = file;
    const { changefeed, span, token } = request;
    const key = slotKey(changefeed, span);
    this.#dropStaged(key);
    cache.at(request.schemaVersion);
    const seq = this.#seqOf(key, token);
    try {
      const { applied, newSeq } = await connection.transaction(() => {
        const slot = guardSlot(connection, changefeed, { span, token, seq });
        const afterTs = Math.max(request.afterTs, slot.ts);
        const range = { afterTs, untilTs: request.untilTs, isIdempotent: request.idempotent };
        const counts = new SqliteBatch(cache).apply(request.blocks, range);
        const isMoved = counts.lastTs > 0;
        if (isMoved)
          advanceSlot(connection, changefeed, slot, { ts: counts.lastTs, base: afterTs });
        const ts = isMoved ? counts.lastTs : afterTs;
        return { applied: answerOf(counts, ts), newSeq: slot.seq + (isMoved ? 1 : 0) };
      });
      this.#seqs.set(key, { token, seq: newSeq });
      return applied;
    } catch (error) {
      // A table made in a transaction that was rolled back is gone.
      cache.forget();
      throw error;
    }
  }

  async #applyStage(request: ApplyRequest): Promise<SinkAnswer> {
    const key = slotKey(request.changefeed, request.span);
    if (request.stage === 'begin') {
      this.#dropStaged(key);
      const { changefeed, span, token, afterTs, untilTs, idempotent } = request;
      const staged = await StagedTransaction.open(this.#path, this.#gate, {
        changefeed,
        span,
        token,
        seq: this.#seqOf(key, token),
        range: { afterTs, untilTs, isIdempotent: idempotent },
      });
      this.#staged.set(key, staged);
    }
    const staged = this.#staged.get(key);
    if (staged === undefined || staged.token !== request.token) {
      return fail('SINK_DISCONNECTED', 'the large transaction that this continues was lost', {
        retry: 'Resync',
        scope: 'Table',
      });
    }
    try {
      const counts = staged.apply(request.blocks, request.untilTs);
      if (request.stage !== 'end') return answerOf(counts, request.afterTs);
      const { ts, seq } = staged.commit();
      this.#staged.delete(key);
      this.#seqs.set(key, { token: request.token, seq });
      return answerOf(counts, ts);
    } catch (error) {
      this.#dropStaged(key);
      throw error;
    }
  }

  async #save(
    file: OpenFile,
    cf: string,
    token: number,
    checkpoint: Checkpoint,
  ): Promise<SinkAnswer> {
    const { connection } = file;
    await connection.transaction(() => {
      const slot = guardSlot(connection, cf, { span: '', token, seq: undefined });
      storeCheckpoint(connection, cf, slot, checkpoint);
    });
    return { kind: 'CheckpointSaved' };
  }

  /** SQLite's DDL is transactional: statement and note that it ran commit together, so it runs exactly once. */
  async #runDdl(file: OpenFile, request: DdlRequest): Promise<SinkAnswer> {
    const { connection, cache } = file;
    const ran = await connection.transaction(() => {
      guardSlot(connection, request.changefeed, { span: '', token: request.token, seq: undefined });
      if (noteDdl(connection, request.changefeed, request.ddl)) return false;
      runSqliteDdl(connection, request.ddl);
      return true;
    });
    cache.forget();
    return { kind: 'DdlDone', ran };
  }

  #seqOf(key: string, token: number): number | undefined {
    const known = this.#seqs.get(key);
    return known?.token === token ? known.seq : undefined;
  }

  #release(span: string): void {
    for (const key of [...this.#seqs.keys(), ...this.#staged.keys()]) {
      if (key.slice(key.indexOf('\0') + 1) !== span) continue;
      this.#seqs.delete(key);
      this.#dropStaged(key);
    }
  }

  #dropStaged(key: string): void {
    this.#staged.get(key)?.drop();
    this.#staged.delete(key);
  }
}

interface OpenFile {
  readonly connection: SqliteConnection;
  readonly cache: TableCache;
  /** Names the file for ever. */
  readonly identity: string;
}

async function openFile(path: string, gate: SubmitGate | undefined): Promise<OpenFile> {
  const connection = await SqliteConnection.open(path, gate);
  try {
    const identity = await connection.transaction(() =>
      makeMetaTables(connection, `sqlite-${randomUUID()}`),
    );
    return { connection, cache: new TableCache(connection), identity };
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** The canary: on a scratch slot a right guard must pass, a stale token and a wrong count must not. */
function proveGuard(connection: SqliteConnection, cf: string): void {
  const { token: before } = readSlot(connection, cf, '') ?? { token: 0 };
  const slot = raiseSlot(connection, cf, { span: '', token: before + 1, ts: 0, isStrict: true });
  advanceSlot(connection, cf, slot, { ts: slot.ts, base: slot.ts });
  const refused = [{ ...slot, token: before }, slot].every((stale) => {
    try {
      advanceSlot(connection, cf, stale, { ts: 0, base: 0 });
      return false;
    } catch {
      return true;
    }
  });
  const now = must(readSlot(connection, cf, ''), 'the scratch slot');
  if (!refused || now.seq !== slot.seq + 1) {
    fail('SINK_CANARY', 'the SQLite file accepted a stale token or a repeated transaction');
  }
}

function answerOf(counts: BatchCounts, ts: number): SinkApplied {
  const { rowCount, transactionCount, commitMs, byteCount } = counts;
  return {
    kind: 'Applied',
    ts,
    rowCount,
    transactionCount,
    writtenRowCount: rowCount,
    commitMs,
    byteCount,
  };
}

function slotKey(changefeed: string, span: string): string {
  return `${changefeed}\0${span}`;
}
