/**
 * The upstream's history of a simulation: transactions that move rows from one version to the next, and DDL statements.
 * Versions make every lost, repeated or reordered change visible.
 */
import type { DdlEvent } from '#src/model/position.ts';
import type { World } from './world.ts';

/** Row `key` of `span` goes from version `from` to `from + 1`. */
export interface RowChange {
  readonly span: string;
  readonly key: string;
  readonly from: number;
}

/** A transaction, or a DDL statement (then without changes). */
export interface Item {
  readonly ts: number;
  readonly changes: readonly RowChange[];
  readonly ddl: DdlEvent | null;
}

/** What the upstream has committed, and what a copy of it must look like. */
export class History {
  readonly items: Item[] = [];

  /** `itemCount` random items over a few spans; some transactions are big. */
  constructor(world: World, itemCount: number) {
    const versions = new Map<string, number>();
    for (let i = 1; i <= itemCount; i++) {
      const ts = i * 10;
      if (world.chance(0.04)) {
        const ddl: DdlEvent = { ts, gtid: `0-1-${i}`, commitMs: ts, schema: 'd', sql: `DDL ${i}` };
        this.items.push({ ts, changes: [], ddl });
        continue;
      }
      const count = world.chance(0.1) ? 8 + world.pick(12) : 1 + world.pick(4);
      const changes = Array.from({ length: count }, (): RowChange => {
        const span = `d.t${world.pick(3)}`;
        const key = String(world.pick(4));
        const from = versions.get(`${span} ${key}`) ?? 0;
        versions.set(`${span} ${key}`, from + 1);
        return { span, key, from };
      });
      this.items.push({ ts, changes, ddl: null });
    }
  }

  get newestTs(): number {
    return this.items.at(-1)?.ts ?? 0;
  }

  /** Version of each row, by `span key`, after everything with ts ≤ `ts`. */
  versionsAt(ts: number): ReadonlyMap<string, number> {
    const versions = new Map<string, number>();
    for (const item of this.items) {
      if (item.ts > ts) break;
      for (const { span, key, from } of item.changes) versions.set(`${span} ${key}`, from + 1);
    }
    return versions;
  }
}
