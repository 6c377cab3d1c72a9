/**
 * Envelopes as bytes, for every way a message leaves its thread: the links between threads, the frames between nodes, and
 * the simulator. Pure: the same envelopes give the same bytes, and nothing is remembered that changes what a batch means.
 */
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { BatchReader } from './batch-reader.ts';
import { BatchWriter } from './batch-writer.ts';
import { CorruptBatch } from './value-reader.ts';

/** Encoded envelopes; `moved` are the byte arrays of their messages, in order, each owning its buffer. */
export interface Batch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly moved: readonly Uint8Array<ArrayBuffer>[];
}

const writer = new BatchWriter();
const reader = new BatchReader();

/** One batch of all envelopes. A Fault when a message is not plain data. */
export function encodeBatch(envelopes: readonly Envelope[]): Batch {
  try {
    for (const envelope of envelopes) writer.add(envelope);
  } catch (error) {
    writer.take();
    throw error;
  }
  return writer.take();
}

/** Total: the envelopes of a batch in order, or INTERNAL_BATCH_CORRUPT for anything that is none. */
export function decodeBatch(
  bytes: Uint8Array,
  moved: readonly Uint8Array<ArrayBuffer>[],
): Outcome<readonly Envelope[]> {
  const envelopes: Envelope[] = [];
  try {
    reader.read(bytes, moved, (envelope) => envelopes.push(envelope));
  } catch (error) {
    if (!(error instanceof CorruptBatch)) throw error;
    return failed(
      failure('INTERNAL_BATCH_CORRUPT', `a batch of messages: ${error.message}`, { scope: 'Node' }),
    );
  }
  return ok(envelopes);
}
