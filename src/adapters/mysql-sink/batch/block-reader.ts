import { blockFlavor, visitBlock } from '#src/model/block.ts';

import type { LogFlavor } from '#src/model/block.ts';
import type { BatchInput } from './batch.ts';

/** A table as a block has it: the body of its TABLE_MAP event. */
export interface LoggedTable {
  readonly flavor: LogFlavor;
  readonly body: Uint8Array;
  /** Equal for equal maps; the table id, which changes by itself, is left out. */
  readonly id: string;
}

/** One rows event to apply. */
export interface LoggedEvent {
  readonly table: LoggedTable;
  readonly commitTs: number;
  readonly eventType: number;
  readonly body: Uint8Array;
}

/** The part of the blocks that a batch applies. Views into the blocks. */
export interface BatchEvents {
  readonly events: readonly LoggedEvent[];
  readonly transactionCount: number;
  readonly lastTs: number;
  readonly commitMs: number;
  readonly gtid: string;
}

/** Reads the events of the transactions after `afterTs` up to `untilTs`. */
export function readEvents(input: BatchInput): BatchEvents {
  const events: LoggedEvent[] = [];
  const known = new Map<string, LoggedTable>();
  let isWanted = false;
  let eventTs = 0;
  let transactionCount = 0;
  let lastTs = input.afterTs;
  let commitMs = 0;
  let gtid = '';
  for (const block of input.blocks) {
    const flavor = blockFlavor(block);
    const tables: LoggedTable[] = [];
    visitBlock(block, {
      transaction(commitTs, transactionMs, transactionGtid) {
        isWanted = commitTs > input.afterTs && commitTs <= input.untilTs;
        eventTs = commitTs;
        // A transaction that continues in the next block repeats its record.
        if (!isWanted || commitTs === lastTs) return;
        transactionCount++;
        lastTs = commitTs;
        commitMs = transactionMs;
        gtid = transactionGtid;
      },
      table(index, body) {
        const content = Buffer.from(body.buffer, body.byteOffset + 6, body.byteLength - 6);
        const id = `${flavor}${content.toString('latin1')}`;
        let table = known.get(id);
        if (table === undefined) {
          table = { flavor, body, id };
          known.set(id, table);
        }
        tables[index] = table;
      },
      rows(tableIndex, eventType, body) {
        if (isWanted)
          events.push({ table: tables[tableIndex]!, commitTs: eventTs, eventType, body });
      },
    });
  }
  return { events, transactionCount, lastTs, commitMs, gtid };
}
