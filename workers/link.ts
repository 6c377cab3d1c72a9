/**
 * One direction-pair between two threads over a MessagePort: all envelopes of a tick travel as one msgpackr-encoded
 * batch, row data as moved buffers (DESIGN §4). In flight is counted: beyond `windowCount` unacknowledged envelopes
 * the rest waits in the outbox, whose bound is a Fault, because the protocols' own credit keeps it far below.
 */
import type { MessagePort } from 'node:worker_threads';
import { Packr } from 'msgpackr';
import { assert } from '#src/base/assert.ts';
import { Queue } from '#src/base/queue.ts';
import type { Envelope, Message } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';

const windowCount = 8_192;
const outboxCountMax = 262_144;
const acknowledgeEvery = 512;

type Wire = readonly [
  to: Ref,
  from: Ref,
  epoch: number,
  seq: number,
  message: Message,
  movedCount: number,
];

interface Batch {
  readonly encoded: Uint8Array<ArrayBuffer>;
  readonly moved: readonly Uint8Array<ArrayBuffer>[];
}

type PortMessage = { readonly batch: Batch } | { readonly acknowledged: number };

/** See the top of this file. */
export class Link {
  readonly #port: MessagePort;
  readonly #deliver: (envelope: Envelope) => void;
  readonly #packr = new Packr({ useRecords: true, moreTypes: false });
  readonly #outbox = new Queue<Envelope>();
  #inFlight = 0;
  #received = 0;
  #scheduled = false;

  constructor(port: MessagePort, deliver: (envelope: Envelope) => void) {
    this.#port = port;
    this.#deliver = deliver;
    port.on('message', (message: PortMessage) => this.#arrived(message));
  }

  /** Queues an envelope; it leaves with the others of this tick. */
  post(envelope: Envelope): void {
    this.#outbox.push(envelope);
    assert(this.#outbox.length <= outboxCountMax, 'outbox of a thread link above its bound');
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.#flush());
  }

  /** Lets the process end while the link stands. */
  unref(): void {
    this.#port.unref();
  }

  close(): void {
    this.#port.close();
  }

  #flush(): void {
    this.#scheduled = false;
    const wires: Wire[] = [];
    const moved: Uint8Array<ArrayBuffer>[] = [];
    while (this.#inFlight < windowCount) {
      const envelope = this.#outbox.shift();
      if (envelope === undefined) break;
      this.#inFlight++;
      const { to, from, epoch, seq, message } = envelope;
      if (message.moved === undefined) {
        wires.push([to, from, epoch, seq, message, -1]);
      } else {
        const { moved: bytes, ...rest } = message;
        wires.push([to, from, epoch, seq, rest, bytes.length]);
        for (const part of bytes) moved.push(whole(part));
      }
    }
    if (wires.length === 0) return;
    // The encoder's buffer is a pool: copy out exactly what was written.
    const encoded = new Uint8Array(this.#packr.pack(wires));
    const message: PortMessage = { batch: { encoded, moved } };
    this.#port.postMessage(
      message,
      moved.map((part) => part.buffer),
    );
  }

  #arrived(message: PortMessage): void {
    if ('acknowledged' in message) {
      this.#inFlight -= message.acknowledged;
      if (this.#outbox.length > 0) this.#flush();
      return;
    }
    const { encoded, moved } = message.batch;
    const wires = this.#packr.unpack(encoded) as readonly Wire[];
    let at = 0;
    for (const [to, from, epoch, seq, rest, movedCount] of wires) {
      const bytes = movedCount < 0 ? undefined : moved.slice(at, at + movedCount);
      if (bytes !== undefined) at += movedCount;
      this.#deliver({
        to,
        from,
        epoch,
        seq,
        message: bytes === undefined ? rest : { ...rest, moved: bytes },
      });
    }
    this.#received += wires.length;
    if (this.#received < acknowledgeEvery) return;
    const acknowledged: PortMessage = { acknowledged: this.#received };
    this.#received = 0;
    this.#port.postMessage(acknowledged);
  }
}

/** Bytes that own their buffer, so that moving them takes nothing else along. */
function whole(part: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return part.byteLength === part.buffer.byteLength ? part : part.slice();
}
