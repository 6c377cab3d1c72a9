/**
 * One direction-pair between two threads over a MessagePort (DESIGN §4): envelopes of a tick travel as one batch, row data
 * as moved buffers, in order. Signals do not come this way: they stand in the lane of the commands (`control.ts`), where
 * no envelope is ahead of them, and in front of the messages of their mailbox.
 *
 * Ports are unbounded by nature, so the link counts. In flight are at most about `windowCount` envelopes and `windowBytes`
 * bytes (one batch above, so that a large one passes at all); the receiver acknowledges what it has put into mailboxes.
 * What does not fit waits in the outbox as encoded bytes. A full outbox is a Fault of the cell that sends: its protocol's own
 * credit keeps it far below, and dropping would be silent loss.
 */
import type { MessagePort } from 'node:worker_threads';
import { assert } from '#src/base/assert.ts';
import { Queue } from '#src/base/queue.ts';
import type { Envelope } from '#src/kernel/message.ts';
import { BatchReader } from './codec/batch-reader.ts';
import { BatchWriter } from './codec/batch-writer.ts';

/** Envelopes, and bytes with moved ones, unacknowledged before the rest waits. */
const windowCount = 16_384;
const windowBytes = 32 * 2 ** 20;
/** A batch leaves before its tick is over once it holds so much. */
const batchCountMax = 1_024;
const batchBytesMax = 64 * 1_024;
const outboxCountMax = 262_144;
const outboxBytesMax = 256 * 2 ** 20;
/** The receiver acknowledges at an eighth of the window: the sender then never waits for what is kept back. */
const acknowledgeCount = windowCount / 8;
const acknowledgeBytes = windowBytes / 8;
/** Below this a copy costs less than a transfer. */
const transferBytesMin = 1_024;

interface SealedBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly moved: readonly Uint8Array<ArrayBuffer>[];
  readonly count: number;
  readonly byteCount: number;
}

/** How much was delivered since the last such message. */
interface Acknowledged {
  readonly count: number;
  readonly byteCount: number;
}

/** On the port: a batch alone, a batch and its moved arrays, or an acknowledgement. */
type PortMessage = Uint8Array<ArrayBuffer> | readonly Uint8Array<ArrayBuffer>[] | Acknowledged;

/** See the top of this file. */
export class Link {
  readonly #port: MessagePort;
  readonly #deliver: (envelope: Envelope) => void;
  readonly #writer = new BatchWriter();
  readonly #reader = new BatchReader();
  readonly #outbox = new Queue<SealedBatch>();
  #outboxCount = 0;
  #outboxBytes = 0;
  readonly #inFlight = { count: 0, byteCount: 0 };
  #received = { count: 0, byteCount: 0 };
  #scheduled = false;
  #isClosed = false;

  constructor(port: MessagePort, deliver: (envelope: Envelope) => void) {
    this.#port = port;
    this.#deliver = deliver;
    port.on('message', (message: PortMessage) => this.#arrived(message));
    port.on('close', () => this.#close());
  }

  /**
   * Takes an envelope; it leaves with the others of this tick, and is lost when the link is closed (at most once). A Fault when
   * its message is not plain data, or the outbox is full.
   */
  post(envelope: Envelope): void {
    if (this.#isClosed) return;
    const writer = this.#writer;
    assert(
      this.#outboxCount + writer.envelopeCount < outboxCountMax &&
        this.#outboxBytes + writer.byteCount < outboxBytesMax,
      `outbox of the link to ${envelope.to.thread} above its bound`,
    );
    writer.add(envelope);
    if (writer.envelopeCount >= batchCountMax || writer.byteCount >= batchBytesMax) this.#seal();
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (!this.#isClosed && this.#writer.envelopeCount > 0) this.#seal();
    });
  }

  /** Ends both directions; what waits is dropped. */
  close(): void {
    this.#close();
    this.#port.close();
  }

  /** Ends the batch that is being written: it goes out, or waits behind those that wait. */
  #seal(): void {
    const { envelopeCount: count, byteCount } = this.#writer;
    const batch = { ...this.#writer.take(), count, byteCount };
    if (this.#outbox.length === 0 && this.#hasRoom()) return this.#sendBatch(batch);
    this.#outbox.push(batch);
    this.#outboxCount += count;
    this.#outboxBytes += byteCount;
  }

  #hasRoom(): boolean {
    return this.#inFlight.count < windowCount && this.#inFlight.byteCount < windowBytes;
  }

  #sendBatch({ bytes, moved, count, byteCount }: SealedBatch): void {
    this.#inFlight.count += count;
    this.#inFlight.byteCount += byteCount;
    const buffers: ArrayBuffer[] = moved.map((part) => part.buffer);
    if (bytes.byteLength >= transferBytesMin) buffers.push(bytes.buffer);
    const message: PortMessage = moved.length === 0 ? bytes : [bytes, ...moved];
    this.#port.postMessage(message, buffers);
  }

  #arrived(message: PortMessage): void {
    if (message instanceof Uint8Array) this.#read(message, []);
    else if ('count' in message) this.#acknowledged(message);
    else this.#read(message[0]!, message.slice(1));
  }

  #read(bytes: Uint8Array, moved: readonly Uint8Array<ArrayBuffer>[]): void {
    // A batch that cannot be read is a bug of ours: the thread that finds it ends, and its cells are lost, not their order.
    this.#received.count += this.#reader.read(bytes, moved, this.#deliver);
    for (const part of moved) this.#received.byteCount += part.byteLength;
    this.#received.byteCount += bytes.byteLength;
    const acknowledged = this.#received;
    if (acknowledged.count < acknowledgeCount && acknowledged.byteCount < acknowledgeBytes) return;
    this.#received = { count: 0, byteCount: 0 };
    this.#port.postMessage(acknowledged);
  }

  #acknowledged({ count, byteCount }: Acknowledged): void {
    this.#inFlight.count -= count;
    this.#inFlight.byteCount -= byteCount;
    while (this.#hasRoom()) {
      const batch = this.#outbox.shift();
      if (batch === undefined) return;
      this.#outboxCount -= batch.count;
      this.#outboxBytes -= batch.byteCount;
      this.#sendBatch(batch);
    }
  }

  #close(): void {
    this.#isClosed = true;
    this.#outbox.clear();
    this.#outboxCount = this.#outboxBytes = 0;
  }
}
