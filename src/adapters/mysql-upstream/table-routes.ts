import { readTableId, readTableMapName } from '../binlog/stream/table-name.ts';
import type { Route, Router } from './router.ts';

/** A table map of the log with its route. */
export interface RoutedTable {
  /** Number by which rows events refer to it. */
  readonly id: number;
  readonly route: Route;
  /** Body of the TABLE_MAP event. */
  readonly map: Uint8Array;
}

/** At most this many maps are remembered, a few hundred bytes each; beyond, all are forgotten. */
const rememberedMax = 1_000;

/** Routes table maps. The log repeats them in every transaction, mostly byte for byte: such a one is not read again. */
export class TableRoutes {
  readonly #known = new Map<number, RoutedTable>();
  #router: Router;

  constructor(router: Router) {
    this.#router = router;
  }

  /** The rules in force. */
  get router(): Router {
    return this.#router;
  }

  /** Replaces the rules. */
  set router(router: Router) {
    this.#router = router;
    this.#known.clear();
  }

  /** The table of a TABLE_MAP body. */
  table(body: Uint8Array): RoutedTable {
    const id = readTableId(body);
    const known = this.#known.get(id);
    if (known !== undefined && isSame(known.map, body)) return known;
    // A copy: a view would keep a whole piece of the stream in memory.
    const table = { id, route: this.#router.route(readTableMapName(body)), map: body.slice() };
    if (this.#known.size >= rememberedMax) this.#known.clear();
    this.#known.set(id, table);
    return table;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i++) if (a[i] !== b[i]) return false;
  return true;
}
