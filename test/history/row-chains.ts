import { createHash } from 'node:crypto';
import { readBinlogFiles } from './binlog-text.ts';

import type { SqlServer } from '#test/servers/sql-server.ts';
import type { LoggedImage, LoggedTransaction } from './binlog-text.ts';

/** What to follow. */
export interface ChainRules {
  /** True for tables whose rows are followed. Their DDL must not lie inside the logs compared. */
  readonly isFollowed: (table: string) => boolean;
  /** Numbers of the key columns of a table, 1 first. Default: the first column. */
  readonly keyColumns?: (table: string) => readonly number[];
}

/** C5: what became of each row downstream, compared with its history upstream. */
export interface ChainReport {
  /** One line each, at most 1,000: a state that never was, came back, or was lost. */
  readonly violations: readonly string[];
  /** Rows (by table and key) with a history upstream. */
  readonly rows: number;
  /** States upstream, and states that the downstream went through: fewer where changes were folded. */
  readonly upstreamSteps: number;
  readonly downstreamSteps: number;
}

/** A row's states upstream, oldest first: a digest of its image, or null for no row. */
interface Chain {
  readonly states: (string | null)[];
  /** Index of the state the downstream is in; -1 before its first change. */
  at: number;
}

const violationsMax = 1_000;

/**
 * Checks C5 of RELIABILITY §2.3 for a sink that may fold changes: after each transaction downstream, every row is in a
 * state that it had upstream after some transaction, never in an earlier one than before, and in the last one at the end.
 * So nothing is lost, repeated, reordered or stale, as far as states differ: let the workload count versions. Memory is
 * about 60 bytes per state upstream.
 */
export class RowChains {
  readonly #rules: ChainRules;
  readonly #chains = new Map<string, Chain>();
  readonly #violations: string[] = [];
  #upstreamSteps = 0;
  #downstreamSteps = 0;

  constructor(rules: ChainRules) {
    this.#rules = rules;
  }

  /** Takes the upstream's transactions, all of them before the first of the downstream's. */
  addUpstream(transaction: LoggedTransaction): void {
    for (const [key, { before, after }] of this.#netChanges(transaction)) {
      const chain = this.#chains.get(key) ?? { states: [before], at: -1 };
      this.#chains.set(key, chain);
      if (chain.states.at(-1) === after) continue;
      chain.states.push(after);
      this.#upstreamSteps += 1;
    }
  }

  /** Takes the downstream's transactions in order. */
  addDownstream(transaction: LoggedTransaction): void {
    for (const [key, { before, after }] of this.#netChanges(transaction)) {
      if (before === after) continue;
      this.#downstreamSteps += 1;
      const chain = this.#chains.get(key);
      const found = chain?.states.indexOf(after, chain.at + 1) ?? -1;
      if (chain === undefined || found < 0) {
        const was = chain?.states.includes(after) === true;
        const how = was ? 'went back to an earlier state' : 'took a state it never had upstream';
        this.#violate(`${describeKey(key)} ${how} at ${transaction.gtid}`);
      } else {
        chain.at = found;
      }
    }
  }

  /** The verdict: rows that are not in their last state are lost changes. */
  finish(): ChainReport {
    for (const [key, { states, at }] of this.#chains) {
      const isUntouched = at === -1 && states.length === 1;
      if (!isUntouched && at !== states.length - 1 && states.at(-1) !== states[Math.max(at, 0)]) {
        this.#violate(`${describeKey(key)} never reached its last state`);
      }
    }
    return {
      violations: this.#violations,
      rows: this.#chains.size,
      upstreamSteps: this.#upstreamSteps,
      downstreamSteps: this.#downstreamSteps,
    };
  }

  /** First before-state and last after-state of each row in a transaction. */
  #netChanges(
    transaction: LoggedTransaction,
  ): Map<string, { before: string | null; after: string | null }> {
    const net = new Map<string, { before: string | null; after: string | null }>();
    const note = (
      table: string,
      key: LoggedImage,
      change: [string | null, string | null],
    ): void => {
      const name = this.#nameOf(table, key);
      const known = net.get(name);
      net.set(name, { before: known === undefined ? change[0] : known.before, after: change[1] });
    };
    for (const { table, kind, before, after } of transaction.rows) {
      if (!this.#rules.isFollowed(table)) continue;
      const [was, is] = [digest(before), digest(after)];
      const moves = kind === 'update' && this.#nameOf(table, before) !== this.#nameOf(table, after);
      if (kind === 'delete' || moves) note(table, before, [was, null]);
      if (kind === 'insert' || moves) note(table, after, [null, is]);
      if (kind === 'update' && !moves) note(table, after, [was, is]);
    }
    return net;
  }

  #nameOf(table: string, image: LoggedImage): string {
    const columns = this.#rules.keyColumns?.(table) ?? [1];
    return JSON.stringify([table, ...columns.map((column) => image[column] ?? null)]);
  }

  #violate(message: string): void {
    if (this.#violations.length < violationsMax) this.#violations.push(message);
  }
}

function digest(image: LoggedImage): string {
  return createHash('sha1').update(JSON.stringify(image)).digest('base64').slice(0, 12);
}

function describeKey(key: string): string {
  const [table, ...values] = JSON.parse(key) as (string | null)[];
  return `${table} (${values.join(', ')})`;
}

/** Follows every row through the binary logs of two MariaDB servers that rest. */
export async function checkChains(
  upstream: SqlServer,
  downstream: SqlServer,
  rules: ChainRules,
): Promise<ChainReport> {
  const chains = new RowChains(rules);
  for await (const each of readBinlogFiles(upstream.binlogFiles(), rules.isFollowed)) {
    chains.addUpstream(each);
  }
  for await (const each of readBinlogFiles(downstream.binlogFiles(), rules.isFollowed)) {
    chains.addDownstream(each);
  }
  return chains.finish();
}
