import { FailureError, fail, failed, failure, ok } from '#src/base/failure.ts';
import { isPart } from '#src/model/span.ts';
import { inTurn, runCanary } from './canary.ts';
import { FeedWriter } from './feed-writer.ts';
import { readEndpoint } from './endpoint.ts';
import { machine } from './machine.ts';
import { makeMetaTables, metaTables } from './meta-schema.ts';
import { openPlanning } from './planning.ts';
import { Raiser } from './raise.ts';
import { Reslotter } from './reslot.ts';
import { Retirer } from './retire.ts';
import { readServerFacts } from './server-facts.ts';
import { Sessions } from './sessions.ts';
import { encodePosition, readCheckpoint, readLane } from './slot-position.ts';
import { feedSlot, readSlotRow, slotColumns, slotIs, tokenMax } from './slot.ts';
import { literal } from './sql-text.ts';
import { SpanWriter } from './span-writer.ts';
import { sleep } from './surroundings.ts';
import { FencedWriter } from './transaction.ts';

import type { Outcome } from '#src/base/failure.ts';
import type { Log } from '#src/ports/log.ts';
import type { SinkAnswer, SinkOpened, SinkPort, SinkRequest } from '#src/ports/sink.ts';
import type { SubmitGate } from '#src/ports/submit-gate.ts';
import type { MetaTables } from './meta-schema.ts';
import type { Planning, PlanningParts } from './planning.ts';
import type { SessionPool } from './sessions.ts';
import type { SpanParts } from './span-writer.ts';
import type { Surroundings } from './surroundings.ts';

/** How to open a MySQL-family sink. */
export interface MysqlSinkOptions {
  /** `mysql://user:password@host:port/?key=value`. */
  readonly uri: string;
  readonly log: Log;
  /** Ordered writers per span, 1…16; default 2. */
  readonly laneCount?: number;
  /** Connections for whole transactions, 1…32; default 2. */
  readonly connectionCount?: number;
  /** Asked immediately before each submit; absent: always open. */
  readonly gate?: SubmitGate;
  /** The node's session; connections are found by it after a takeover. At most 96 characters count. */
  readonly owner: string;
  /** Time and connections; default: the real ones. */
  readonly surroundings?: Surroundings;
}

type RequestOf<Kind extends SinkRequest['kind']> = Extract<SinkRequest, { kind: Kind }>;

/** The sink for `mysql://` URIs; connects at `Open`. CONFIG_INVALID when the URI or a count is wrong. */
export function openMysqlSink(options: MysqlSinkOptions): SinkPort {
  return new MysqlSink(options, openPlanning);
}

/**
 * The fenced sink on MariaDB and MySQL: every transaction begins with the guard of its slot, every DDL runs behind the DDL
 * lock, and whatever the server may have done unseen is read back before anything is sent again.
 */
export class MysqlSink implements SinkPort {
  readonly #tables: MetaTables;
  readonly #sessions: Sessions;
  readonly #pool: SessionPool;
  readonly #raiser: Raiser;
  readonly #reslotter: Reslotter;
  readonly #retirer: Retirer;
  readonly #spanParts: SpanParts;
  readonly #feed: FeedWriter;
  readonly #laneCount: number;
  readonly #allowsGalera: boolean;
  readonly #makePlanning: (parts: PlanningParts) => Planning;
  readonly #spans = new Map<string, SpanWriter>();
  /** Version of the schema that table definitions were read under, per changefeed. */
  readonly #schemaVersions = new Map<string, number>();
  #planning: Planning | null = null;
  #opening: Promise<SinkOpened> | null = null;
  #nameCount = 0;
  #closed = false;

  constructor(options: MysqlSinkOptions, makePlanning: (parts: PlanningParts) => Planning) {
    const endpoint = readEndpoint(options.uri);
    const { log, gate, owner, surroundings = machine } = options;
    this.#laneCount = bounded(options.laneCount ?? 2, 16, 'laneCount');
    const connectionCount = bounded(options.connectionCount ?? 2, 32, 'connectionCount');
    this.#allowsGalera = endpoint.allowsGalera;
    this.#makePlanning = makePlanning;
    this.#tables = metaTables(endpoint.metaDatabase);
    const sessions = new Sessions(endpoint.connect, { owner, surroundings, log });
    this.#sessions = sessions;
    this.#pool = sessions.pool('writer', connectionCount);
    const parts = {
      sessions,
      tables: this.#tables,
      gate,
      log,
      sleep: (ms: number) => sleep(surroundings, ms),
    };
    this.#raiser = new Raiser(parts);
    const nextName = (): string => `${sessions.instance.slice(-12)}/${++this.#nameCount}`;
    const writer = new FencedWriter(parts);
    this.#spanParts = {
      ...parts,
      writer,
      pool: this.#pool,
      nextName,
      plan: (input) => this.#opened().plan(input),
    };
    this.#reslotter = new Reslotter(parts, nextName);
    this.#retirer = new Retirer(parts);
    this.#feed = new FeedWriter(parts, { writer, nextName });
  }

  /** One request; never throws at its caller. */
  readonly call = async (request: SinkRequest): Promise<Outcome<SinkAnswer>> => {
    try {
      if (this.#closed) fail('INTERNAL_STOPPED', 'the sink was closed');
      // Nothing is written before the canary passed (RELIABILITY I-13).
      if (!opensOrWritesNothing.has(request.kind)) this.#opened();
      return ok(await this.#answer(request));
    } catch (error) {
      if (this.#closed) return failed(failure('INTERNAL_STOPPED', 'the sink was closed'));
      if (error instanceof FailureError) return failed(error.failure);
      const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
      return failed(failure('INTERNAL_FAULT', 'the sink broke', { scope: 'Node', cause }));
    }
  };

  /** Closes all connections at once; resolves when the server has been told to end what it still works on, or cannot be told. */
  readonly close = async (): Promise<void> => {
    this.#closed = true;
    this.#pool.close();
    this.#spans.clear();
    await this.#sessions.close();
  };

  #answer(request: SinkRequest): Promise<SinkAnswer> {
    switch (request.kind) {
      case 'Open':
        return this.#openFeed(request.changefeed);
      case 'RaiseFeed':
        return this.#raiseFeed(request);
      case 'RaiseSpan':
        return this.#raiseSpan(request);
      case 'Apply':
        return this.#apply(request);
      case 'SaveCheckpoint':
        return this.#feed.saveCheckpoint(request);
      case 'RunDdl':
        return this.#runDdl(request);
      case 'CheckSplit':
        return this.#checkSplit(request.span);
      case 'Reslot':
        return this.#reslot(request);
      case 'RetireFeed':
        return this.#retireFeed(request);
      case 'ReadGroups':
        return this.#readGroups(request);
      case 'Release':
        this.#release(request.span);
        return Promise.resolve({ kind: 'Done' });
    }
  }

  async #openFeed(changefeed: string): Promise<SinkAnswer> {
    const opened = await this.#open();
    const where = slotIs({ changefeed, slot: feedSlot });
    const sql = `SELECT ${slotColumns} FROM ${this.#tables.slot} WHERE ${where}`;
    const [row] = await this.#sessions.control.with((session) =>
      session.rows(sql, 'read how far the changefeed is copied'),
    );
    const checkpoint = row === undefined ? null : readCheckpoint(readSlotRow(row));
    return checkpoint === null ? opened : { ...opened, copied: checkpoint.position };
  }

  async #open(): Promise<SinkOpened> {
    return this.#sessions.control.with(async (session) => {
      const facts = await readServerFacts(session);
      if (facts.isGalera && !this.#allowsGalera) {
        fail(
          'SINK_UNSUPPORTED',
          'locks of a Galera cluster hold on one node only: add allow-galera=true to the sink URI when a single node is written to',
        );
      }
      await inTurn(session, async () => {
        await makeMetaTables(session, this.#tables);
        await runCanary(session, this.#tables);
      });
      this.#planning ??= this.#makePlanning({
        query: (sql) =>
          this.#sessions.control.with((control) => control.rows(sql, 'read table definitions')),
        laneCount: this.#laneCount,
        packetBytesMax: session.statementBytesMax,
      });
      const { version, serverId } = facts;
      return { kind: 'Opened', version, serverId, laneCount: this.#laneCount };
    });
  }

  /** For spans: the feed was opened by the instance beside its maintainer, which may live on another thread. */
  #openOnce(): Promise<SinkOpened> {
    this.#opening ??= this.#open().finally(() => (this.#opening = null));
    return this.#opening;
  }

  async #raiseFeed(request: RequestOf<'RaiseFeed'>): Promise<SinkAnswer> {
    const { changefeed, token } = request;
    demandNames(changefeed, token);
    const raise = { changefeed, span: '', token, laneCount: 1, pos: '', refusesEqual: true };
    const rows = await this.#raiser.raise(raise);
    const row = rows.find(({ slot }) => slot === feedSlot);
    if (row === undefined) return fail('SINK_REGRESSED', 'the row of the feed is missing');
    const checkpoint = readCheckpoint(row);
    this.#feed.raised(changefeed, { token, seq: row.seq, checkpoint });
    return { kind: 'FeedRaised', checkpoint, parts: await this.#readParts(changefeed) };
  }

  /** Read after the raise: no earlier owner divides anything any more. */
  #readParts(changefeed: string): Promise<readonly string[]> {
    const sql = `SELECT DISTINCT span FROM ${this.#tables.slot} WHERE cf=${literal(changefeed)}`;
    return this.#sessions.control.with(async (session) => {
      const rows = await session.rows(sql, 'read how tables are divided');
      return rows.map((row) => String(row['span'])).filter(isPart);
    });
  }

  async #checkSplit(span: string): Promise<SinkAnswer> {
    return { kind: 'SplitChecked', refusal: await this.#opened().splitRefusal(span) };
  }

  async #reslot(request: RequestOf<'Reslot'>): Promise<SinkAnswer> {
    await this.#reslotter.reslot(request);
    return { kind: 'Reslotted' };
  }

  async #retireFeed({ changefeed, token }: RequestOf<'RetireFeed'>): Promise<SinkAnswer> {
    demandNames(changefeed, token);
    await this.#retirer.retire(changefeed, token);
    return { kind: 'FeedRetired' };
  }

  async #raiseSpan(request: RequestOf<'RaiseSpan'>): Promise<SinkAnswer> {
    const { changefeed, span, token, ts } = request;
    demandNames(changefeed, token);
    if (this.#planning === null) await this.#openOnce();
    // Its own open transaction would block the raise.
    this.#release(span);
    const by = this.#spanParts.nextName();
    const pos = encodePosition({ ts, gtid: '', base: ts, lanes: 1, by });
    const raise = { changefeed, span, token, laneCount: this.#laneCount, pos, refusesEqual: false };
    const rows = await this.#raiser.raise(raise);
    const lanes = rows.map(readLane).toSorted((a, b) => a.lane - b.lane);
    this.#spans.set(span, new SpanWriter(this.#spanParts, { changefeed, token, ts, lanes }));
    return { kind: 'SpanRaised', lanes };
  }

  async #apply(request: RequestOf<'Apply'>): Promise<SinkAnswer> {
    const span = this.#spans.get(request.span);
    const fits =
      span !== undefined && span.token === request.token && span.changefeed === request.changefeed;
    if (!fits) {
      const newer = span !== undefined && span.token > request.token;
      return fail('SINK_FENCED', `span ${request.span} is not raised with this token`, {
        retry: newer ? 'Never' : 'Resync',
        scope: 'Table',
      });
    }
    if (request.schemaVersion !== this.#schemaVersions.get(request.changefeed)) {
      this.#planning?.forget();
      this.#schemaVersions.set(request.changefeed, request.schemaVersion);
    }
    return span.apply(request);
  }

  async #runDdl(request: RequestOf<'RunDdl'>): Promise<SinkAnswer> {
    try {
      return await this.#feed.runDdl(request);
    } finally {
      this.#planning?.forget();
    }
  }

  async #readGroups(request: RequestOf<'ReadGroups'>): Promise<SinkAnswer> {
    const groups = await this.#opened().groups(request.rules);
    return { kind: 'GroupsRead', groups };
  }

  #release(span: string): void {
    this.#spans.get(span)?.release();
    this.#spans.delete(span);
  }

  #opened(): Planning {
    return this.#planning ?? fail('SINK_REFUSED', 'the sink is not open');
  }
}

const opensOrWritesNothing: ReadonlySet<SinkRequest['kind']> = new Set([
  'Open',
  'RaiseSpan',
  'RetireFeed',
  'Release',
]);

function demandNames(changefeed: string, token: number): void {
  if (changefeed === '' || Buffer.byteLength(changefeed) > 128) {
    fail('CONFIG_INVALID', 'a changefeed name has 1 to 128 bytes');
  }
  if (!Number.isSafeInteger(token) || token < 1 || token > tokenMax) {
    fail('CONFIG_INVALID', 'a token is a whole number from 1 to 2^53 − 1');
  }
}

function bounded(value: number, max: number, name: string): number {
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  return fail('CONFIG_INVALID', `${name} must be a whole number from 1 to ${max}`);
}
