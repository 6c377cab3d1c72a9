import { fileURLToPath, pathToFileURL } from 'node:url';
import { dirname, join } from 'node:path';

/** Decodes events with the parser of @vlasky/zongji and answers the rows. */
export type ZongjiDecode = (packets: readonly Buffer[]) => number;

interface ZongjiEvent {
  readonly rows?: readonly unknown[];
  readonly tableId: number;
  readonly schemaName: string;
  readonly tableName: string;
  getTypeName(): string;
  buildColumnSchemas(): unknown[];
  updateColumnInfo(): void;
}

type PacketClass = new () => { parse(parser: unknown): void; getEvent(): ZongjiEvent };

/**
 * The parser classes that the library uses for each packet of its connection, driven as its connection handler drives
 * them: one packet object per event, the columns rebuilt from each table map (binlog_row_metadata=FULL), rows as objects.
 * What it does for GTIDs, positions and emitting is left out, as it is on our side.
 */
export async function zongjiDecoder(): Promise<ZongjiDecode> {
  const root = dirname(fileURLToPath(import.meta.resolve('@vlasky/zongji')));
  const load = async (path: string): Promise<Record<string, unknown>> =>
    (await import(pathToFileURL(join(root, path)).href)) as Record<string, unknown>;
  const makePacketClass = (await load('lib/packet/binlog.js'))['default'] as (
    z: unknown,
  ) => PacketClass;
  const Parser = (await load('lib/reader.js'))['Parser'] as new (packet: unknown) => unknown;
  const tableMap: Record<number, unknown> = {};
  const zongji = {
    tableMap,
    useChecksum: true,
    isMariaDb: true,
    options: {},
    connection: { config: { timezone: 'Z', dateStrings: true } },
    ctrlConnection: { config: { timezone: 'Z', dateStrings: true } },
    dateStrings: true,
    _skipSchema: () => false,
    _warnUnsupportedEvent: () => undefined,
  };
  const Packet = makePacketClass(zongji);
  return (packets) => {
    let rows = 0;
    for (const buffer of packets) {
      const packet = new Packet();
      packet.parse(new Parser({ buffer, offset: 0, end: buffer.byteLength }));
      const event = packet.getEvent();
      if (event.getTypeName() === 'TableMap') {
        tableMap[event.tableId] = {
          columnSchemas: event.buildColumnSchemas(),
          parentSchema: event.schemaName,
          tableName: event.tableName,
        };
        event.updateColumnInfo();
      } else {
        rows += event.rows?.length ?? 0;
      }
    }
    return rows;
  };
}
