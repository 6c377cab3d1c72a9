import { artificialFlag } from '../binlog/stream/event-type.ts';
import type { LogEvent } from '../binlog/stream/log-event.ts';

/**
 * File and offset of the end of the last event read. Event headers hold 32 bits of an offset; within a file it only
 * rises, so the whole one is known.
 */
export class LogPlace {
  file = '';
  offset = 0;

  /**
   * Takes in the place that an event says it ends at; gives the offset at which it began. `insideOf` is the end of the
   * compressed transaction it came from, 0 when from none. Heartbeats and made-up events move nothing.
   */
  advance(event: LogEvent, insideOf: number, isHeartbeat: boolean): number {
    const isReal = event.endOffset !== 0 && (event.flags & artificialFlag) === 0;
    if (isReal) {
      if (isHeartbeat) return this.offset;
      this.offset = widen(event.endOffset, this.offset);
      return this.offset - event.size;
    }
    const before = this.offset;
    if (insideOf !== 0) this.offset = widen(insideOf, this.offset);
    return before;
  }

  /** The log goes on at `offset` of `file`; false when that is behind us. */
  rotate(file: string, offset: number): boolean {
    if (file === this.file && offset < this.offset) return false;
    this.file = file;
    this.offset = offset;
    return true;
  }

  /** The server says where it stands; `isWide`: the offset is whole, not 32 bits of it. */
  stand(file: string, offset: number, isWide: boolean): void {
    if (file !== '' && file !== this.file) {
      this.file = file;
      this.offset = 0;
    }
    this.offset = isWide ? Math.max(this.offset, offset) : widen(offset, this.offset);
  }
}

const offsetRange = 2 ** 32;

/** A 32-bit offset as the whole one near `previous` that is not before it. */
function widen(low: number, previous: number): number {
  const whole = previous - (previous % offsetRange) + low;
  if (whole >= previous) return whole;
  // Far behind: the 32 bits ran over. A little behind: an event sent out of place, which moves nothing.
  return previous - whole > offsetRange / 2 ? whole + offsetRange : previous;
}
