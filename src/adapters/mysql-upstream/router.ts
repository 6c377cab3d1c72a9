import { tableSpan, type TableName } from '../../model/span.ts';
import { compileTableFilter, type TableFilter } from '../../model/table-filter.ts';
import type { Routing } from '../../model/start-at.ts';

/** Where the rows of one table go. */
export interface Route {
  /** Unique per table; names it in a block. */
  readonly key: string;
  /** Null: the table is not replicated. */
  readonly span: string | null;
}

/** At most this many tables are remembered; beyond, all are forgotten and asked again. */
const rememberedMax = 20_000;

/** Tells for each table of the log whether and to which span it belongs. */
export class Router {
  readonly filter: TableFilter;
  readonly #groups: ReadonlyMap<string, string>;
  readonly #routes = new Map<string, Route>();

  constructor(routing: Routing) {
    this.filter = compileTableFilter(routing.rules);
    this.#groups = new Map(Object.entries(routing.groups));
  }

  /** The route of a table; remembered. */
  route(name: TableName): Route {
    // A zero byte is in no identifier.
    const key = `${name.schema}\0${name.table}`;
    const known = this.#routes.get(key);
    if (known !== undefined) return known;
    if (this.#routes.size >= rememberedMax) this.#routes.clear();
    let span: string | null = null;
    if (this.filter.matchesTable(name.schema, name.table)) {
      const alone = tableSpan(name);
      span = this.#groups.get(alone) ?? alone;
    }
    const route = { key, span };
    this.#routes.set(key, route);
    return route;
  }
}
