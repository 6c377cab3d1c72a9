/**
 * Follows the log event by event, keeps groups (transactions) apart, and hands complete ones to the chunk builder.
 *
 *     between groups ──GTID──▶ in a group ──XID, COMMIT, the one statement──▶ between groups
 *                                  │ larger than the spill bound: its rows stream into blocks of their own
 *                                  └ XA PREPARE: its rows wait for XA COMMIT
 *
 * A group's rows are kept as views of the packets until it ends, so nothing of an incomplete group leaves, except of one
 * that streams. Any event it does not know is skipped when flagged ignorable and SOURCE_UNSUPPORTED otherwise.
 */
import { fail } from '../../base/failure.ts';
import { classifyStatement, type Statement } from '../../model/ddl-statement.ts';
import type { Log } from '../../ports/log.ts';
import { ByteReader } from '../binlog/stream/byte-reader.ts';
import { eventType, ignorableFlag, isRowsEvent } from '../binlog/stream/event-type.ts';
import { readHeartbeat } from '../binlog/stream/heartbeat-event.ts';
import type { LogEvent } from '../binlog/stream/log-event.ts';
import { eventBytesMax } from '../binlog/stream/log-reader.ts';
import { xidText } from '../binlog/stream/mariadb-gtid.ts';
import { readQuery, type QueryEvent } from '../binlog/stream/query-event.ts';
import { readRotate } from '../binlog/stream/rotate-event.ts';
import { readTableId } from '../binlog/stream/table-name.ts';
import type { ChunkBuilder, RowsRecord } from './chunk-builder.ts';
import { ddlStop, type DdlStop, type LoggedDdl } from './ddl-stop.ts';
import type { LogClock } from './log-clock.ts';
import { LogPlace } from './log-place.ts';
import { openGroup, type OpenGroup, type SpillBounds } from './open-group.ts';
import { PreparedTransactions } from './prepared-transactions.ts';
import type { Router } from './router.ts';
import { quotingOf, statementText } from './statement-text.ts';
import { TableRoutes, type RoutedTable } from './table-routes.ts';

/** The dummy table number that only ends a statement. */
const dummyTableId = 0xffffff;

/** What the tracker works with. */
export interface TrackerParts {
  readonly clock: LogClock;
  readonly builder: ChunkBuilder;
  readonly router: Router;
  readonly spill: SpillBounds;
  /** The server logs explicit_defaults_for_timestamp as an option bit (MariaDB). */
  readonly explicitDefaultsInOptions: boolean;
  readonly log: Log;
}

/** See the file's head. */
export class GroupTracker {
  readonly #clock: LogClock;
  readonly #builder: ChunkBuilder;
  readonly #spill: SpillBounds;
  readonly #explicitDefaultsInOptions: boolean;
  readonly #log: Log;
  readonly #routes: TableRoutes;
  /** Tables of the open group. */
  readonly #tables = new Map<number, RoutedTable>();
  readonly #prepared = new PreparedTransactions();
  #group: OpenGroup | undefined;
  #ddl: DdlStop | undefined;
  readonly #place = new LogPlace();
  /** Complete transactions since the last `takeCounts`. */
  #completeCount = 0;
  #commitMs = 0;
  #heard = false;
  #live = false;

  constructor(parts: TrackerParts) {
    this.#clock = parts.clock;
    this.#builder = parts.builder;
    this.#routes = new TableRoutes(parts.router);
    this.#spill = parts.spill;
    this.#explicitDefaultsInOptions = parts.explicitDefaultsInOptions;
    this.#log = parts.log;
  }

  /** Where the reader stands, for messages. */
  get place(): { readonly file: string; readonly offset: number } {
    return this.#place;
  }

  /** The DDL that the stream stands before, if it does. */
  get ddl(): DdlStop | undefined {
    return this.#ddl;
  }

  /** True once the server has sent a heartbeat or a group: it has found the position. */
  get isLive(): boolean {
    return this.#live;
  }

  /** True when a group was completed or the server gave a sign of life since the last `takeCounts`. */
  get hasNews(): boolean {
    return this.#completeCount > 0 || this.#heard;
  }

  /** Server time of the last complete transaction, milliseconds; 0 before the first. */
  get commitMs(): number {
    return this.#commitMs;
  }

  /** Replaces the routing from the next event on. */
  route(router: Router): void {
    this.#routes.router = router;
  }

  /** Complete transactions since the last call. */
  takeCounts(): number {
    const count = this.#completeCount;
    this.#completeCount = 0;
    this.#heard = false;
    return count;
  }

  /** The DDL that stopped the stream was taken: goes on behind it. */
  passDdl(): void {
    const stop = this.#ddl;
    const group = this.#group;
    this.#ddl = undefined;
    if (stop !== undefined && group !== undefined && !group.explicit) this.#complete(group);
  }

  /** Takes one event. `insideOf` is the end offset of the compressed transaction it came from, 0 when from none. */
  accept(event: LogEvent, insideOf: number): void {
    const isHeartbeat = event.type === eventType.heartbeat;
    const beganAt = this.#place.advance(event, insideOf, isHeartbeat);
    const group = this.#group;
    if (group !== undefined) group.logBytes += event.size;
    if (event.type === eventType.tableMap) this.#acceptTableMap(event);
    else if (isRowsEvent(event.type)) this.#acceptRows(event);
    else this.#acceptOther(event, beganAt);
  }

  #acceptOther(event: LogEvent, beganAt: number): void {
    switch (event.type) {
      case eventType.mariadbGtid:
      case eventType.gtid:
      case eventType.gtidTagged:
      case eventType.anonymousGtid:
        return this.#beginGroup(event, beganAt);
      case eventType.xid:
        return this.#commit();
      case eventType.query:
      case eventType.queryCompressed:
        return this.#acceptQuery(event);
      case eventType.xaPrepare:
        return this.#acceptXaPrepare(event);
      case eventType.rotate:
        return this.#acceptRotate(event);
      case eventType.heartbeat:
      case eventType.heartbeatV2:
        return this.#acceptHeartbeat(event);
      case eventType.formatDescription:
      case eventType.previousGtids:
      case eventType.mariadbGtidList:
      case eventType.binlogCheckpoint:
      // Tells how the file is encrypted; what is sent is not.
      case eventType.startEncryption:
      case eventType.stop:
        return this.#acceptFileEvent(event);
      case eventType.intvar:
      case eventType.rand:
      case eventType.userVar:
      case eventType.rowsQuery:
      case eventType.annotateRows:
      case eventType.ignorable:
        return;
      case eventType.incident:
        return fail('SOURCE_INCIDENT', 'the upstream logged an incident: changes may be missing');
      case eventType.executeLoadQuery:
      case eventType.beginLoadQuery:
      case eventType.appendBlock:
        return fail('SOURCE_STATEMENT', 'LOAD DATA was logged as a statement');
      default:
        if ((event.flags & ignorableFlag) !== 0) return;
        return fail('SOURCE_UNSUPPORTED', `an event of type ${event.type} is not known`);
    }
  }

  #beginGroup(event: LogEvent, beganAt: number): void {
    this.#dropOpenGroup();
    this.#live = true;
    const start = this.#clock.begin(event, this.#place.file, beganAt);
    this.#group = openGroup(start);
  }

  /** A server that died inside a group leaves it without an end; it was rolled back. */
  #dropOpenGroup(): void {
    const group = this.#group;
    if (group === undefined) return;
    if (group.streaming) {
      fail('SOURCE_DISCONNECTED', 'a transaction of the log has no end: reading it again', {
        retry: 'Reconnect',
      });
    }
    this.#log('warn', 'upstream.group-without-end', { gtid: group.start.gtid });
    this.#endGroup();
  }

  #acceptTableMap(event: LogEvent): void {
    const table = this.#routes.table(event.body());
    this.#tables.set(table.id, table);
  }

  #acceptRows(event: LogEvent): void {
    const body = event.body();
    const tableId = readTableId(body);
    const table = this.#tables.get(tableId);
    if (table === undefined) {
      if (tableId === dummyTableId) return;
      fail('SOURCE_CORRUPT', `rows of table number ${tableId} that no table map names`, {
        retry: 'Reconnect',
      });
    }
    const group = this.#openGroup('rows');
    const { span, key } = table.route;
    if (span !== null && this.#wants(group)) {
      this.#addRows(group, {
        span,
        tableKey: key,
        tableMap: table.map,
        eventType: event.type,
        body,
      });
    } else if (group.logBytes >= this.#spill.logBytes && group.xid === undefined) {
      this.#stream(group);
    }
  }

  #wants(group: OpenGroup): boolean {
    if (!group.start.seen || group.xid !== undefined) return true;
    if (group.start.standalone !== undefined) return false;
    // Only prepared XA groups are sent twice by MySQL: anything else means that file and GTID set disagree.
    return fail('SOURCE_MOVED', `GTID ${group.start.gtid} lies before the stored position`, {
      retry: 'Resync',
    });
  }

  #addRows(group: OpenGroup, record: RowsRecord): void {
    group.rowsCount++;
    if (group.streaming) {
      this.#builder.rows(record);
      return;
    }
    if (group.xid !== undefined) {
      // Prepared rows may wait long: they must not keep packets in memory.
      group.rows.push({ ...record, tableMap: record.tableMap.slice(), body: record.body.slice() });
      return;
    }
    group.rows.push(record);
    group.rowBytes += record.body.byteLength;
    const { rowBytes, logBytes } = this.#spill;
    if (group.rowBytes >= rowBytes || group.logBytes >= logBytes) this.#stream(group);
  }

  #stream(group: OpenGroup): void {
    if (group.streaming || group.start.seen) return;
    group.streaming = true;
    this.#builder.beginLarge(group.start);
    for (const record of group.rows) this.#builder.rows(record);
    group.rows.length = 0;
  }

  #acceptQuery(event: LogEvent): void {
    const compressed = event.type === eventType.queryCompressed;
    const query = readQuery(event.body(), compressed, eventBytesMax);
    const group = this.#openGroup('a statement');
    const text = statementText(query);
    const statement: Statement =
      text === 'BEGIN'
        ? { kind: 'begin' }
        : text === 'COMMIT'
          ? { kind: 'commit' }
          : classifyStatement(text, query.schema, quotingOf(query));
    this.#acceptStatement(group, { statement, query, text });
  }

  #acceptStatement(
    group: OpenGroup,
    said: { readonly statement: Statement; readonly query: QueryEvent; readonly text: string },
  ): void {
    const { statement } = said;
    switch (statement.kind) {
      case 'begin':
        group.explicit = true;
        return;
      case 'commit':
        return this.#commit();
      case 'rollback':
        return this.#rollback(group, 0);
      case 'savepoint':
        group.savepoints.set(statement.name.toLowerCase(), group.rowsCount);
        return;
      case 'rollback-to':
        return this.#demandNoRows(group, group.savepoints.get(statement.name.toLowerCase()) ?? 0);
      case 'release-savepoint':
        return;
      case 'xa':
        return this.#acceptXa(group, statement);
      case 'ddl':
        return this.#acceptDdl(group, { ...said, statement });
      case 'routine':
        this.#log('warn', 'upstream.routine-not-replicated', { schema: statement.schema });
        return this.#passStatement(group);
      case 'ignored':
        return this.#passStatement(group);
      case 'dml':
        return this.#acceptDml(group, statement, said.query);
      case 'unknown':
        if (group.start.seen) return this.#passStatement(group);
        return fail(
          'SOURCE_UNSUPPORTED',
          `a statement (${statement.verb.slice(0, 40)}) of a kind that is not known`,
        );
    }
  }

  #passStatement(group: OpenGroup): void {
    if (!group.explicit) this.#complete(group);
  }

  #acceptDml(
    group: OpenGroup,
    statement: Extract<Statement, { kind: 'dml' }>,
    query: QueryEvent,
  ): void {
    const { target } = statement;
    const excluded =
      target !== undefined && !this.#routes.router.filter.matchesTable(target.schema, target.table);
    if (excluded || group.start.seen) return this.#passStatement(group);
    fail(
      'SOURCE_STATEMENT',
      `a data change (${statement.verb}) in schema "${query.schema}" was logged as a statement, not as rows`,
    );
  }

  #acceptDdl(group: OpenGroup, said: LoggedDdl): void {
    const { start } = group;
    if (start.seen || start.alter === 'start' || start.alter === 'rollback') {
      return this.#passStatement(group);
    }
    const stop = ddlStop(group, said, {
      filter: this.#routes.router.filter,
      explicitDefaultsInOptions: this.#explicitDefaultsInOptions,
    });
    if (stop === undefined) return this.#passStatement(group);
    if (said.query.errorNumber !== 0) {
      this.#log('warn', 'upstream.ddl-with-error', { errno: said.query.errorNumber });
    }
    this.#ddl = stop;
  }

  #acceptXa(group: OpenGroup, xa: Extract<Statement, { kind: 'xa' }>): void {
    switch (xa.verb) {
      case 'start':
        group.explicit = true;
        group.xid ??= xa.xid;
        return;
      case 'end':
      case 'prepare':
        return;
      case 'commit':
        if (xa.onePhase) return this.#commitXa(group);
        return this.#finishXa(group, group.start.completedXid ?? xa.xid, true);
      case 'rollback':
        return this.#finishXa(group, group.start.completedXid ?? xa.xid, false);
    }
  }

  #acceptXaPrepare(event: LogEvent): void {
    const reader = new ByteReader(event.body(), 'XA_PREPARE event');
    const onePhase = reader.u8() !== 0;
    const format = reader.u32();
    const globalBytes = reader.u32();
    const branchBytes = reader.u32();
    const global = reader.raw(globalBytes);
    const xid = xidText(format, global, reader.raw(branchBytes));
    const group = this.#openGroup('XA PREPARE');
    if (onePhase) return this.#commitXa(group);
    this.#prepared.add(xid, group.rows.slice());
    this.#clock.hold(group.start, xid);
    this.#clock.idle(this.#place.file, this.#place.offset);
    this.#count(group);
  }

  /** XA COMMIT ONE PHASE: an ordinary commit of the rows kept so far. */
  #commitXa(group: OpenGroup): void {
    group.xid = undefined;
    this.#complete(group);
  }

  #finishXa(group: OpenGroup, xid: string, committed: boolean): void {
    const rows = this.#prepared.take(xid);
    if (rows === undefined && committed && !group.start.seen) {
      fail(
        'SOURCE_UNSUPPORTED',
        'XA COMMIT of a transaction that was prepared before the start position',
      );
    }
    if (rows !== undefined && committed && !group.start.seen) {
      for (const record of rows) group.rows.push(record);
    }
    this.#complete(group);
    this.#clock.release(xid);
  }

  #commit(): void {
    this.#complete(this.#openGroup('a commit'));
  }

  /** A rolled back group is logged only for tables without transactions, whose changes stay: nobody can tell which. */
  #rollback(group: OpenGroup, rowsBefore: number): void {
    this.#demandNoRows(group, rowsBefore);
    this.#complete(group);
  }

  #demandNoRows(group: OpenGroup, rowsBefore: number): void {
    if (group.rowsCount <= rowsBefore) return;
    fail(
      'SOURCE_UNSUPPORTED',
      'a rolled back transaction changed tables with and without transactions: their copies would differ',
    );
  }

  #complete(group: OpenGroup): void {
    if (!group.start.seen) {
      if (!group.streaming) this.#builder.begin(group.start);
      for (const record of group.rows) this.#builder.rows(record);
      this.#builder.commit();
    }
    this.#clock.complete(group.start, this.#place.file, this.#place.offset);
    this.#count(group);
  }

  #count(group: OpenGroup): void {
    this.#completeCount++;
    this.#commitMs = group.start.commitMs;
    this.#endGroup();
  }

  #endGroup(): void {
    this.#group = undefined;
    this.#tables.clear();
  }

  #openGroup(what: string): OpenGroup {
    if (this.#group !== undefined) return this.#group;
    return fail('SOURCE_CORRUPT', `${what} outside of a transaction`, { retry: 'Reconnect' });
  }

  #acceptRotate(event: LogEvent): void {
    const { file, offset } = readRotate(event.body());
    if (!this.#place.rotate(file, offset)) return;
    if (this.#group === undefined) this.#clock.idle(file, offset);
  }

  #acceptHeartbeat(event: LogEvent): void {
    this.#live = true;
    this.#heard = true;
    const { file, offset } = readHeartbeat(event);
    if (this.#group !== undefined) return;
    this.#place.stand(file, offset, event.type !== eventType.heartbeat);
    this.#clock.idle(this.#place.file, this.#place.offset);
  }

  #acceptFileEvent(event: LogEvent): void {
    if (event.type === eventType.formatDescription) {
      // A server writes it at its start: what was open before died with it.
      if (this.#group !== undefined && event.endOffset !== 0) this.#dropOpenGroup();
      return;
    }
    if (this.#group === undefined && event.endOffset !== 0) {
      this.#clock.idle(this.#place.file, this.#place.offset);
    }
  }
}
