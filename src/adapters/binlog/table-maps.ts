import type { LogFlavor } from '#src/model/block.ts';
import { readTableMap, type TableMap } from './table-map.ts';

/** Maps that are remembered; when it is full, all are forgotten. */
const mapCountMax = 1024;

interface Known {
  readonly body: Uint8Array;
  readonly map: TableMap;
}

/**
 * Remembers table maps by their bytes: small transactions repeat the same map before every rows event, and comparing
 * bytes costs a tenth of reading them. Holds at most 1024 maps.
 */
export class TableMaps {
  readonly #flavor: LogFlavor;
  readonly #known = new Map<number, Known>();

  constructor(flavor: LogFlavor) {
    this.#flavor = flavor;
  }

  /** The table map in `body`, which is copied when it is new; malformed input is SOURCE_CORRUPT. */
  read(body: Uint8Array): TableMap {
    // The table id is the key, and the bytes decide: ids begin anew when a server restarts.
    const id = body.byteLength < 4 ? -1 : idOf(body);
    const known = this.#known.get(id);
    if (known !== undefined && sameBytes(known.body, body)) return known.map;
    const map = readTableMap(body, this.#flavor);
    if (this.#known.size >= mapCountMax) this.#known.clear();
    this.#known.set(id, { body: new Uint8Array(body), map });
    return map;
  }
}

function idOf(body: Uint8Array): number {
  return body[0]! | (body[1]! << 8) | (body[2]! << 16) | (body[3]! << 24);
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.byteLength !== b.byteLength) return false;
  for (let i = 0; i < a.byteLength; i++) if (a[i] !== b[i]) return false;
  return true;
}
