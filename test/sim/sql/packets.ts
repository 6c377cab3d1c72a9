/** Answers as packets of the client protocol, for clients without session tracking. */
import type { Row, SqlError } from './value.ts';

/** Status bits of an answer. */
export const statusBit = { inTransaction: 1, autocommit: 2, more: 8 } as const;

const integerType = 8;
const textType = 253;

/** The answer to one command, packet by packet. */
export class AnswerWriter {
  readonly #packets: Buffer[] = [];
  #sequence = 1;

  /** A statement without rows. */
  done(affected: bigint, status: number): void {
    this.#add(
      Buffer.concat([
        Buffer.of(0),
        lenenc(Number(affected)),
        Buffer.of(0),
        short(status),
        short(0),
      ]),
    );
  }

  /** The answer to commands that are no statements. */
  end(status: number): void {
    this.#add(Buffer.concat([Buffer.of(0xfe), short(0), short(status)]));
  }

  /** A statement with rows. A column all of whose values are integers is one of integers. */
  rows(names: readonly string[], rows: readonly Row[], status: number): void {
    this.#add(lenenc(names.length));
    for (const [i, name] of names.entries()) {
      const isText = rows.some((row) => typeof row[i] === 'string');
      this.#add(column(name, isText ? textType : integerType));
    }
    this.end(status);
    for (const row of rows) {
      this.#add(
        Buffer.concat(row.map((value) => (value === null ? Buffer.of(0xfb) : text(String(value))))),
      );
    }
    this.end(status);
  }

  /** An error: nothing follows it. */
  error(error: SqlError): void {
    const head = Buffer.concat([Buffer.of(0xff), short(error.errno), Buffer.from('#HY000')]);
    this.#add(Buffer.concat([head, Buffer.from(error.message)]));
  }

  /** All packets so far. */
  bytes(): Buffer {
    return Buffer.concat(this.#packets);
  }

  #add(payload: Buffer): void {
    const header = Buffer.alloc(4);
    header.writeUIntLE(payload.byteLength, 0, 3);
    header[3] = this.#sequence++ & 0xff;
    this.#packets.push(header, payload);
  }
}

function column(name: string, type: number): Buffer {
  const names = ['def', '', '', '', name, ''].map(text);
  // Character set, length, type, flags, decimals, two bytes of filling.
  const tail = Buffer.of(12, 63, 0, 255, 255, 255, 255, type, 0, 0, 0, 0, 0);
  return Buffer.concat([...names, tail]);
}

/** Bytes behind their length. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([lenenc(bytes.byteLength), bytes]);
}

function lenenc(value: number): Buffer {
  if (value < 251) return Buffer.of(value);
  const bytes = Buffer.alloc(value < 65_536 ? 3 : 9);
  bytes[0] = value < 65_536 ? 0xfc : 0xfe;
  if (value < 65_536) bytes.writeUInt16LE(value, 1);
  else bytes.writeBigUInt64LE(BigInt(value), 1);
  return bytes;
}

function short(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}
