/** Reads a server's binary log files into blocks, as the log puller does with the stream; for tests of what follows. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BlockWriter } from '#src/model/block.ts';
import { tableSpan } from '#src/model/span.ts';

import type { BlockInfo, LogFlavor } from '#src/model/block.ts';

/** A block of one span. */
export interface LoggedBlock {
  readonly info: BlockInfo;
  readonly bytes: Uint8Array;
}

const headerBytes = 19;
const checksumBytes = 4;
const gtidEvent = 162;
const mysqlGtidEvents = new Set([33, 34, 42]);
const tableMapEvent = 19;
const commitEvent = 16;
const rowEvents = new Set([23, 24, 25, 30, 31, 32, 39, 166, 167, 168, 169, 170, 171]);

/** All rows events of `schema`, by span; `spanOf` may join tables. A block ends after `blockBytes`. */
export function loggedBlocks(
  dataDirectory: string,
  schema: string,
  spanOf: (table: string) => string = (table) => tableSpan({ schema, table }),
  blockBytes = Number.POSITIVE_INFINITY,
): Map<string, LoggedBlock[]> {
  const reader = new LogReader(schema, spanOf, blockBytes);
  const files = readdirSync(dataDirectory).filter((name) => /^binlog\.\d+$/.test(name));
  for (const file of files.toSorted()) reader.file(readFileSync(join(dataDirectory, file)));
  return reader.blocks();
}

class LogReader {
  #flavor: LogFlavor = 'mariadb';
  #transactionCount = 0;
  readonly #schema: string;
  readonly #spanOf: (table: string) => string;
  readonly #blockBytes: number;
  readonly #writers = new Map<string, BlockWriter>();
  readonly #blocks = new Map<string, LoggedBlock[]>();
  readonly #open = new Set<BlockWriter>();
  #tables = new Map<number, { span: string; key: string; body: Buffer } | null>();
  #transaction: { ts: number; gtid: string } | null = null;

  constructor(schema: string, spanOf: (table: string) => string, blockBytes: number) {
    this.#schema = schema;
    this.#spanOf = spanOf;
    this.#blockBytes = blockBytes;
  }

  file(bytes: Buffer): void {
    let at = 4;
    while (at + headerBytes <= bytes.length) {
      const type = bytes[at + 4]!;
      const size = bytes.readUInt32LE(at + 9);
      const body = bytes.subarray(at + headerBytes, at + size - checksumBytes);
      this.#event(type, bytes.readUInt32LE(at), body);
      at += size;
    }
  }

  blocks(): Map<string, LoggedBlock[]> {
    for (const [span, writer] of this.#writers) this.#take(span, writer);
    return this.#blocks;
  }

  #event(type: number, seconds: number, body: Buffer): void {
    if (type === gtidEvent) {
      const seq = Number(body.readBigUInt64LE(0));
      const isDdl = (body[12]! & 1) !== 0 && (body[12]! & 0x20) !== 0;
      this.#commit();
      this.#transaction = isDdl ? null : { ts: seq, gtid: `0-1-${seq}` };
    } else if (mysqlGtidEvents.has(type)) {
      this.#flavor = 'mysql';
      this.#commit();
      const ts = ++this.#transactionCount;
      this.#transaction = { ts, gtid: `server:${ts}` };
    } else if (type === tableMapEvent) {
      this.#table(body);
    } else if (rowEvents.has(type)) {
      this.#rows(type, seconds, body);
    } else if (type === commitEvent) {
      this.#commit();
    }
  }

  #table(body: Buffer): void {
    const schemaBytes = body[8]!;
    const schema = body.toString('utf8', 9, 9 + schemaBytes);
    const tableAt = 9 + schemaBytes + 1;
    const table = body.toString('utf8', tableAt + 1, tableAt + 1 + body[tableAt]!);
    const id = body.readUIntLE(0, 6);
    this.#tables.set(
      id,
      schema === this.#schema
        ? { span: this.#spanOf(table), key: `${schema}.${table}`, body: Buffer.from(body) }
        : null,
    );
  }

  #rows(type: number, seconds: number, body: Buffer): void {
    const table = this.#tables.get(body.readUIntLE(0, 6));
    if (table === undefined || table === null || this.#transaction === null) return;
    let writer = this.#writers.get(table.span);
    if (writer === undefined) {
      writer = new BlockWriter(table.span, this.#flavor);
      this.#writers.set(table.span, writer);
    }
    if (!this.#open.has(writer)) {
      writer.begin(this.#transaction.ts, seconds * 1000, this.#transaction.gtid);
      this.#open.add(writer);
    }
    writer.rows(table.key, table.body, type, body);
    if (writer.byteCount > this.#blockBytes) this.#take(table.span, writer);
  }

  #commit(): void {
    for (const writer of this.#open) writer.commit();
    this.#open.clear();
  }

  #take(span: string, writer: BlockWriter): void {
    const taken = writer.take();
    if (taken === undefined) return;
    const blocks = this.#blocks.get(span) ?? [];
    blocks.push(taken);
    this.#blocks.set(span, blocks);
  }
}
