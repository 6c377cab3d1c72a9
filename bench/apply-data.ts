import { WorkloadBlocks } from '#src/adapters/workload/workload-blocks.ts';
import type { WriterRow, WriterTable } from '#src/adapters/workload/row-event-writer.ts';
import { tableSpan } from '#src/model/span.ts';

/** One kind of row change. */
export type Operation = 'insert' | 'update' | 'delete';

/** The blocks of one batch: `rowCount` transactions of one row each, as the log puller makes them. */
export interface ApplyBatch {
  readonly blocks: readonly Uint8Array[];
  readonly lastTs: number;
}

/** A table of rows of about 190 bytes with one secondary index, and its changes as blocks. */
export class ApplyTable {
  readonly name: string;
  readonly span: string;
  readonly #table: WriterTable;
  readonly #blocks = new WorkloadBlocks({ rules: ['*.*'], groups: {} });
  #ts = 0;

  constructor(number: number) {
    this.name = `apply${number}`;
    this.span = tableSpan({ schema: 'bench', table: this.name });
    this.#table = {
      id: number,
      schema: 'bench',
      table: this.name,
      columns: [
        { name: 'id', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
        { name: 'k', kind: 'integer', bytes: 4, unsigned: false, nullable: false },
        { name: 'c', kind: 'varchar', length: 120, nullable: false },
        { name: 'pad', kind: 'varchar', length: 60, nullable: false },
      ],
      key: [0],
    };
  }

  /** The statement that makes the table downstream. */
  get definition(): string {
    return `CREATE TABLE bench.${this.name} (id INT PRIMARY KEY, k INT NOT NULL, c VARCHAR(120) NOT NULL, pad VARCHAR(60) NOT NULL, KEY (k)) CHARACTER SET utf8mb4`;
  }

  /** One change of each of the rows 1…`total`, cut into batches of `rowCount`. */
  batches(operation: Operation, total: number, rowCount: number): readonly ApplyBatch[] {
    const batches: ApplyBatch[] = [];
    for (let id = 1; id <= total;) {
      const blocks: Uint8Array[] = [];
      for (let n = 0; n < rowCount && id <= total; n++, id++) {
        const ts = ++this.#ts;
        const change = {
          table: this.#table,
          before: operation === 'insert' ? null : applyRow(id, operation === 'delete'),
          after: operation === 'delete' ? null : applyRow(id, operation === 'update'),
        };
        this.#blocks.begin(ts, 1_700_000_000_000, `0-1-${ts}`, [change]);
        while (this.#blocks.isOpen) this.#blocks.writeEvent();
      }
      for (const block of this.#blocks.take()) blocks.push(block.bytes);
      batches.push({ blocks, lastTs: this.#ts });
    }
    return batches;
  }
}

/** Row `id`; an update changes its indexed column. */
export function applyRow(id: number, updated: boolean): WriterRow {
  const digits = String((id * 7_919) % 99_999_999_999).padStart(11, '0');
  const k = ((id * 31) % 100_000) + (updated ? 1 : 0);
  return [id, k, `${digits}-`.repeat(10).slice(0, 119), `${digits}-`.repeat(5).slice(0, 59)];
}
