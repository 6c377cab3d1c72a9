import { messageOf } from '#src/base/failure.ts';
import { assert } from '#src/base/assert.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { item } from './batch-item.ts';
import { isFieldName, shapeOf, type MessageShape } from './message-shape.ts';
import { ValueWriter } from './value-writer.ts';

/** Kinds with more optional fields than this travel as a whole; none of ours do. */
const shapesPerKindMax = 16;
/** Messages of any kind at all: more than a protocol has, so that odd kinds cannot grow the tables for ever. */
const kindCountMax = 1_024;

interface KnownShape {
  readonly shape: MessageShape;
  /** The batch that has its definition, and its number there. */
  batch: number;
  number: number;
}

/**
 * Encodes envelopes one after another into a batch that explains itself: addresses and message shapes (kind and field
 * names) are written at their first use and numbered from then on, so any batch can be read alone, in any order, twice or
 * never. Messages are encoded when they are added: later changes of an object do not travel.
 */
export class BatchWriter {
  readonly #out = new ValueWriter();
  readonly #shapes = new Map<string, KnownShape[]>();
  readonly #refs = new Map<Ref, number>();
  #moved: Uint8Array<ArrayBuffer>[] = [];
  #movedByteCount = 0;
  /** Those of `#moved`: none may be there twice. */
  readonly #buffers = new Set<ArrayBuffer>();
  #envelopeCount = 0;
  #batch = 1;
  #shapeCount = 0;
  #to: Ref | null = null;
  #from: Ref | null = null;
  #epoch = 0;
  #seq = 0;

  /** Envelopes of the batch so far. */
  get envelopeCount(): number {
    return this.#envelopeCount;
  }

  /** Bytes of the batch so far, moved ones included. */
  get byteCount(): number {
    return this.#out.length + this.#movedByteCount;
  }

  /** Appends an envelope. A Fault, and nothing appended, when its message is not plain data or its bytes are gone. */
  add(envelope: Envelope): void {
    const start = this.#out.length;
    const movedCount = this.#moved.length;
    try {
      this.#write(envelope);
    } catch (error) {
      // Definitions written with it are gone too: what is left is told as a new batch would be.
      this.#out.truncate(start);
      for (const part of this.#moved.splice(movedCount)) {
        this.#buffers.delete(part.buffer);
        this.#movedByteCount -= part.byteLength;
      }
      this.#forget();
      const why = messageOf(error);
      assert(false, `message ${envelope.message.kind} cannot be encoded: ${why}`);
    }
    this.#envelopeCount++;
  }

  /** The batch, and an empty writer. `moved` are whole buffers, ready for a transfer. */
  take(): {
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly moved: readonly Uint8Array<ArrayBuffer>[];
  } {
    const batch = { bytes: this.#out.take(), moved: this.#moved };
    this.#moved = [];
    this.#movedByteCount = 0;
    this.#buffers.clear();
    this.#envelopeCount = 0;
    this.#forget();
    return batch;
  }

  #forget(): void {
    if (this.#out.length > 0) this.#out.byte(item.restart);
    this.#out.forget();
    this.#batch++;
    this.#shapeCount = 0;
    this.#refs.clear();
    this.#to = this.#from = null;
    this.#epoch = this.#seq = 0;
  }

  #write({ to, from, epoch, seq, message }: Envelope): void {
    const known = this.#shapeOf(message);
    let flags: number = item.envelope;
    if (to === this.#to) flags |= item.sameTo;
    else this.#define(to);
    if (from === this.#from) flags |= item.sameFrom;
    else this.#define(from);
    if (epoch === this.#epoch) flags |= item.sameEpoch;
    if (seq === this.#seq + 1) flags |= item.nextSeq;
    if (message.moved !== undefined) flags |= item.moved;
    const out = this.#out;
    out.byte(flags);
    out.count(known === null ? 0 : known.number);
    if (to !== this.#to) out.count(this.#refs.get(to)!);
    if (from !== this.#from) out.count(this.#refs.get(from)!);
    if (epoch !== this.#epoch) out.number(epoch);
    if (seq !== this.#seq + 1) out.number(seq);
    if (known === null) this.#writeWhole(message);
    else known.shape.write(out, message);
    if (message.moved !== undefined) this.#move(message.moved);
    this.#to = to;
    this.#from = from;
    this.#epoch = epoch;
    this.#seq = seq;
  }

  #writeWhole(message: Message): void {
    const { moved: _moved, ...rest } = message;
    this.#out.value(rest);
  }

  #move(moved: NonNullable<Message['moved']>): void {
    this.#out.count(moved.length);
    for (const part of moved) {
      const own = whole(part);
      assert(!own.buffer.detached && !this.#buffers.has(own.buffer), 'its bytes were moved before');
      this.#buffers.add(own.buffer);
      this.#moved.push(own);
      this.#movedByteCount += own.byteLength;
    }
  }

  #define(ref: Ref): void {
    if (this.#refs.has(ref)) return;
    this.#refs.set(ref, this.#refs.size);
    const out = this.#out;
    out.byte(item.ref);
    out.text(ref.path);
    out.text(ref.thread);
    out.number(ref.incarnation);
    out.value(ref.node);
  }

  /** The numbered shape of a message; null when it has none, and travels as a whole. */
  #shapeOf(message: Message): KnownShape | null {
    const all = this.#shapes.get(message.kind);
    const known = findShape(all, message) ?? this.#learn(all, message);
    if (known === null || known.batch === this.#batch) return known;
    known.batch = this.#batch;
    // Number 0 says that there is none.
    known.number = ++this.#shapeCount;
    const out = this.#out;
    out.byte(item.shape);
    out.text(known.shape.kind);
    out.count(known.shape.fields.length);
    for (const field of known.shape.fields) out.text(field);
    return known;
  }

  #learn(all: KnownShape[] | undefined, message: Message): KnownShape | null {
    const { kind } = message;
    const fields = Object.keys(message).filter((name) => name !== 'kind' && name !== 'moved');
    if (!fields.every(isFieldName)) return null;
    if (all === undefined ? this.#shapes.size >= kindCountMax : all.length >= shapesPerKindMax)
      return null;
    const known: KnownShape = { shape: shapeOf(kind, fields), batch: 0, number: 0 };
    if (all === undefined) this.#shapes.set(kind, [known]);
    else all.push(known);
    return known;
  }
}

function findShape(all: readonly KnownShape[] | undefined, message: Message): KnownShape | null {
  if (all === undefined) return null;
  for (const known of all) if (hasFields(message, known.shape.fields)) return known;
  return null;
}

function hasFields(message: Message, fields: readonly string[]): boolean {
  let at = 0;
  for (const name in message) {
    if (name === fields[at]) at++;
    else if (name !== 'kind' && name !== 'moved') return false;
  }
  return at === fields.length;
}

/** Bytes that own their buffer, so that moving them takes nothing else along. */
function whole(part: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return part.byteLength === part.buffer.byteLength ? part : new Uint8Array(part);
}
