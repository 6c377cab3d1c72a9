/** Changefeed records in a coordination store: every write is conditioned on what its writer has seen. */
import { FailureError, fail } from '#src/base/failure.ts';
import {
  changefeedInfoKey,
  changefeedPrefix,
  readCoordinationKey,
} from '#src/model/coordination-key.ts';
import type {
  CoordinationAnswer,
  CoordinationPort,
  CoordinationRequest,
} from '#src/ports/coordination.ts';
import { printRecord, readRecord, type ChangefeedRecord } from './changefeed-record.ts';

/** A record with the revision it stands at. */
export interface StoredChangefeed {
  readonly record: ChangefeedRecord;
  readonly revision: number;
}

/** See the top of this file. */
export class ChangefeedStore {
  readonly #port: CoordinationPort;
  readonly #clusterId: string;

  constructor(port: CoordinationPort, clusterId: string) {
    this.#port = port;
    this.#clusterId = clusterId;
  }

  /** All records. */
  async list(): Promise<readonly StoredChangefeed[]> {
    const answer = await this.#call({ kind: 'List', prefix: changefeedPrefix(this.#clusterId) });
    if (answer.kind !== 'Listed') return fail('INTERNAL_FAULT', 'not an answer to List');
    return answer.entries.flatMap(({ key, value, revision }) =>
      value !== null && readCoordinationKey(this.#clusterId, key)?.kind === 'changefeed-info'
        ? [{ record: readRecord(key, value), revision }]
        : [],
    );
  }

  /** Writes a record that stood at `revision` (0: none yet); CHANGEFEED_STATE when it moved. */
  async put(record: ChangefeedRecord, revision: number): Promise<number> {
    const key = changefeedInfoKey(this.#clusterId, record.id);
    return this.#transact({
      kind: 'Transact',
      compares: [{ key, target: 'revision', equals: revision }],
      puts: [{ key, value: printRecord(record) }],
    });
  }

  /** Deletes a record that stands at `revision`. */
  async remove(id: string, revision: number): Promise<void> {
    const key = changefeedInfoKey(this.#clusterId, id);
    await this.#transact({
      kind: 'Transact',
      compares: [{ key, target: 'revision', equals: revision }],
      deletes: [key],
    });
  }

  close(): Promise<void> {
    return this.#port.close();
  }

  async #transact(request: Extract<CoordinationRequest, { kind: 'Transact' }>): Promise<number> {
    const answer = await this.#call(request);
    if (answer.kind !== 'Transacted') return fail('INTERNAL_FAULT', 'not an answer to Transact');
    if (!answer.succeeded)
      fail('CHANGEFEED_STATE', 'somebody else has just changed the changefeed');
    return answer.entries[0]?.revision ?? 0;
  }

  async #call(request: CoordinationRequest): Promise<CoordinationAnswer> {
    const outcome = await this.#port.call(request);
    if (!outcome.ok) throw new FailureError(outcome.failure);
    return outcome.value;
  }
}
