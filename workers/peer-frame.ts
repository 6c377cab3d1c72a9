/**
 * What one frame between captures holds: envelopes one after another, each as a batch of the codec behind its lengths, with
 * the byte arrays that would be moved between threads behind it. Every envelope is encoded by itself, so sizes are known
 * exactly before a frame is closed.
 *
 *     frame = part*    part = u32 bytes of the batch, batch, u32 number of byte arrays, (u32 bytes, array)*
 */
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Envelope } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { decodeBatch, encodeBatch } from './codec/codec.ts';

const lengthBytes = 4;
/** Envelopes of one frame; more is no frame of ours. */
const countMax = 65_536;

/** The bytes of one envelope. Its nodes do not travel: the stream says who speaks to whom. */
export function encodeEnvelope(envelope: Envelope): Uint8Array {
  const { to, from } = envelope;
  const batch = encodeBatch([{ ...envelope, to: localRef(to), from: localRef(from) }]);
  const pieces = [batch.bytes, ...batch.moved];
  const size = pieces.reduce((sum, piece) => sum + lengthBytes + piece.byteLength, lengthBytes);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const put = (value: number): void => {
    view.setUint32(at, value);
    at += lengthBytes;
  };
  for (const [i, piece] of pieces.entries()) {
    put(piece.byteLength);
    bytes.set(piece, at);
    at += piece.byteLength;
    if (i === 0) put(batch.moved.length);
  }
  return bytes;
}

/** Joins encoded envelopes into a frame. */
export function joinEnvelopes(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return only;
  const frame = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    frame.set(part, at);
    at += part.byteLength;
  }
  return frame;
}

/** Total: the envelopes of a frame that `node` sent, or PEER_FRAME_CORRUPT. Senders get `node` as theirs. */
export function decodeFrame(frame: Uint8Array, node: string): Outcome<readonly Envelope[]> {
  const reader = new FrameReader(frame);
  const envelopes: Envelope[] = [];
  while (!reader.isAtEnd) {
    const part = reader.part();
    if (part === null) return corrupt('it is shorter than its lengths say');
    const decoded = decodeBatch(part.bytes, part.moved);
    if (!decoded.ok) return corrupt(decoded.failure.message);
    if (envelopes.length + decoded.value.length > countMax) {
      return corrupt('it holds too many envelopes');
    }
    for (const envelope of decoded.value) {
      const { to, from } = envelope;
      envelopes.push({ ...envelope, to: localRef(to), from: { ...localRef(from), node } });
    }
  }
  return ok(envelopes);
}

/** Cuts a frame into its parts; null wherever a length reaches beyond its end. */
class FrameReader {
  readonly #frame: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(frame: Uint8Array) {
    this.#frame = frame;
    this.#view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#frame.byteLength;
  }

  part(): {
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly moved: readonly Uint8Array<ArrayBuffer>[];
  } | null {
    const bytes = this.#piece();
    const count = this.#length();
    // Each array has a length of its own, which bounds their number before anything is kept.
    if (bytes === null || count === null || count > this.#left() / lengthBytes) return null;
    const moved: Uint8Array<ArrayBuffer>[] = [];
    for (let i = 0; i < count; i++) {
      const piece = this.#piece();
      if (piece === null) return null;
      moved.push(piece);
    }
    return { bytes, moved };
  }

  /** A copy: what is moved on to a thread owns its buffer. */
  #piece(): Uint8Array<ArrayBuffer> | null {
    const byteCount = this.#length();
    if (byteCount === null || byteCount > this.#left()) return null;
    const start = this.#at;
    this.#at += byteCount;
    return Uint8Array.prototype.slice.call(this.#frame, start, this.#at);
  }

  #length(): number | null {
    if (this.#left() < lengthBytes) return null;
    const value = this.#view.getUint32(this.#at);
    this.#at += lengthBytes;
    return value;
  }

  #left(): number {
    return this.#frame.byteLength - this.#at;
  }
}

function localRef({ path, thread, incarnation }: Ref): Ref {
  return { path, thread, incarnation };
}

function corrupt(why: string): Outcome<never> {
  return failed(
    failure('PEER_FRAME_CORRUPT', `a frame of another node: ${why}`, { scope: 'Node' }),
  );
}
