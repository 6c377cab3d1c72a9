import { ByteReader } from './byte-reader.ts';

/** An error packet of the server. */
export interface ServerError {
  readonly number: number;
  /** Five characters; empty when not sent. */
  readonly state: string;
  readonly message: string;
}

/** Reads an error packet (status byte 0xff included). */
export function readServerError(packet: Uint8Array): ServerError {
  const reader = new ByteReader(packet, 'error packet');
  reader.skip(1);
  const number = reader.u16();
  let state = '';
  if (reader.remaining >= 6 && packet[reader.at] === 0x23) {
    reader.skip(1);
    state = reader.text(5);
  }
  return { number, state, message: reader.text(reader.remaining) };
}
