/** One structured log line; `event` names it, `detail` never holds row values or credentials (STYLE §10). */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Writes structured log lines. */
export type Log = (
  level: LogLevel,
  event: string,
  detail?: Readonly<Record<string, string | number | boolean | null>>,
) => void;
