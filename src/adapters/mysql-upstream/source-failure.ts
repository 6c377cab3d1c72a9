import { failure, FailureError, type Failure } from '../../base/failure.ts';
import type { FailureCode } from '../../base/failures.ts';

/** Server error numbers with a meaning of their own. */
const byNumber: Readonly<Record<number, readonly [FailureCode, Failure['retry']]>> = {
  1040: ['SOURCE_UNREACHABLE', 'Again'], // too many connections
  1044: ['SOURCE_ACCESS_DENIED', 'Never'],
  1045: ['SOURCE_ACCESS_DENIED', 'Never'],
  1053: ['SOURCE_DISCONNECTED', 'Reconnect'], // server shutdown in progress
  1129: ['SOURCE_UNREACHABLE', 'Again'], // host is blocked
  1130: ['SOURCE_ACCESS_DENIED', 'Never'],
  1142: ['SOURCE_GRANT_MISSING', 'Never'],
  1152: ['SOURCE_DISCONNECTED', 'Reconnect'], // aborted connection
  1158: ['SOURCE_DISCONNECTED', 'Reconnect'], // network reading and writing, 1158 to 1161
  1159: ['SOURCE_DISCONNECTED', 'Reconnect'],
  1160: ['SOURCE_DISCONNECTED', 'Reconnect'],
  1161: ['SOURCE_DISCONNECTED', 'Reconnect'],
  1203: ['SOURCE_UNREACHABLE', 'Again'], // too many connections of this account
  1226: ['SOURCE_UNREACHABLE', 'Again'],
  1227: ['SOURCE_GRANT_MISSING', 'Never'],
  1251: ['SOURCE_UNSUPPORTED', 'Never'], // authentication plugin
  1317: ['SOURCE_DISCONNECTED', 'Reconnect'],
  1698: ['SOURCE_ACCESS_DENIED', 'Never'],
  1927: ['SOURCE_DISCONNECTED', 'Reconnect'], // killed
  3159: ['SOURCE_ACCESS_DENIED', 'Never'], // TLS demanded
};

/** Error 1236 covers everything that can be wrong with a position; only its text tells which. */
const dumpErrors: readonly (readonly [RegExp, FailureCode, Failure['retry']])[] = [
  [/same server_(uu)?id/i, 'SOURCE_SERVER_ID_TAKEN', 'Again'],
  [/already connected/i, 'SOURCE_SERVER_ID_TAKEN', 'Again'],
  [/could not find gtid state requested/i, 'SOURCE_BINLOG_PURGED', 'Never'],
  [/purged/i, 'SOURCE_BINLOG_PURGED', 'Never'],
  [/could not find first log file/i, 'SOURCE_BINLOG_PURGED', 'Never'],
  [/could not open log file/i, 'SOURCE_BINLOG_PURGED', 'Never'],
  [/which is not in the master's binlog/i, 'SOURCE_DIVERGED', 'Never'],
  [/impossible position|position > file size/i, 'SOURCE_DIVERGED', 'Never'],
  [/has more gtids than the (master|source)/i, 'SOURCE_DIVERGED', 'Never'],
  [/event read from binlog did not pass crc|checksum/i, 'SOURCE_CHECKSUM', 'Reconnect'],
  [/bogus data|corrupt|binlog truncated|log event entry exceeded/i, 'SOURCE_CORRUPT', 'Reconnect'],
  [/not replicate gtid|failed to replace gtid|slave_capability/i, 'SOURCE_UNSUPPORTED', 'Never'],
  [/binary log is not open/i, 'SOURCE_SETTING_WRONG', 'Never'],
];

/** The failure that a server's error number and text stand for. */
export function failureOfServerError(number: number, message: string): Failure {
  const detail = { errno: number };
  if (number === 1236) {
    for (const [pattern, code, retry] of dumpErrors) {
      if (pattern.test(message)) {
        return failure(code, `the upstream ended the stream: ${message}`, { retry, detail });
      }
    }
    return failure('SOURCE_DISCONNECTED', `the upstream ended the stream: ${message}`, {
      retry: 'Reconnect',
      detail,
    });
  }
  const known = Object.hasOwn(byNumber, number) ? byNumber[number] : undefined;
  const [code, retry] = known ?? (['SOURCE_UNSUPPORTED', 'Never'] as const);
  return failure(code, `the upstream answers error ${number}: ${message}`, { retry, detail });
}

const networkCodes = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
  'EACCES',
]);

const tlsPattern =
  /certificate|^ERR_(TLS|SSL|OSSL)|HANDSHAKE|SELF_SIGNED|UNABLE_TO_|secure connection/i;

/** The failure that anything thrown while talking to the upstream stands for; `connected` tells how far we were. */
export function failureOfError(error: unknown, connected: boolean): Failure {
  if (error instanceof FailureError) return error.failure;
  const { code, errno, message } = errorParts(error);
  // The driver and the system give every error a code: one without is a bug of ours.
  if (code === '') return faultFailure(error);
  if (errno !== undefined && errno >= 1000) return failureOfServerError(errno, message);
  if (tlsPattern.test(code) || tlsPattern.test(message)) {
    return failure('SOURCE_UNREACHABLE', 'no TLS connection to the upstream', {
      retry: 'Again',
      cause: message,
    });
  }
  if (!connected || networkCodes.has(code)) {
    return failure('SOURCE_UNREACHABLE', `no connection to the upstream (${code})`, {
      retry: 'Again',
      cause: message,
    });
  }
  return failure('SOURCE_DISCONNECTED', `the upstream connection ended (${code})`, {
    retry: 'Reconnect',
    cause: message,
  });
}

/** What a bug looks like to the port's caller. */
export function faultFailure(error: unknown): Failure {
  const cause = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return failure('INTERNAL_FAULT', 'the upstream adapter broke', { cause });
}

function errorParts(error: unknown): { code: string; errno: number | undefined; message: string } {
  if (typeof error !== 'object' || error === null) {
    return { code: '', errno: undefined, message: String(error) };
  }
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  const errno = 'errno' in error && typeof error.errno === 'number' ? error.errno : undefined;
  const message = 'message' in error ? String(error.message) : 'no message';
  return { code, errno, message };
}
