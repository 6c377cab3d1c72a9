import { ByteReader } from './byte-reader.ts';
import type { LogEvent } from './log-event.ts';
import { eventType } from './event-type.ts';

/** Where the server's reader stands while it has nothing to send. */
export interface Heartbeat {
  readonly file: string;
  readonly offset: number;
}

const fieldV2 = { end: 0, file: 1, offset: 2 } as const;

/** Reads a heartbeat of either version: the first has its offset in the event header (32 bits), the second in its body. */
export function readHeartbeat(event: LogEvent): Heartbeat {
  const reader = new ByteReader(event.body(), 'HEARTBEAT event');
  if (event.type === eventType.heartbeat) {
    // MariaDB puts an offset of more than 32 bits behind the name.
    const zero = event.body().indexOf(0);
    const file = reader.text(zero < 0 ? reader.remaining : zero);
    return { file, offset: event.endOffset };
  }
  let file = '';
  let offset = 0;
  while (reader.remaining > 0) {
    const kind = reader.packed();
    if (kind === fieldV2.end) break;
    const length = reader.packed();
    if (kind === fieldV2.file) file = reader.text(length);
    else if (kind === fieldV2.offset) {
      offset = new ByteReader(reader.raw(length), 'HEARTBEAT offset').packed();
    } else reader.skip(length);
  }
  return { file, offset };
}
