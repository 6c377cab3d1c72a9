/**
 * One dump under way: session settings, registration, the command, then events turned into chunks on demand. Reading is
 * lazy: packets are parsed only while a chunk is wanted, and the rest waits in the socket.
 */
import { randomUUID } from 'node:crypto';
import { fail, failure, FailureError, ok, type Failure } from '../../base/failure.ts';
import type { Position, TimelineSegment } from '../../model/position.ts';
import type { CpuPort } from '../../ports/cpu.ts';
import type { Log } from '../../ports/log.ts';
import type { UpstreamChunk } from '../../ports/upstream.ts';
import type { Routing } from '../../model/start-at.ts';
import { GtidSet } from '../binlog/stream/gtid-set.ts';
import { LogEvent } from '../binlog/stream/log-event.ts';
import { LogReader } from '../binlog/stream/log-reader.ts';
import { readServerError } from '../binlog/stream/server-error.ts';
import { blockBytesTarget, ChunkBuilder } from './chunk-builder.ts';
import { dumpCommand, dumpGtidCommand, registerCommand } from './dump-command.ts';
import { DumpStream } from './dump-stream.ts';
import { GroupTracker } from './group-tracker.ts';
import type { LogClock } from './log-clock.ts';
import { MariadbClock } from './mariadb-clock.ts';
import { MysqlClock } from './mysql-clock.ts';
import { freeServerId } from './replica-id.ts';
import { Router } from './router.ts';
import { ServerConnection } from './server-connection.ts';
import { readServerFacts, serverIdentity, type ServerFacts } from './server-facts.ts';
import { failureOfServerError, faultFailure } from './source-failure.ts';
import { logsExplicitDefaults } from './statement-text.ts';
import type { UpstreamUri } from './upstream-uri.ts';

/** What a dump starts from. */
export interface DumpStart {
  readonly position: Position;
  readonly timeline: readonly TimelineSegment[];
  readonly routing: Routing;
  readonly until?: string | null;
}

/** Seconds the server waits while we do not read, before it gives the connection up. */
const writeTimeoutSeconds = 3600;
/** Bytes of log in one group from which views of packets are let go, as a multiple of the rows bound. */
const logBytesFactor = 4;

/** What a dump works with besides its connection. */
export interface DumpTools {
  readonly log: Log;
  /** For large compressed transactions. */
  readonly cpu: CpuPort;
}

interface Waiting {
  readonly resolve: (chunk: UpstreamChunk) => void;
  readonly reject: (error: FailureError) => void;
}

/** See the file's head. Everything thrown or rejected is a FailureError. */
export class Dump {
  readonly #reader: LogReader;
  readonly #stream: DumpStream;
  readonly #builder: ChunkBuilder;
  readonly #tracker: GroupTracker;
  readonly #clock: LogClock;
  readonly #event = new LogEvent();
  readonly #spill = { rowBytes: blockBytesTarget, logBytes: blockBytesTarget * logBytesFactor };
  /** Ends what is done for this dump elsewhere. */
  readonly #closing = new AbortController();
  #waiting: Waiting | undefined;
  #greeted: (() => void) | undefined;
  #byteCountMax = 1 << 20;
  #bytesReported = 0;
  #failure: Failure | undefined;

  private constructor(
    parts: {
      readonly connection: ServerConnection;
      readonly times: Pick<UpstreamUri, 'heartbeatMs' | 'timeoutMs'>;
      readonly tools: DumpTools;
    },
    facts: ServerFacts,
    start: DumpStart,
  ) {
    this.#clock =
      facts.flavor === 'mariadb'
        ? new MariadbClock(start.position, start.until)
        : new MysqlClock(start.position, start.timeline.at(-1)?.fileBase ?? 0, start.until);
    this.#builder = new ChunkBuilder(facts.flavor);
    this.#tracker = new GroupTracker({
      clock: this.#clock,
      builder: this.#builder,
      router: new Router(start.routing),
      spill: this.#spill,
      explicitDefaultsInOptions: logsExplicitDefaults(facts),
      log: parts.tools.log,
    });
    this.#stream = new DumpStream(parts.connection.takeOver(), parts.times, () => this.#pump());
    const { cpu } = parts.tools;
    this.#reader = new LogReader(this.#stream.framing, {
      unpack: async (packed, unpackedByteCount) => {
        const request = { kind: 'UnpackTransaction', packed, unpackedByteCount } as const;
        const outcome = await cpu.call(request, this.#closing.signal);
        return outcome.ok ? ok(outcome.value.bytes) : outcome;
      },
      onUnpacked: () => this.#pump(),
    });
  }

  /** Connects and starts a dump behind `start.position`; settles when the server has accepted the command. */
  static async open(uri: UpstreamUri, start: DumpStart, tools: DumpTools): Promise<Dump> {
    const connection = await ServerConnection.open(uri);
    try {
      const facts = await readServerFacts(connection);
      demandServerOf(start.timeline.at(-1), facts);
      const serverId = await freeServerId(connection, facts, uri.serverId);
      await prepareSession(connection, facts, {
        start: start.position,
        heartbeatMs: uri.heartbeatMs,
      });
      const dump = new Dump({ connection, times: uri, tools }, facts, start);
      try {
        await dump.#register(serverId);
        await dump.#start(
          facts.flavor === 'mariadb'
            ? dumpCommand(serverId)
            : dumpGtidCommand(serverId, GtidSet.parse(start.position.gtid)),
        );
      } catch (error) {
        dump.close();
        throw error;
      }
      return dump;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** The next chunk, as soon as there is news; one call at a time. */
  next(byteCountMax: number): Promise<UpstreamChunk> {
    if (this.#waiting !== undefined) {
      return Promise.reject(stopped('a Next is under way already'));
    }
    this.#byteCountMax = Math.max(1, byteCountMax);
    this.#spill.rowBytes = Math.min(blockBytesTarget, byteCountMax);
    this.#spill.logBytes = this.#spill.rowBytes * logBytesFactor;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#guard(() => this.#tracker.passDdl());
      this.#pump();
    });
  }

  /** New routing from the next event on. */
  route(routing: Routing): void {
    this.#tracker.route(new Router(routing));
  }

  /** Ends the dump at once; a waiting `next` is rejected. */
  close(): void {
    this.#stream.close();
    this.#closing.abort();
    this.#failure ??= failure('INTERNAL_STOPPED', 'the stream was closed');
    this.#reject(this.#failure);
  }

  async #register(serverId: number): Promise<void> {
    this.#stream.send(registerCommand(serverId));
    const packet = await this.#reply();
    if (packet[0] === 0xff) {
      const { number, message } = readServerError(packet);
      throw new FailureError(failureOfServerError(number, message));
    }
  }

  async #start(command: Uint8Array): Promise<void> {
    this.#stream.send(command);
    this.#stream.framing.expectEvents();
    this.#stream.setSearching();
    await this.#greeting();
  }

  /** The reply to a command before the dump began. */
  async #reply(): Promise<Uint8Array> {
    for (;;) {
      const packet = this.#stream.framing.next();
      if (packet !== undefined) return packet;
      if (this.#stream.failure !== undefined) throw new FailureError(this.#stream.failure);
      await this.#greeting();
    }
  }

  /** Settles when anything has come from the server. */
  #greeting(): Promise<void> {
    if (this.#stream.framing.bufferedBytes > 0 || this.#stream.failure !== undefined) {
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      this.#greeted = resolve;
    });
  }

  #pump(): void {
    this.#greeted?.();
    this.#greeted = undefined;
    if (this.#waiting === undefined) return this.#regulate();
    this.#guard(() => this.#readChunk());
    // What was complete before a failure is handed over first, so the position of the failure is always the same.
    if (this.#failure?.code !== 'INTERNAL_FAULT' && this.#isWorthAnswering()) return this.#answer();
    const reason = this.#failure ?? this.#endOfStream();
    if (reason !== undefined) return this.#reject(reason);
    this.#regulate();
  }

  #readChunk(): void {
    while (!this.#isStanding && this.#builder.byteCount < this.#byteCountMax) {
      if (!this.#reader.next(this.#event)) break;
      this.#tracker.accept(this.#event, this.#reader.payloadEndOffset);
    }
    if (this.#tracker.isLive) this.#stream.setLive();
  }

  /** Before a DDL, or at the end of what is wanted. */
  get #isStanding(): boolean {
    return this.#tracker.ddl !== undefined || this.#clock.isAtEnd;
  }

  #isWorthAnswering(): boolean {
    return (
      this.#isStanding ||
      this.#tracker.hasNews ||
      this.#builder.hasFullBlock ||
      this.#builder.byteCount >= this.#byteCountMax
    );
  }

  #answer(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    const stop = this.#tracker.ddl;
    const commitMs = this.#tracker.commitMs;
    const byteCount = this.#reader.byteCount - this.#bytesReported;
    this.#bytesReported = this.#reader.byteCount;
    const chunk: UpstreamChunk = {
      kind: 'Chunk',
      blocks: this.#builder.take(),
      resolved: this.#clock.position(),
      commitMs,
      ...(stop === undefined ? {} : { ddl: stop.ddl }),
      ...(stop?.rowsFollow === true ? { rowsFollow: true } : {}),
      ...(stop === undefined && this.#clock.isAtEnd ? { isEnd: true } : {}),
      byteCount,
      transactionCount: this.#tracker.takeCounts(),
    };
    this.#regulate();
    waiting?.resolve(chunk);
  }

  #reject(reason: Failure): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(new FailureError(reason));
  }

  #endOfStream(): Failure | undefined {
    if (this.#reader.isUnpacking) return undefined;
    const { end } = this.#reader;
    if (end?.kind === 'error') return failureOfServerError(end.error.number, end.error.message);
    if (end?.kind === 'end') {
      return failure('SOURCE_DISCONNECTED', 'the upstream ended the stream', {
        retry: 'Reconnect',
      });
    }
    return this.#stream.failure;
  }

  #regulate(): void {
    // While a transaction is unpacked elsewhere nobody takes what comes.
    const wanted = this.#waiting !== undefined && !this.#reader.isUnpacking;
    this.#stream.want(wanted, this.#byteCountMax);
  }

  /** Runs a step; a failure in it ends the dump and gets the place in the log. */
  #guard(step: () => void): void {
    if (this.#failure !== undefined) return;
    try {
      step();
    } catch (error) {
      const { file, offset } = this.#tracker.place;
      const { code, message, ...more } =
        error instanceof FailureError ? error.failure : faultFailure(error);
      const type = this.#event.type;
      this.#failure = failure(code, `${message} (${file} before ${offset}, event type ${type})`, {
        ...more,
        detail: { ...more.detail, file, offset, eventType: type },
      });
      this.#stream.close();
    }
  }
}

/** On MySQL a position counts on one server only: another one numbers its files in its own way. */
function demandServerOf(segment: TimelineSegment | undefined, facts: ServerFacts): void {
  if (facts.flavor !== 'mysql' || segment === undefined) return;
  if (segment.server === serverIdentity(facts)) return;
  fail('SOURCE_MOVED', 'another server answers than the one that the position counts on', {
    retry: 'Resync',
  });
}

function stopped(message: string): FailureError {
  return new FailureError(failure('INTERNAL_STOPPED', message));
}

async function prepareSession(
  connection: ServerConnection,
  facts: ServerFacts,
  dump: { readonly start: Position; readonly heartbeatMs: number },
): Promise<void> {
  const periodNanos = dump.heartbeatMs * 1_000_000;
  await connection.query(
    `SET @@SESSION.net_write_timeout=${writeTimeoutSeconds}, @@SESSION.net_read_timeout=${writeTimeoutSeconds}`,
  );
  if (facts.flavor === 'mariadb') {
    if (!/^[\d,-]*$/.test(dump.start.gtid)) fail('CONFIG_INVALID', 'not a MariaDB GTID');
    await connection.query(
      `SET @master_binlog_checksum=@@GLOBAL.binlog_checksum, @mariadb_slave_capability=4, @master_heartbeat_period=${periodNanos}, @slave_connect_state='${dump.start.gtid}', @slave_gtid_strict_mode=1, @slave_gtid_ignore_duplicates=0`,
    );
    return;
  }
  const uuid = randomUUID();
  const isNew = facts.versionNumber >= 80026;
  const side = isNew ? 'source' : 'master';
  await connection.query(
    `SET @${side}_binlog_checksum=@@GLOBAL.binlog_checksum, @${side}_heartbeat_period=${periodNanos}, @${isNew ? 'replica' : 'slave'}_uuid='${uuid}'`,
  );
}
