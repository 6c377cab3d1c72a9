/** A coordination port as tests like to talk to it: one method a request, failures thrown with their code. */
import assert from 'node:assert/strict';
import type { Failure } from '#src/base/failure.ts';
import type {
  CoordinationAnswer,
  CoordinationPort,
  CoordinationRequest,
  KeyValue,
  SessionProof,
  Transact,
} from '#src/ports/coordination.ts';

type Answer<K extends CoordinationAnswer['kind']> = Extract<CoordinationAnswer, { kind: K }>;

/** What a watcher heard at once. */
export type Heard = Answer<'Events'> | Answer<'Reset'>;

/** See the top of this file. */
export class CoordinationClient {
  readonly port: CoordinationPort;

  constructor(port: CoordinationPort) {
    this.port = port;
  }

  async get(key: string): Promise<KeyValue> {
    return (await this.#expect({ kind: 'Get', key }, 'Got')).entry;
  }

  list(prefix: string): Promise<Answer<'Listed'>> {
    return this.#expect({ kind: 'List', prefix }, 'Listed');
  }

  transact(request: Omit<Transact, 'kind'>): Promise<Answer<'Transacted'>> {
    return this.#expect({ kind: 'Transact', ...request }, 'Transacted');
  }

  /** Puts over the revision that is there now; true when nobody came between. */
  async put(key: string, value: string, lease?: string): Promise<KeyValue> {
    const { value: found, revision } = await this.get(key);
    const put = lease === undefined ? { key, value } : { key, value, lease };
    const compares = [{ key, target: 'revision', equals: found === null ? 0 : revision }] as const;
    const done = await this.transact({ compares, puts: [put] });
    assert.ok(done.succeeded, `put ${key}`);
    return done.entries[0]!;
  }

  async delete(key: string): Promise<number> {
    const { revision } = await this.get(key);
    const compares = [{ key, target: 'revision', equals: revision }] as const;
    const done = await this.transact({ compares, deletes: [key] });
    assert.ok(done.succeeded, `delete ${key}`);
    return done.revision;
  }

  async next(prefix: string, after: number | null, waitMs = 5_000): Promise<Heard> {
    const answer = await this.ask({ kind: 'NextEvents', prefix, after, waitMs });
    assert.ok(answer.kind === 'Events' || answer.kind === 'Reset', answer.kind);
    return answer;
  }

  open(ttlMs = 10_000): Promise<SessionProof> {
    return this.#expect({ kind: 'OpenSession', ttlMs }, 'SessionOpened');
  }

  keepAlive(lease: string): Promise<SessionProof> {
    return this.#expect({ kind: 'KeepAlive', lease }, 'KeptAlive');
  }

  async close(lease: string): Promise<void> {
    await this.#expect({ kind: 'CloseSession', lease }, 'SessionClosed');
  }

  /** The failure of a request that must not succeed. */
  async refused(request: CoordinationRequest): Promise<Failure> {
    const outcome = await this.port.call(request);
    assert.ok(!outcome.ok, `${request.kind} succeeded`);
    return outcome.failure;
  }

  async ask(request: CoordinationRequest): Promise<CoordinationAnswer> {
    const outcome = await this.port.call(request);
    if (!outcome.ok) {
      const { code, message, cause } = outcome.failure;
      throw new Error(`${request.kind}: ${code} ${message} ${cause ?? ''}`);
    }
    return outcome.value;
  }

  async #expect<K extends CoordinationAnswer['kind']>(
    request: CoordinationRequest,
    kind: K,
  ): Promise<Answer<K>> {
    const answer = await this.ask(request);
    assert.equal(answer.kind, kind);
    return answer as Answer<K>;
  }
}

/** `value` of each change, in order, with the last part of its key. */
export function told(events: readonly KeyValue[]): readonly string[] {
  return events.map(({ key, value }) => `${key.slice(key.lastIndexOf('/') + 1)}=${value ?? '∅'}`);
}
