/**
 * A changefeed as it is stored (DESIGN §17: `changefeed/<id>/info` and `/status`). Written by the coordinator alone, always
 * on condition that it is coordinator still and that nobody changed the record meanwhile.
 */
import type { Failure } from '../base/failure.ts';
import type { Position } from '../model/position.ts';
import type { ChangefeedConfig, ChangefeedState } from './changefeed.ts';

/** States that are stored; `removed` while its managers are being closed, then the record is deleted. */
export type StoredState = Exclude<ChangefeedState, 'starting'>;

/**
 * How a changefeed in `warning` fared at its last failure: the next coordinator goes on from there. Nodes share no clock, so the
 * time is a length.
 */
export interface Setback {
  /** Failures since the last progress, at least 1. */
  readonly failureCount: number;
  /** Place of the last progress; -1: none yet. */
  readonly progressTs: number;
  /** Milliseconds since the last progress. */
  readonly stuckMs: number;
}

/** Version 1: first. */
export interface ChangefeedRecord {
  readonly version: 1;
  readonly config: ChangefeedConfig;
  readonly state: StoredState;
  /** Why, for `warning` and `failed`. */
  readonly failure: Failure | null;
  /** Null in every state but `warning`. */
  readonly setback: Setback | null;
  /** The maintainerEpoch persisted last; rises with every ownership attempt (spec/02 F2). */
  readonly epoch: number;
  /** Wall time of its creation, for people. */
  readonly createdMs: number;
  /** No maintainer has heard every node yet (spec/08 "never bootstrapped"). */
  readonly isNew: boolean;
  /** Dispatcher managers of it may be on nodes: true from the first maintainer until all were reported as closed. */
  readonly isOpen: boolean;
  /** What the check of its ends found, when it was created or updated. */
  readonly warnings: readonly string[];
}

/** The stored status: a copy of the checkpoint downstream, for the API and for purge guards. Version 1: first. */
export interface ChangefeedStatusRecord {
  readonly version: 1;
  readonly checkpoint: Position;
}

const storedStates: readonly string[] = [
  'normal',
  'warning',
  'failed',
  'stopped',
  'finished',
  'removed',
];

/** A changefeed that is created now; its epochs will be above `epoch`. */
export function newRecord(
  config: ChangefeedConfig,
  createdMs: number,
  { epoch = 0, warnings = [] }: Partial<Pick<ChangefeedRecord, 'epoch' | 'warnings'>> = {},
): ChangefeedRecord {
  return {
    version: 1,
    config,
    state: 'normal',
    failure: null,
    setback: null,
    epoch,
    createdMs,
    isNew: true,
    isOpen: false,
    warnings,
  };
}

/** The stored form. */
export function encodeRecord(record: ChangefeedRecord | ChangefeedStatusRecord): string {
  return JSON.stringify(record);
}

/** Reads a record; null when the text is not one of a version that is known. */
export function readRecord(text: string): ChangefeedRecord | null {
  const value = objectIn(text);
  if (value === null || value['version'] !== 1) return null;
  const { config, state, epoch, createdMs, isNew, isOpen, warnings } = value;
  const isWhole =
    isObject(config) &&
    typeof config['id'] === 'string' &&
    Array.isArray(config['rules']) &&
    isObject(config['startAt']) &&
    typeof state === 'string' &&
    storedStates.includes(state) &&
    Number.isSafeInteger(epoch) &&
    typeof createdMs === 'number' &&
    typeof isNew === 'boolean' &&
    typeof isOpen === 'boolean' &&
    Array.isArray(warnings);
  if (!isWhole) return null;
  const setback = isSetback(value['setback']) ? value['setback'] : null;
  return { ...(value as unknown as ChangefeedRecord), setback };
}

function isSetback(value: unknown): value is Setback {
  if (!isObject(value)) return false;
  return ['failureCount', 'progressTs', 'stuckMs'].every((key) => Number.isFinite(value[key]));
}

/** Reads a stored status; null when the text is not one of a version that is known. */
export function readStatusRecord(text: string): ChangefeedStatusRecord | null {
  const value = objectIn(text);
  if (value === null || value['version'] !== 1) return null;
  const { checkpoint } = value;
  const isWhole =
    isObject(checkpoint) &&
    Number.isSafeInteger(checkpoint['ts']) &&
    typeof checkpoint['gtid'] === 'string';
  return isWhole ? (value as unknown as ChangefeedStatusRecord) : null;
}

function objectIn(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
