import { fail } from '../../../base/failure.ts';

/** Bytes of the header of every event (binlog version 4). */
export const eventHeaderBytes = 19;

/** Little-endian u32 without a view object: this runs for every event of the log. */
function u32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16)) + bytes[at + 3]! * 0x1000000;
}

/**
 * One event of the log: its header fields and its body without header and checksum. Reused for event after event; the
 * bytes are a view into the packet and stay valid as long as they are referenced.
 */
export class LogEvent {
  /** Server time of the statement, seconds since 1970. */
  timestamp = 0;
  type = 0;
  serverId = 0;
  /** Bytes of the event with header and checksum. */
  size = 0;
  /** Offset of the event's end in its file, modulo 2^32; 0 when made up by the server or inside a payload. */
  endOffset = 0;
  flags = 0;
  bytes: Uint8Array = new Uint8Array(0);
  bodyStart = 0;
  bodyEnd = 0;

  /**
   * Reads the header at `at`; the event must lie within `end`. The last `checksumBytes` are not part of the body.
   * Gives the offset behind the event; SOURCE_CORRUPT when sizes do not fit.
   */
  read(bytes: Uint8Array, at: number, end: number, checksumBytes: number): number {
    if (end - at < eventHeaderBytes) {
      fail('SOURCE_CORRUPT', `event of ${end - at} bytes is shorter than its header`, {
        retry: 'Reconnect',
      });
    }
    this.timestamp = u32(bytes, at);
    this.type = bytes[at + 4]!;
    this.serverId = u32(bytes, at + 5);
    this.size = u32(bytes, at + 9);
    this.endOffset = u32(bytes, at + 13);
    this.flags = bytes[at + 17]! | (bytes[at + 18]! << 8);
    if (this.size < eventHeaderBytes + checksumBytes || this.size > end - at) {
      fail(
        'SOURCE_CORRUPT',
        `event of type ${this.type} says ${this.size} bytes where ${end - at} are there`,
        { retry: 'Reconnect' },
      );
    }
    this.bytes = bytes;
    this.bodyStart = at + eventHeaderBytes;
    this.bodyEnd = at + this.size - checksumBytes;
    return at + this.size;
  }

  /** A view of the body. */
  body(): Uint8Array {
    return this.bytes.subarray(this.bodyStart, this.bodyEnd);
  }
}
