import { ByteReader } from './byte-reader.ts';

/** Where the log goes on. */
export interface Rotate {
  readonly file: string;
  /** Offset of the next event in `file`. */
  readonly offset: number;
}

/** Reads the body of a ROTATE event. */
export function readRotate(body: Uint8Array): Rotate {
  const reader = new ByteReader(body, 'ROTATE event');
  const offset = reader.u64();
  // Some servers leave a zero byte at the end of a made-up rotate.
  const name = reader.text(reader.remaining).replace(/\0+$/, '');
  if (name === '') reader.corrupt('no file name');
  return { file: name, offset };
}

/** The number at the end of a binary log's name (`binlog.000042` → 42); SOURCE_CORRUPT when it has none. */
export function fileNumber(file: string): number {
  const dot = file.lastIndexOf('.');
  const digits = file.slice(dot + 1);
  if (dot < 0 || !/^\d{1,10}$/.test(digits)) {
    new ByteReader(new Uint8Array(0), 'binary log name').corrupt(`"${file}" has no number`);
  }
  return Number(digits);
}
