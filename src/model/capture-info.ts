/** What a node says about itself in the coordination store. Version 1. */
export interface CaptureInfo {
  /** `host:port` of its API and of its peer links. */
  readonly apiAddress: string;
  readonly peerAddress: string;
  /** Of the program. */
  readonly version: string;
  /** Length of its session, milliseconds; null: it ends with the process. */
  readonly ttlMs: number | null;
  /** It has stopped writing and goes: others take over at once. */
  readonly isWriteStopped: boolean;
}

/** The stored form. */
export function printCaptureInfo(info: CaptureInfo): string {
  return JSON.stringify({ form: 1, ...info });
}

/** Reads the stored form; null when it is none, or one of a later form. */
export function readCaptureInfo(text: string): CaptureInfo | null {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof data !== 'object' || data === null) return null;
  const found = data as Readonly<Record<string, unknown>>;
  const { form, apiAddress, peerAddress, version, ttlMs, isWriteStopped } = found;
  const isOurs =
    form === 1 &&
    typeof apiAddress === 'string' &&
    typeof peerAddress === 'string' &&
    typeof version === 'string' &&
    (ttlMs === null || (typeof ttlMs === 'number' && ttlMs > 0)) &&
    typeof isWriteStopped === 'boolean';
  return isOurs ? { apiAddress, peerAddress, version, ttlMs, isWriteStopped } : null;
}
