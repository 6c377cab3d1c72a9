/** How many rows per second the row decoder reads, beside the best reader on npm (@vlasky/zongji) on the same bytes. */
import { decodeLogs, type DecodeLog } from './decode-data.ts';
import { zongjiDecoder } from './decode-zongji.ts';
import { RowEvent } from '#src/adapters/binlog/row-event.ts';
import type { RowImage } from '#src/adapters/binlog/row-image.ts';
import type { TableMap } from '#src/adapters/binlog/table-map.ts';
import { TableMaps } from '#src/adapters/binlog/table-maps.ts';
import { writeText } from '#src/adapters/binlog/text.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';
import { median } from './figures.ts';

/** One kind of work. All speeds are medians in rows per second on one thread, from bytes in memory. */
export interface DecodeCase {
  readonly name: string;
  readonly rows: number;
  readonly bytes: number;
  /** Every cell of every image to text. */
  readonly sluice: number;
  /** Cells found, none read. */
  readonly sluiceSkip: number;
  /** Rows as JS objects, the only form the library has. */
  readonly zongji: number;
  /** sluice / zongji. */
  readonly ratio: number;
}

const runs = 7;
const headerBytes = 19;
const checksumBytes = 4;
const outBytesMax = 1 << 20;

/** Runs the bench; prints a table unless `json`. */
export async function decode(options: { json: boolean }): Promise<object> {
  const zongji = await zongjiDecoder();
  const cases: DecodeCase[] = [];
  for (const log of await decodeLogs(1)) {
    const packets = log.events.map((event) => Buffer.concat([Buffer.of(0), event]));
    const rows = decodeAll(log, true);
    if (zongji(packets) !== rows) throw new Error(`the two readers count other rows: ${log.name}`);
    // The three take turns, so that noise of the machine meets all of them.
    const times: [number[], number[], number[]] = [[], [], []];
    for (let run = 0; run < runs; run++) {
      times[0].push(timed(() => decodeAll(log, true)));
      times[1].push(timed(() => decodeAll(log, false)));
      times[2].push(timed(() => zongji(packets)));
    }
    const [sluice, sluiceSkip, other] = times.map((each) => Math.round(rows / median(each)));
    cases.push({
      name: log.name,
      rows,
      bytes: log.byteCount,
      sluice: sluice!,
      sluiceSkip: sluiceSkip!,
      zongji: other!,
      ratio: Math.round((sluice! / other!) * 100) / 100,
    });
  }
  if (!options.json) print(cases);
  return { name: 'decode', unit: 'rows/s', cases };
}

const cursor = new RowEvent();
const out = new ByteWriter(outBytesMax * 2);

/** Reads a log as a work thread does: table maps by content, each image once; answers the rows. */
function decodeAll(log: DecodeLog, text: boolean): number {
  const maps = new TableMaps('mariadb');
  let table: TableMap | null = null;
  let rows = 0;
  for (const event of log.events) {
    const body = event.subarray(headerBytes, event.byteLength - checksumBytes);
    const type = event[4]!;
    if (type === 19) {
      table = maps.read(body);
      continue;
    }
    cursor.open(type, body, table!);
    const { operation } = cursor;
    while (cursor.next()) {
      rows++;
      if (!text) continue;
      if (operation !== 'insert') writeImage(table!, cursor.before);
      if (operation !== 'delete') writeImage(table!, cursor.after);
    }
  }
  return rows;
}

function writeImage(table: TableMap, image: RowImage): void {
  if (out.length > outBytesMax) out.truncate(0);
  const { bytes } = image;
  for (const column of table.columns) {
    const { index } = column;
    if (image.state(index) === 2) {
      writeText(out, column, bytes, image.start(index), image.end(index));
    }
    out.byte(0x2c);
  }
}

function timed(task: () => unknown): number {
  const start = performance.now();
  task();
  return (performance.now() - start) / 1000;
}

function print(cases: readonly DecodeCase[]): void {
  const line = (cells: readonly string[]): string =>
    `${cells[0]!.padEnd(20)}${cells
      .slice(1)
      .map((cell) => cell.padStart(14))
      .join('')}\n`;
  process.stdout.write(line(['rows/s', 'sluice', 'skip only', 'zongji', 'ratio']));
  for (const { name, sluice, sluiceSkip, zongji, ratio } of cases) {
    const numbers = [sluice, sluiceSkip, zongji].map((value) => value.toLocaleString('en'));
    process.stdout.write(line([name, ...numbers, String(ratio)]));
  }
}
