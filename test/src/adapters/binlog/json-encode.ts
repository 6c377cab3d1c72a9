/** A small encoder of MySQL's binary JSON, always of the large kind, for tests. */

/** What the encoder takes: JSON values, and raw values of a type with their data. */
export type EncodedJson =
  | null
  | boolean
  | number
  | string
  | readonly EncodedJson[]
  | { readonly [key: string]: EncodedJson }
  | RawJson;

/** A value given as its type and data. */
export class RawJson {
  readonly type: number;
  readonly data: readonly number[];

  constructor(type: number, data: readonly number[]) {
    this.type = type;
    this.data = data;
  }
}

/** The bytes of a document. */
export function encodeJson(value: EncodedJson): Uint8Array {
  const { type, data } = encoded(value);
  return Uint8Array.from([type, ...data]);
}

function encoded(value: EncodedJson): RawJson {
  if (value instanceof RawJson) return value;
  if (value === null) return new RawJson(4, [0]);
  if (typeof value === 'boolean') return new RawJson(4, [value ? 1 : 2]);
  if (typeof value === 'string') {
    const bytes = [...Buffer.from(value)];
    return new RawJson(12, [...size(bytes.length), ...bytes]);
  }
  if (typeof value === 'number') {
    const isInt = Number.isInteger(value) && Math.abs(value) < 2 ** 31 && !Object.is(value, -0);
    return isInt ? new RawJson(7, word(value)) : new RawJson(11, double(value));
  }
  return Array.isArray(value)
    ? container([], value)
    : container(Object.keys(value), Object.values(value));
}

function container(keys: readonly string[], values: readonly EncodedJson[]): RawJson {
  const isObject = keys.length > 0 || values.length === 0;
  const names = keys.map((key) => [...Buffer.from(key)]);
  const head = 8 + names.length * 6 + values.length * 5;
  const body: number[] = [];
  const keyEntries = names.flatMap((name) => {
    const at = head + body.length;
    body.push(...name);
    return [...word(at), name.length & 255, name.length >> 8];
  });
  const valueEntries = values.flatMap((value) => {
    const { type, data } = encoded(value);
    if (type === 4 || type === 7 || type === 8) return [type, ...data, 0, 0, 0].slice(0, 5);
    const at = head + body.length;
    for (const byte of data) body.push(byte);
    return [type, ...word(at)];
  });
  const bytes = [
    ...word(values.length),
    ...word(head + body.length),
    ...keyEntries,
    ...valueEntries,
  ];
  return new RawJson(isObject ? 1 : 3, bytes.concat(body));
}

/** A variable-length size. */
function size(value: number): number[] {
  return value < 128 ? [value] : [128 | (value & 127), ...size(value >> 7)];
}

function word(value: number): number[] {
  return [value & 255, (value >> 8) & 255, (value >> 16) & 255, value >>> 24];
}

function double(value: number): number[] {
  return [...new Uint8Array(new Float64Array([value]).buffer)];
}
