/** Requests and answers of the port in etcd's form and back. */
import type { ICompare, IKeyValue, IRequestOp, ITxnRequest } from 'etcd3';
import { fail } from '#src/base/failure.ts';
import {
  comparedKeys,
  type Compare,
  type KeyValue,
  type Transact,
} from '#src/ports/coordination.ts';

/** A key range: all keys that begin with `prefix`. */
export function prefixRange(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
  const key = Buffer.from(prefix, 'latin1');
  const end = Buffer.from(key);
  // Keys are ASCII: the last byte is below 0x7f and has a successor.
  end[end.length - 1]! += 1;
  return { key, range_end: end };
}

/** A key in etcd's form. */
export function keyBytes(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}

/** A number of etcd's, which are 64-bit; COORDINATION_FAILED beyond what a JavaScript number holds. */
export function exactNumber(text: string | number): number {
  const value = Number(text);
  return Number.isSafeInteger(value)
    ? value
    : fail('COORDINATION_FAILED', `a revision of etcd is not below 2^53: ${text}`, {
        scope: 'Node',
      });
}

/** An entry as etcd sends it. */
export function readKeyValue(kv: IKeyValue): KeyValue {
  return {
    key: kv.key.toString('latin1'),
    value: kv.value.toString('utf8'),
    revision: exactNumber(kv.mod_revision),
    createRevision: exactNumber(kv.create_revision),
    lease: kv.lease === '0' ? '' : kv.lease,
  };
}

/** A transaction that ends with reading the compared keys, either way. */
export function transactionRequest(request: Transact): ITxnRequest {
  const reads: IRequestOp[] = comparedKeys(request).map((key) => ({
    request_range: { key: keyBytes(key) },
  }));
  const puts: IRequestOp[] = (request.puts ?? []).map(({ key, value, lease }) => ({
    request_put: {
      key: keyBytes(key),
      value: Buffer.from(value, 'utf8'),
      ...(lease === undefined ? {} : { lease }),
    },
  }));
  const deletes: IRequestOp[] = (request.deletes ?? []).map((key) => ({
    request_delete_range: { key: keyBytes(key) },
  }));
  return {
    compare: request.compares.map((one) => comparison(one)),
    success: [...puts, ...deletes, ...reads],
    failure: reads,
  };
}

function comparison(compare: Compare): ICompare {
  const key = keyBytes(compare.key);
  switch (compare.target) {
    case 'revision':
      return { key, result: 'Equal', target: 'Mod', mod_revision: compare.equals };
    case 'createRevision':
      return { key, result: 'Equal', target: 'Create', create_revision: compare.equals };
    case 'value':
      return { key, result: 'Equal', target: 'Value', value: Buffer.from(compare.equals, 'utf8') };
    case 'lease':
      return {
        key,
        result: 'Equal',
        target: 'Lease',
        lease: compare.equals === '' ? 0 : compare.equals,
      };
  }
}
