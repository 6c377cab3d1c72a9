/**
 * One watch over a prefix, pulled by its reader. It reconnects by itself where it stopped, as long as somebody asks, so that
 * nothing is lost or repeated; when etcd has forgotten what happened since (compaction, a restored backup) it says so.
 */
import type { IDuplexStream, IWatchRequest, IWatchResponse } from 'etcd3';
import { failure, type Failure } from '#src/base/failure.ts';
import { type KeyValue, absentKey, coordinationLimits } from '#src/ports/coordination.ts';
import { type EtcdEndpoints, type EtcdMember, endStream, streamOptions } from './etcd-endpoints.ts';
import { readEtcdError } from './etcd-failure.ts';
import { exactNumber, prefixRange, readKeyValue } from './etcd-wire.ts';

/** What a reader hears. `forgotten`: only the whole list can tell. */
export type Heard =
  | { readonly kind: 'events'; readonly events: readonly KeyValue[]; readonly after: number }
  | { readonly kind: 'forgotten' }
  | { readonly kind: 'failed'; readonly failure: Failure };

type Stream = IDuplexStream<IWatchRequest, IWatchResponse>;

/** Beyond this the stream is closed and opened again when the reader has caught up; etcd remembers for us. */
const bufferCountMax = 4_096;
const bufferLengthMax = 32 << 20;
/** A reader waits at least this long for a watch that is not open yet, milliseconds. */
const connectMs = 1_000;
const retryMsMin = 100;
const retryMsMax = 1_000;

/** See the top of this file. */
export class EtcdWatch {
  readonly prefix: string;
  readonly #endpoints: EtcdEndpoints;
  /** Revision up to which the reader has heard everything. */
  #after: number;
  /** Revision up to which everything is in the buffer or was heard. */
  #seen: number;
  /** Transactions not yet heard, whole ones, in order. */
  #buffer: (readonly KeyValue[])[] = [];
  #bufferCount = 0;
  #bufferLength = 0;
  #stream: Stream | 'opening' | null = null;
  #attempt = 0;
  #isOpen = false;
  #isForgotten = false;
  #failure: Failure | null = null;
  #retryMs = retryMsMin;
  #retryTimer: NodeJS.Timeout | null = null;
  #reader: (() => void) | null = null;
  #isClosed = false;

  constructor(endpoints: EtcdEndpoints, prefix: string, after: number) {
    this.#endpoints = endpoints;
    this.prefix = prefix;
    this.#after = after;
    this.#seen = after;
  }

  /** Revision up to which the reader has heard everything. */
  get after(): number {
    return this.#after;
  }

  /** The next batch; empty when nothing happened for `waitMs`, a failure when nobody could have told. One reader. */
  async take(waitMs: number): Promise<Heard> {
    if (this.#bufferCount === 0 && !this.#isForgotten) {
      this.#connect();
      await this.#somethingOr(this.#isOpen ? waitMs : Math.max(waitMs, connectMs));
    }
    if (this.#bufferCount > 0) return this.#batch();
    if (this.#isForgotten) return { kind: 'forgotten' };
    if (this.#isClosed) return { kind: 'failed', failure: failure('INTERNAL_STOPPED', 'closed') };
    if (!this.#isOpen) return { kind: 'failed', failure: this.#failure ?? silent(this.prefix) };
    return { kind: 'events', events: [], after: this.#after };
  }

  /** Ends the stream; a waiting reader is answered. */
  close(): void {
    this.#isClosed = true;
    this.#drop();
    this.#reader?.();
  }

  #batch(): Heard {
    const events: KeyValue[] = [];
    while (events.length < coordinationLimits.eventCount) {
      const transaction = this.#buffer.shift();
      if (transaction === undefined) break;
      events.push(...transaction);
      this.#bufferLength -= lengthOf(transaction);
    }
    this.#bufferCount -= events.length;
    this.#after = events.at(-1)?.revision ?? this.#after;
    return { kind: 'events', events, after: this.#after };
  }

  async #somethingOr(waitMs: number): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      this.#reader = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#reader = null;
  }

  #connect(): void {
    if (this.#stream !== null || this.#retryTimer !== null || this.#isClosed) return;
    const member = this.#endpoints.current;
    // Holds the place while the stream is on its way.
    const opening = 'opening';
    const attempt = ++this.#attempt;
    this.#stream = opening;
    member.client.watchClient.watch(streamOptions).then(
      (stream) => {
        // Dropped, or dropped and begun anew, while it was on its way.
        if (this.#stream !== opening || attempt !== this.#attempt) return endStream(stream);
        this.#stream = stream;
        this.#listen(stream, member);
      },
      (error: unknown) => {
        if (this.#stream === opening && attempt === this.#attempt) this.#failed(error, member);
      },
    );
  }

  #listen(stream: Stream, member: EtcdMember): void {
    const ifCurrent = (run: () => void): void => {
      if (this.#stream === stream) run();
    };
    stream
      .on('data', (response) => ifCurrent(() => this.#heard(response, member)))
      .on('error', (error) => ifCurrent(() => this.#failed(error, member)))
      .on('end', () => ifCurrent(() => this.#failed(new Error('14 UNAVAILABLE: ended'), member)));
    stream.write({
      create_request: {
        ...prefixRange(this.prefix),
        start_revision: this.#seen + 1,
      },
    });
  }

  #heard(response: IWatchResponse, member: EtcdMember): void {
    try {
      this.#read(response, member);
    } catch (error) {
      this.#failed(error, member);
    }
  }

  #read(response: IWatchResponse, member: EtcdMember): void {
    const revision = exactNumber(response.header.revision);
    if (response.compact_revision !== '0' || (response.created && revision < this.#seen))
      return this.#forget();
    if (response.canceled) return this.#refused(response, member);
    this.#retryMs = retryMsMin;
    this.#isOpen = true;
    if (response.created) return;
    this.#keep(
      response.events.map(({ type, kv }) => {
        const entry = readKeyValue(kv);
        return type === 'Delete' ? absentKey(entry.key, entry.revision) : entry;
      }),
    );
    if (this.#bufferCount > 0) this.#reader?.();
    if (this.#bufferCount > bufferCountMax || this.#bufferLength > bufferLengthMax) this.#drop();
  }

  /** Appends events by transaction, without those heard before a reconnection. */
  #keep(events: readonly KeyValue[]): void {
    const fresh = events.filter((event) => event.revision > this.#seen);
    for (const transaction of Map.groupBy(fresh, (event) => event.revision).values()) {
      this.#buffer.push(transaction);
      this.#bufferCount += transaction.length;
      this.#bufferLength += lengthOf(transaction);
    }
    // Not the header's revision: while a watch catches up that is ahead of what was sent.
    this.#seen = fresh.at(-1)?.revision ?? this.#seen;
  }

  #forget(): void {
    this.#drop();
    this.#isForgotten = true;
    this.#reader?.();
  }

  /** A watch that etcd cancels: an account whose token grew old, or one that may not read here. A read tells which. */
  #refused(response: IWatchResponse, member: EtcdMember): void {
    this.#drop();
    const range = { ...prefixRange(this.prefix), limit: 1, keys_only: true };
    this.#endpoints
      .run('read', retryMsMax, ({ client }, options) => client.kv.range(range, options))
      .then(
        () => this.#failed(new Error(`14 UNAVAILABLE: ${response.cancel_reason}`), member),
        (error: unknown) => this.#failed(error, member),
      );
  }

  #failed(error: unknown, member: EtcdMember): void {
    this.#drop();
    const trouble = readEtcdError(error, member.host);
    this.#failure = trouble.failure;
    this.#endpoints.turnFrom(member);
    if (trouble.failure.code === 'COORDINATION_ACCESS_DENIED') this.#reader?.();
    // Nobody waits: the next reader connects.
    if (this.#reader === null || this.#isClosed) return;
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = null;
      if (this.#reader !== null) this.#connect();
    }, this.#retryMs);
    this.#retryMs = Math.min(retryMsMax, this.#retryMs * 2);
  }

  #drop(): void {
    const stream = this.#stream;
    this.#stream = null;
    this.#isOpen = false;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    if (stream !== null && stream !== 'opening') endStream(stream);
  }
}

function lengthOf(transaction: readonly KeyValue[]): number {
  return transaction.reduce((sum, { key, value }) => sum + key.length + (value?.length ?? 0), 0);
}

function silent(prefix: string): Failure {
  return failure('COORDINATION_UNREACHABLE', `no member of etcd watches ${prefix}`, {
    retry: 'Again',
    scope: 'Node',
  });
}
