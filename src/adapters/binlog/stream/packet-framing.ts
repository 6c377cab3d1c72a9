/**
 * Cuts a byte stream into the packets of the client protocol and joins packets of 16 MB − 1 with their continuation.
 * A packet that lies in one chunk is a view, nothing is copied; any other is gathered in a buffer of its own. Holds what
 * was pushed and not yet read, plus one packet of at most `packetBytesMax`.
 */
import { fail } from '../../../base/failure.ts';

const headerBytes = 4;
/** Payload size that says: the next packet continues this one. */
export const packetPieceBytes = 0xffffff;
/** The event size field inside a dump packet: one status byte, then byte 9 of the event header. */
const eventSizeAt = 10;
const eventSizeEnd = eventSizeAt + 4;

/** Splits pushed bytes into packets; one instance per connection, from the first reply to a command on. */
export class PacketFraming {
  readonly #packetBytesMax: number;
  #chunks: Uint8Array[] = [];
  #first = 0;
  #at = 0;
  #buffered = 0;
  #gathered: Uint8Array | undefined;
  #gatheredLength = 0;
  /** Bytes of the current piece still to gather. */
  #missing = 0;
  #lastPiece = true;
  #sequence = -1;
  #expectsEvents = false;

  /** `packetBytesMax` bounds one joined packet; above it the stream is SOURCE_CORRUPT. */
  constructor(packetBytesMax: number) {
    this.#packetBytesMax = packetBytesMax;
  }

  /** Bytes pushed and not yet given out or gathered. */
  get bufferedBytes(): number {
    return this.#buffered;
  }

  /** Bytes held for a packet that is not whole yet. */
  get gatheredBytes(): number {
    return this.#gathered?.byteLength ?? 0;
  }

  /** The next packet begins a new reply: its number may be any. */
  expectReply(): void {
    this.#sequence = -1;
  }

  /** From now on packets hold events, whose own size must agree with the packet's: a wrong size is noticed at once. */
  expectEvents(): void {
    this.#expectsEvents = true;
  }

  /** Takes over a chunk; the caller must not write to it again. */
  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.byteLength;
  }

  /** The payload of the next whole packet, or undefined until more is pushed. */
  next(): Uint8Array | undefined {
    for (;;) {
      if (this.#gathered === undefined || this.#missing === 0) {
        if (this.#buffered < headerBytes) return undefined;
        const view = this.#beginPiece();
        if (view !== undefined) return view;
      }
      this.#gather();
      if (this.#expectsEvents) this.#checkEventSize();
      if (this.#missing > 0) return undefined;
      if (this.#lastPiece) return this.#takeGathered();
    }
  }

  /** Reads a packet header; gives the packet when it lies whole in the current chunk, else prepares to gather it. */
  #beginPiece(): Uint8Array | undefined {
    const length = this.#byte(0) | (this.#byte(1) << 8) | (this.#byte(2) << 16);
    this.#checkSequence(this.#byte(3));
    this.#drop(headerBytes);
    this.#lastPiece = length < packetPieceBytes;
    if (this.#gathered === undefined && this.#lastPiece) {
      const chunk = this.#chunks[this.#first];
      if (chunk !== undefined && this.#at + length <= chunk.byteLength) {
        const view = chunk.subarray(this.#at, this.#at + length);
        this.#drop(length);
        return view;
      }
      if (length === 0) return new Uint8Array(0);
    }
    this.#reserve(length);
    this.#missing = length;
    return undefined;
  }

  #reserve(length: number): void {
    const needed = this.#gatheredLength + length;
    if (needed > this.#packetBytesMax) {
      fail('SOURCE_CORRUPT', `packet of ${needed} bytes above the bound ${this.#packetBytesMax}`, {
        retry: 'Reconnect',
      });
    }
    const gathered = this.#gathered;
    if (gathered === undefined) {
      this.#gathered = new Uint8Array(length);
      return;
    }
    if (needed <= gathered.byteLength) return;
    // An event says its size in its first piece: one allocation instead of growing piece by piece.
    const declared = 1 + new DataView(gathered.buffer).getUint32(eventSizeAt, true);
    const fits = declared >= needed && declared <= this.#packetBytesMax;
    const grown = new Uint8Array(
      fits ? declared : Math.min(this.#packetBytesMax, Math.max(needed, gathered.byteLength * 2)),
    );
    grown.set(gathered.subarray(0, this.#gatheredLength));
    this.#gathered = grown;
  }

  #gather(): void {
    const target = this.#gathered!;
    while (this.#missing > 0) {
      const chunk = this.#chunks[this.#first];
      if (chunk === undefined) return;
      const count = Math.min(this.#missing, chunk.byteLength - this.#at);
      target.set(chunk.subarray(this.#at, this.#at + count), this.#gatheredLength);
      this.#gatheredLength += count;
      this.#missing -= count;
      this.#drop(count);
    }
  }

  /** Without this check a damaged length would wait for bytes that never come. */
  #checkEventSize(): void {
    const gathered = this.#gathered;
    if (gathered === undefined || this.#gatheredLength < eventSizeEnd || gathered[0] !== 0) return;
    const length = this.#gatheredLength + this.#missing;
    const declared = 1 + new DataView(gathered.buffer).getUint32(eventSizeAt, true);
    if (this.#lastPiece ? declared === length : declared >= length) return;
    fail('SOURCE_CORRUPT', `packet of ${length} bytes for an event of ${declared - 1}`, {
      retry: 'Reconnect',
    });
  }

  #takeGathered(): Uint8Array {
    const packet = this.#gathered!.subarray(0, this.#gatheredLength);
    this.#gathered = undefined;
    this.#gatheredLength = 0;
    return packet;
  }

  #checkSequence(sequence: number): void {
    if (this.#sequence >= 0 && sequence !== ((this.#sequence + 1) & 0xff)) {
      fail('SOURCE_CORRUPT', `packet number ${sequence} after ${this.#sequence}`, {
        retry: 'Reconnect',
      });
    }
    this.#sequence = sequence;
  }

  /** The byte `ahead` bytes after the cursor; the caller knows that it is there. */
  #byte(ahead: number): number {
    let index = this.#first;
    let at = this.#at + ahead;
    for (;;) {
      const chunk = this.#chunks[index]!;
      if (at < chunk.byteLength) return chunk[at]!;
      at -= chunk.byteLength;
      index++;
    }
  }

  #drop(count: number): void {
    this.#buffered -= count;
    this.#at += count;
    for (;;) {
      const chunk = this.#chunks[this.#first];
      if (chunk === undefined || this.#at < chunk.byteLength) break;
      this.#at -= chunk.byteLength;
      this.#first++;
    }
    // Amortised: the list is shortened when half of it is behind the cursor.
    if (this.#first > 16 && this.#first * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#first);
      this.#first = 0;
    } else if (this.#first === this.#chunks.length) {
      this.#chunks = [];
      this.#first = 0;
    }
  }
}
