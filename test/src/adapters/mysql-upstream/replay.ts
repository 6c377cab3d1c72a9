/** Sends events through framing, reader and tracker without a server, as one dump would. */
import { FailureError, type Failure } from '#src/base/failure.ts';
import { ChunkBuilder, type BuiltBlock } from '#src/adapters/mysql-upstream/chunk-builder.ts';
import { GroupTracker } from '#src/adapters/mysql-upstream/group-tracker.ts';
import { MariadbClock } from '#src/adapters/mysql-upstream/mariadb-clock.ts';
import { MysqlClock } from '#src/adapters/mysql-upstream/mysql-clock.ts';
import { Router } from '#src/adapters/mysql-upstream/router.ts';
import { LogEvent } from '#src/adapters/binlog/stream/log-event.ts';
import { LogReader } from '#src/adapters/binlog/stream/log-reader.ts';
import { PacketFraming } from '#src/adapters/binlog/stream/packet-framing.ts';
import type { LogFlavor } from '#src/model/block.ts';
import type { DdlEvent, Position } from '#src/model/position.ts';
import { eventBytes, formatBody, packetBytes, dumpPayload } from '../binlog/stream/event-bytes.ts';

/** What came out. */
export interface Replayed {
  readonly blocks: readonly BuiltBlock[];
  readonly ddls: readonly DdlEvent[];
  readonly resolved: Position;
  readonly failure: Failure | undefined;
  readonly logged: readonly string[];
}

/** How to replay. */
export interface ReplayOptions {
  readonly flavor?: LogFlavor;
  readonly rules?: readonly string[];
  readonly start?: Position;
  readonly spillBytes?: number;
  /** GTID behind which nothing is read. */
  readonly until?: string;
}

/** The head of every replay: a ROTATE that names the file, and a format without checksums. */
export function logHead(file = 'binlog.000001'): readonly Uint8Array[] {
  const rotate = Buffer.concat([Buffer.from([4, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(file)]);
  return [
    eventBytes({ type: 4, body: rotate, flags: 0x20 }, false),
    eventBytes({ type: 15, body: formatBody(0, false) }, false),
  ];
}

/** Replays whole events; a FailureError ends it and is given back, anything else is thrown. */
export function replay(events: readonly Uint8Array[], options: ReplayOptions = {}): Replayed {
  return replayBytes(packetBytes(events.map(dumpPayload)), options);
}

/** Replays the bytes of a connection. */
export function replayBytes(bytes: Uint8Array, options: ReplayOptions = {}): Replayed {
  const framing = new PacketFraming(1 << 24);
  framing.expectEvents();
  const flavor = options.flavor ?? 'mariadb';
  const start = options.start ?? { ts: 0, gtid: '' };
  const { until } = options;
  const clock =
    flavor === 'mariadb' ? new MariadbClock(start, until) : new MysqlClock(start, 0, until);
  const builder = new ChunkBuilder(flavor);
  const logged: string[] = [];
  const spill = options.spillBytes ?? 1 << 20;
  const tracker = new GroupTracker({
    clock,
    builder,
    router: new Router({ rules: options.rules ?? ['*.*'], groups: {} }),
    spill: { rowBytes: spill, logBytes: spill * 4 },
    explicitDefaultsInOptions: false,
    log: (_level, event) => logged.push(event),
  });
  const reader = new LogReader(framing);
  const event = new LogEvent();
  const ddls: DdlEvent[] = [];
  let failure: Failure | undefined;
  framing.push(bytes);
  try {
    while (!clock.isAtEnd && reader.next(event)) {
      tracker.accept(event, reader.payloadEndOffset);
      if (tracker.ddl !== undefined) {
        ddls.push(tracker.ddl.ddl);
        tracker.passDdl();
      }
    }
  } catch (error) {
    if (!(error instanceof FailureError)) throw error;
    failure = error.failure;
  }
  return { blocks: builder.take(), ddls, resolved: clock.position(), failure, logged };
}
