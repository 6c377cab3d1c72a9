import { spanTables } from '#src/model/span.ts';
import { BatchPlanner } from './batch/batch-planner.ts';
import { splitRefusal } from './batch/key-scope.ts';
import { TableCatalog } from './batch/table-catalog.ts';

import type { Routing } from '#src/model/start-at.ts';
import type { BatchInput, BatchPlan } from './batch/batch.ts';

/** Blocks to statements, with what is known of the downstream's tables. */
export interface Planning {
  /** FailureError when the blocks do not fit the downstream's tables. */
  plan(input: BatchInput): Promise<BatchPlan>;
  /** Drops all table definitions. */
  forget(): void;
  /** Why the rows of a table span must stay together; null when they may be split. */
  splitRefusal(span: string): Promise<string | null>;
  /** Which tables must share a span. */
  groups(rules: readonly string[]): Promise<Routing['groups']>;
}

/** What planning needs of the sink. */
export interface PlanningParts {
  /** Asks the downstream. */
  readonly query: (sql: string) => Promise<readonly Record<string, unknown>[]>;
  readonly laneCount: number;
  /** Longest statement in bytes that the downstream takes. */
  readonly packetBytesMax: number;
}

/** The planning of a real sink. Plans of several spans are made one after the other: the planner holds one row at a time. */
export function openPlanning(parts: PlanningParts): Planning {
  const catalog = new TableCatalog(parts.query);
  const { laneCount, packetBytesMax } = parts;
  const planner = new BatchPlanner(catalog, { laneCount, packetBytesMax });
  let turn: Promise<unknown> = Promise.resolve();
  return {
    plan: (input) => {
      const mine = turn.then(() => planner.plan(input));
      turn = mine.catch(() => {});
      return mine;
    },
    forget: () => {
      catalog.forget();
    },
    splitRefusal: async (span) => {
      const [name, other] = spanTables(span);
      if (name === undefined || other !== undefined) return 'it is tied to other tables';
      // What was read before may be of an earlier schema.
      catalog.forget();
      return splitRefusal(await catalog.table(name.schema, name.table));
    },
    groups: (rules) => catalog.groups(rules),
  };
}
