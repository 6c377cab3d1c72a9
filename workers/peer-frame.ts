/**
 * What one frame between captures holds: envelopes one after another, each behind its length. Every envelope is encoded by
 * itself, so sizes are known exactly before a frame is closed. No code or class names travel, only plain data.
 */
import { Packr } from 'msgpackr';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';

/** An envelope without its nodes: the stream says who speaks to whom. */
type Wire = readonly [
  to: readonly [path: string, thread: string, incarnation: number],
  from: readonly [path: string, thread: string, incarnation: number],
  epoch: number,
  seq: number,
  message: Message,
];

const packr = new Packr({ useRecords: false, moreTypes: false, mapsAsObjects: true });
const lengthBytes = 4;
/** Envelopes of one frame; more is no frame of ours. */
const countMax = 65_536;

/** The bytes of one envelope, its length first. */
export function encodeEnvelope({ to, from, epoch, seq, message }: Envelope): Uint8Array {
  const wire: Wire = [
    [to.path, to.thread, to.incarnation],
    [from.path, from.thread, from.incarnation],
    epoch,
    seq,
    message,
  ];
  const packed = packr.pack(wire);
  const bytes = new Uint8Array(lengthBytes + packed.byteLength);
  new DataView(bytes.buffer).setUint32(0, packed.byteLength);
  bytes.set(packed, lengthBytes);
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
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const envelopes: Envelope[] = [];
  let at = 0;
  while (at < frame.byteLength) {
    if (frame.byteLength - at < lengthBytes) return corrupt('it ends within a length');
    const byteCount = view.getUint32(at);
    at += lengthBytes;
    if (byteCount > frame.byteLength - at) return corrupt('an envelope is longer than the frame');
    if (envelopes.length === countMax) return corrupt('it holds too many envelopes');
    const envelope = decodeEnvelope(frame.subarray(at, at + byteCount), node);
    if (envelope === null) return corrupt('an envelope cannot be decoded');
    envelopes.push(envelope);
    at += byteCount;
  }
  return ok(envelopes);
}

function decodeEnvelope(bytes: Uint8Array, node: string): Envelope | null {
  let wire: unknown;
  try {
    wire = packr.unpack(bytes);
  } catch {
    return null;
  }
  if (!Array.isArray(wire) || wire.length !== 5) return null;
  const [to, from, epoch, seq, message] = wire as readonly unknown[];
  const target = refOf(to);
  const sender = refOf(from);
  if (target === null || sender === null || !isCount(epoch) || !isCount(seq)) return null;
  if (!isMessage(message)) return null;
  return { to: target, from: { ...sender, node }, epoch, seq, message };
}

function refOf(value: unknown): Ref | null {
  if (!Array.isArray(value) || value.length !== 3) return null;
  const [path, thread, incarnation] = value as readonly unknown[];
  const isRef = typeof path === 'string' && typeof thread === 'string' && isCount(incarnation);
  return isRef ? { path, thread, incarnation } : null;
}

function isMessage(value: unknown): value is Message {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { kind, moved } = value as Partial<Record<keyof Message, unknown>>;
  if (typeof kind !== 'string') return false;
  return (
    moved === undefined ||
    (Array.isArray(moved) && moved.every((part) => part instanceof Uint8Array))
  );
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function corrupt(why: string): Outcome<never> {
  return failed(
    failure('PEER_FRAME_CORRUPT', `a frame of another node: ${why}`, { scope: 'Node' }),
  );
}
