import { failure } from '#src/base/failure.ts';

import type { Failure, Retry, Scope } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';
import type { ServerError } from './command-answer.ts';

/** Error numbers that the sink decides on by name. */
export const errno = {
  badDatabase: 1049,
  duplicateEntry: 1062,
  noSuchTable: 1146,
  noSuchThread: 1094,
  lockWaitTimeout: 1205,
  deadlock: 1213,
  subqueryRows: 1242,
  checkViolatedMysql: 3819,
  checkViolatedMariadb: 4025,
} as const;

interface Meaning {
  readonly code: FailureCode;
  readonly retry: Retry;
  readonly scope: Scope;
  readonly says: string;
}

const busy = meaning('SINK_BUSY', 'Again', 'Table', 'is busy');
const readOnly = meaning('SINK_READ_ONLY', 'Again', 'Feed', 'is read-only');
const denied = meaning('SINK_ACCESS_DENIED', 'Never', 'Feed', 'refuses the account');
const gone = meaning('SINK_DISCONNECTED', 'Reconnect', 'Feed', 'ended the connection');
const full = meaning('SINK_FULL', 'Again', 'Feed', 'is out of room');
const missing = meaning('SINK_TABLE_MISSING', 'Never', 'Table', 'lacks a table or database');
const mismatch = meaning('SINK_SCHEMA_MISMATCH', 'Never', 'Table', 'has other columns');
const tooLarge = meaning('SINK_ROW_TOO_LARGE', 'Never', 'Table', 'refuses a row of this size');
const duplicate = meaning('SINK_ROW_DUPLICATE', 'Never', 'Table', 'has a row with this key');

const meanings: ReadonlyMap<number, Meaning> = new Map([
  ...group(busy, [1205, 1213, 1412, 1615, 1637, 1040, 1203, 1226, 1969, 3024, 3572, 1317]),
  ...group(readOnly, [1290, 1792, 1836, 3100]),
  ...group(denied, [1044, 1045, 1142, 1143, 1227, 1370, 1095, 1410, 1698]),
  ...group(gone, [1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 4031, 1835]),
  ...group(full, [1021, 1114, 1026, 1041, 1037, 1038]),
  ...group(missing, [1146, 1049]),
  ...group(mismatch, [1054, 1136, 1110]),
  ...group(tooLarge, [1153, 1118, 1162]),
  ...group(duplicate, [1062, 1586, 1022]),
]);

/** Errors whose text names objects only, never row values. */
const safeTexts: ReadonlySet<number> = new Set([
  1007, 1008, 1040, 1044, 1045, 1046, 1049, 1050, 1051, 1053, 1054, 1060, 1061, 1068, 1072, 1091,
  1095, 1142, 1143, 1146, 1176, 1193, 1205, 1213, 1227, 1231, 1273, 1290, 1298, 1304, 1305, 1347,
  1356, 1360, 1419, 1451, 1553, 1665, 1792, 1822, 1824, 1826, 1836, 1927, 3730, 3780, 4092,
]);

/**
 * The Failure that an error of the downstream means. The one place where error numbers become codes; the server's own
 * text is passed on only when it cannot hold row values.
 */
export function serverFailure(error: ServerError, doing: string): Failure {
  const found = meanings.get(error.errno) ?? outOfSpace(error);
  const detail = { errno: error.errno, sqlState: error.sqlState };
  const text = isSafeMessage(error) ? `: ${error.text}` : '';
  if (found === undefined) {
    return failure(
      'SINK_REFUSED',
      `the downstream refused to ${doing} (error ${error.errno}${text})`,
      {
        scope: 'Table',
        detail,
      },
    );
  }
  const message = `the downstream ${found.says}: it could not ${doing} (error ${error.errno}${text})`;
  return failure(found.code, message, { retry: found.retry, scope: found.scope, detail });
}

/** Whether the text of `error` names objects only, so that a person may see it. */
export function isSafeMessage(error: ServerError): boolean {
  return safeTexts.has(error.errno);
}

/** Whether the same statements may succeed later on a new connection without anybody doing anything. */
export function isPassing(failure: Failure): boolean {
  return failure.retry === 'Again' || failure.retry === 'Reconnect';
}

/** A Failure for an error of the network or of the driver while connecting. */
export function connectFailure(error: unknown): Failure {
  const told = error as { errno?: number; code?: string; sqlMessage?: string };
  const { errno: number, code, sqlMessage: text = '' } = told;
  const cause = typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown';
  if (typeof number === 'number' && number > 0) {
    const answered = { errno: number, sqlState: '', text, statementIndex: 0 };
    const found = meanings.get(number);
    if (found !== undefined) return { ...serverFailure(answered, 'connect'), cause };
  }
  return failure('SINK_UNREACHABLE', `the downstream cannot be reached (${cause})`, {
    retry: 'Reconnect',
    cause,
  });
}

/** Error 1030 and its kin carry the storage engine's or the system's own number: 28 is a full disk. */
function outOfSpace(error: ServerError): Meaning | undefined {
  const wrapped = error.errno === 1030 || error.errno === 1026 || error.errno === 3;
  return wrapped && /\b(28|122)\b/.test(error.text) ? full : undefined;
}

function meaning(code: FailureCode, retry: Retry, scope: Scope, says: string): Meaning {
  return { code, retry, scope, says };
}

function group(found: Meaning, numbers: readonly number[]): [number, Meaning][] {
  return numbers.map((number) => [number, found]);
}
