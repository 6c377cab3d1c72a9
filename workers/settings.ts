import type { EpochMode } from '#src/kernel/door.ts';

/** What a thread needs to open its ports: plain data that crosses to a worker once, at its start. Holds credentials. */
export interface CaptureSettings {
  /** What epoch 0 means; default `strict`. `compat` only for rolling upgrades from a version without epochs. */
  readonly epochMode?: EpochMode;
  readonly clusterId: string;
  readonly upstreamUri: string;
  readonly sinkUri: string;
  /** Event store, embedded coordination; null: a temporary directory, epochs in memory. */
  readonly dataDirectory: string;
  readonly isTemporary: boolean;
  /** Names this run in the downstream's lock names and logs. */
  readonly captureId: string;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly storeBytesMax: number;
  /** Lanes per span of a MySQL-family sink. */
  readonly laneCount: number;
}
