/** Log lines as JSON on standard error (DESIGN §17), one writer per thread. */
import { pino, destination } from 'pino';
import type { Log } from '#src/ports/log.ts';
import type { CaptureSettings } from './settings.ts';

/** A log of one thread; writes synchronously, so that nothing is lost when the process is killed. */
export function openLog(
  thread: string,
  settings: Pick<CaptureSettings, 'captureId' | 'logLevel'>,
): Log {
  const logger = pino(
    {
      level: settings.logLevel,
      base: { capture: settings.captureId, thread },
      timestamp: pinoTime,
    },
    destination({ fd: 2, sync: true }),
  );
  return (level, event, detail) => logger[level]({ event, ...detail });
}

function pinoTime(): string {
  return `,"time":"${new Date().toISOString()}"`;
}
