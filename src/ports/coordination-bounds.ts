import { type Failure, failure } from '../base/failure.ts';
import { type CoordinationRequest, type Transact, coordinationLimits } from './coordination.ts';

const encoder = new TextEncoder();

/**
 * Why a coordination store must refuse a request before it looks at it, or null: the same answer from every
 * implementation. Keys are printable ASCII, so that their order and their length are the same everywhere.
 */
export function coordinationRefusal(request: CoordinationRequest): Failure | null {
  switch (request.kind) {
    case 'Get':
      return refuseKey(request.key);
    case 'List':
    case 'NextEvents':
      return refuseKey(request.prefix);
    case 'Transact':
      return refuseTransaction(request);
    case 'OpenSession':
      return request.ttlMs >= 1_000 && request.ttlMs <= 3_600_000
        ? null
        : failure('COORDINATION_FAILED', `a session of ${request.ttlMs} ms: 1 s to 1 h`);
    case 'KeepAlive':
    case 'CloseSession':
      return null;
  }
}

function refuseTransaction(request: Transact): Failure | null {
  const { compares, puts = [], deletes = [] } = request;
  const written = [...puts.map((put) => put.key), ...deletes];
  if (compares.length > coordinationLimits.compareCount)
    return tooLarge(`${compares.length} comparisons`);
  if (written.length > coordinationLimits.writeCount) return tooLarge(`${written.length} writes`);
  for (const key of [...compares.map((one) => one.key), ...written]) {
    const refused = refuseKey(key);
    if (refused !== null) return refused;
  }
  if (new Set(written).size < written.length)
    return failure('COORDINATION_FAILED', 'a transaction writes one key twice');
  for (const { key, value } of puts) {
    // A unit of UTF-16 is one to three bytes: most values need no counting.
    if (value.length * 3 <= coordinationLimits.valueBytes) continue;
    const byteCount = encoder.encode(value).byteLength;
    if (byteCount > coordinationLimits.valueBytes) return tooLarge(`${byteCount} bytes at ${key}`);
  }
  return null;
}

function refuseKey(key: string): Failure | null {
  if (key.length > coordinationLimits.keyBytes) return tooLarge(`a key of ${key.length} bytes`);
  return /^[\x21-\x7e]+$/.test(key)
    ? null
    : failure('COORDINATION_FAILED', 'a key must be printable ASCII without spaces, not empty');
}

function tooLarge(what: string): Failure {
  return failure('COORDINATION_TOO_LARGE', `more than coordination takes in one call: ${what}`);
}
