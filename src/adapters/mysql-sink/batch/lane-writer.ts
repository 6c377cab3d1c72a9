import { ByteWriter } from '#src/base/byte-writer.ts';
import { fail } from '#src/base/failure.ts';
import { describeStatement } from '../statement-text.ts';
import { rowCheck } from './row-check.ts';

const encoder = new TextEncoder();
const comma = 0x2c;

/** A multi-row statement to be cut into pieces of bounded size: `head`, rows divided by commas, `tail`. */
export interface StatementShape {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** Rows of one statement at most. */
  readonly rowCountMax: number;
  /** ROW_COUNT() that one row must add; 0 = unchecked. */
  readonly rowCountEach: number;
}

/** A place between two statements of a lane. */
export interface LaneMark {
  readonly statementCount: number;
  readonly writtenRowCount: number;
}

/** A statement longer than this is ended at the next row: longer ones are no faster and hold more memory. */
const statementBytesGood = 128 * 1024;

/** A row that strict mode refuses though the upstream has it (ENUM index 0) is written between these. */
const relax = encoder.encode(
  `SET @sluice_mode=@@sql_mode,sql_mode=REPLACE(@@sql_mode,'STRICT_ALL_TABLES','')`,
);
const restore = encoder.encode('SET sql_mode=@sluice_mode');

/**
 * Builds the statements of one lane. Rows are written into `out` between `beginRow` and `endRow`; statements end by row
 * count, by size, or when another shape begins.
 */
export class LaneWriter {
  /** Where the current row is written. */
  readonly out: ByteWriter;
  /** Set by cell writers when the current row needs a session without strict mode. */
  isRelaxed = false;
  readonly #statements: Uint8Array[] = [];
  readonly #packetBytesMax: number;
  #shape: StatementShape | null = null;
  #rowCount = 0;
  #rowStart = 0;
  #writtenRowCount = 0;

  constructor(packetBytesMax: number) {
    this.#packetBytesMax = packetBytesMax;
    // Made anew for each lane of each batch, and many batches are one row.
    this.out = new ByteWriter(2 * 1024);
  }

  /** Row changes written so far. */
  get writtenRowCount(): number {
    return this.#writtenRowCount;
  }

  /** Statements finished so far. */
  get statementCount(): number {
    return this.#statements.length;
  }

  /** Starts a row of a statement of `shape` (compared by identity). */
  beginRow(shape: StatementShape): void {
    if (shape !== this.#shape || this.#rowCount >= shape.rowCountMax) this.flush();
    if (this.#rowCount === 0) {
      this.#shape = shape;
      this.out.raw(shape.head);
      this.#rowStart = this.out.length;
      return;
    }
    this.out.byte(comma);
    this.#rowStart = this.out.length;
  }

  /** Ends the row; it goes into a statement of its own when the current one would become too long with it. */
  endRow(): void {
    const shape = this.#shape!;
    this.#rowCount++;
    this.#writtenRowCount++;
    const isTooLong = this.out.length + shape.tail.byteLength > this.#packetBytesMax;
    if (isTooLong || this.isRelaxed) {
      this.#separate(shape);
      return;
    }
    if (this.out.length >= statementBytesGood) this.flush();
  }

  /** One whole statement; `rowCount` = what ROW_COUNT() must be after it, 0 = unchecked. */
  statement(bytes: Uint8Array, { rowCount = 0, isRelaxed = false } = {}): void {
    this.flush();
    if (isRelaxed) this.#statements.push(relax);
    this.#push(bytes);
    if (rowCount > 0) this.#push(rowCheck(rowCount));
    if (isRelaxed) this.#statements.push(restore);
  }

  /** Counts row changes of statements given to `statement`. */
  countRows(rowCount: number): void {
    this.#writtenRowCount += rowCount;
  }

  /** Ends the statement under way. */
  flush(): void {
    const shape = this.#shape;
    if (shape === null || this.#rowCount === 0) {
      this.out.truncate(0);
      return;
    }
    this.out.raw(shape.tail);
    this.#push(this.out.take());
    if (shape.rowCountEach > 0) this.#push(rowCheck(this.#rowCount * shape.rowCountEach));
    this.#rowCount = 0;
    this.#shape = null;
  }

  /** Where the lane stands between two tables, for {@link rewind}. */
  mark(): LaneMark {
    this.flush();
    return { statementCount: this.#statements.length, writtenRowCount: this.#writtenRowCount };
  }

  /** Takes back everything written since `mark`. */
  rewind(mark: LaneMark): void {
    this.#shape = null;
    this.#rowCount = 0;
    this.out.truncate(0);
    this.isRelaxed = false;
    this.#statements.length = mark.statementCount;
    this.#writtenRowCount = mark.writtenRowCount;
  }

  /** All statements; the writer is empty afterwards. */
  take(): readonly Uint8Array[] {
    this.flush();
    return this.#statements.splice(0);
  }

  #separate(shape: StatementShape): void {
    const isRelaxed = this.isRelaxed;
    this.isRelaxed = false;
    let row: Uint8Array | null = null;
    if (this.#rowCount > 1) {
      row = this.out.bytes().slice(this.#rowStart);
      this.out.truncate(this.#rowStart - 1);
      this.#rowCount--;
      this.flush();
      this.#shape = shape;
      this.out.raw(shape.head);
      this.out.raw(row);
      this.#rowCount = 1;
    }
    if (isRelaxed) this.#statements.push(relax);
    this.flush();
    if (isRelaxed) this.#statements.push(restore);
  }

  #push(bytes: Uint8Array): void {
    if (bytes.byteLength > this.#packetBytesMax) {
      fail(
        'SINK_ROW_TOO_LARGE',
        `a row needs ${bytes.byteLength} bytes to ${describeStatement(bytes)}, and the downstream takes ${this.#packetBytesMax}: raise its max_allowed_packet`,
        {
          scope: 'Table',
          detail: { byteCount: bytes.byteLength, byteCountMax: this.#packetBytesMax },
        },
      );
    }
    this.#statements.push(bytes);
  }
}
