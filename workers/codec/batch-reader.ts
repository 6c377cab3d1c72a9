import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { item } from './batch-item.ts';
import { isFieldName, shapeOf, type Fields, type MessageShape } from './message-shape.ts';
import { CorruptBatch, ValueReader } from './value-reader.ts';

/** Addresses that came before: one object each for as long as they are used, and not too many of them. */
const knownCountMax = 4_096;
const fieldCountMax = 256;

const unset: Ref = { path: '', thread: '', incarnation: 0 };

/** Reads batches of `BatchWriter`: gives each envelope in turn. Throws CorruptBatch for anything else. */
export class BatchReader {
  readonly #in = new ValueReader();
  readonly #knownRefs = new Map<string, Ref>();
  #refs: Ref[] = [];
  #shapes: MessageShape[] = [];

  /** Hands every envelope to `deliver`; answers their number. `moved` are the byte arrays that came with the batch. */
  read(
    bytes: Uint8Array,
    moved: readonly Uint8Array<ArrayBuffer>[],
    deliver: (envelope: Envelope) => void,
  ): number {
    const source = this.#in;
    source.open(bytes);
    this.#refs = [];
    this.#shapes = [];
    let [to, from, epoch, seq] = [unset, unset, 0, 0];
    let movedAt = 0;
    let envelopeCount = 0;
    while (!source.isAtEnd) {
      const first = source.byte();
      if (first < item.envelope) {
        this.#define(first);
        if (first === item.restart) [to, from, epoch, seq] = [unset, unset, 0, 0];
        continue;
      }
      const number = source.count();
      if ((first & item.sameTo) === 0) to = this.#ref();
      if ((first & item.sameFrom) === 0) from = this.#ref();
      if ((first & item.sameEpoch) === 0) epoch = source.integer();
      seq = (first & item.nextSeq) === 0 ? source.integer() : seq + 1;
      if (to === unset || from === unset) throw new CorruptBatch('an address is missing');
      const message = number === 0 ? this.#whole() : this.#fields(number);
      if ((first & item.moved) !== 0) {
        const count = source.count();
        if (count > moved.length - movedAt) throw new CorruptBatch('moved bytes are missing');
        message['moved'] = moved.slice(movedAt, movedAt + count);
        movedAt += count;
      }
      envelopeCount++;
      deliver({ to, from, epoch, seq, message: message as unknown as Message });
    }
    if (movedAt !== moved.length) throw new CorruptBatch('moved bytes are left over');
    return envelopeCount;
  }

  #define(first: number): void {
    if (first === item.ref) this.#refs.push(this.#readRef());
    else if (first === item.shape) this.#shapes.push(this.#readShape());
    else if (first === item.restart) {
      this.#in.forget();
      this.#refs = [];
      this.#shapes = [];
    } else throw new CorruptBatch('an item is of no known form');
  }

  #ref(): Ref {
    const ref = this.#refs[this.#in.count()];
    if (ref === undefined) throw new CorruptBatch('an address is missing');
    return ref;
  }

  #fields(number: number): Fields {
    const shape = this.#shapes[number - 1];
    if (shape === undefined) throw new CorruptBatch('a shape is missing');
    return shape.read(this.#in);
  }

  #whole(): Fields {
    const value = this.#in.value();
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      const message = value as Fields;
      if (typeof message['kind'] === 'string' && !('moved' in message)) return message;
    }
    throw new CorruptBatch('a message is missing');
  }

  #readRef(): Ref {
    const source = this.#in;
    const [path, thread, incarnation] = [source.text(), source.text(), source.integer()];
    const node = source.value();
    if (node !== undefined && typeof node !== 'string') throw new CorruptBatch('a node is no name');
    const key = JSON.stringify([path, thread, incarnation, node]);
    const ref =
      node === undefined ? { path, thread, incarnation } : { path, thread, incarnation, node };
    return remember(this.#knownRefs, key, ref);
  }

  #readShape(): MessageShape {
    const source = this.#in;
    const kind = source.text();
    const count = source.count();
    if (count > fieldCountMax) throw new CorruptBatch('a shape has too many fields');
    const fields = Array.from({ length: count }, () => source.text());
    if (!fields.every(isFieldName) || new Set(fields).size !== count) {
      throw new CorruptBatch('a field has no proper name');
    }
    return shapeOf(kind, fields);
  }
}

/** The value that stood under `key` before, or `fresh`. */
function remember<T>(known: Map<string, T>, key: string, fresh: T): T {
  const former = known.get(key);
  if (former !== undefined) return former;
  if (known.size >= knownCountMax) known.clear();
  known.set(key, fresh);
  return fresh;
}
