/**
 * The sink that writes nothing (`blackhole://`): it reads every row of the blocks and counts it, to measure what is before
 * it. Slots and checkpoints live in the memory of the thread, shared by its instances: a new process starts anew.
 */
import { RowEvent } from '#src/adapters/binlog/row-event.ts';
import { type TableMap, readTableMap } from '#src/adapters/binlog/table-map.ts';
import { must, unreachable } from '#src/base/assert.ts';
import {
  FailureError,
  type Outcome,
  fail,
  failed,
  failure,
  ok,
  messageOf,
} from '#src/base/failure.ts';
import { blockFlavor, visitBlock } from '#src/model/block.ts';
import type { Checkpoint } from '#src/model/position.ts';
import { epochOf } from '#src/model/token.ts';
import type { Log } from '#src/ports/log.ts';
import type { SinkAnswer, SinkApplied, SinkPort, SinkRequest } from '#src/ports/sink.ts';

/** What the blackhole needs to open. */
export interface BlackholeSinkOptions {
  readonly log: Log;
  /** Where slots are kept; by default shared by the thread. */
  readonly slots?: BlackholeSlots;
}

interface Slot {
  readonly slot: number;
  token: number;
  seq: number;
  ts: number;
  base: number;
  checkpoint: Checkpoint | null;
}

/** Slots by changefeed and span; one entry per table, never more. */
export type BlackholeSlots = Map<string, Slot>;

type ApplyRequest = Extract<SinkRequest, { kind: 'Apply' }>;
type Staged = { readonly token: number; lastTs: number };

const threadSlots: BlackholeSlots = new Map();

/** Opens the blackhole. */
export function openBlackholeSink(options: BlackholeSinkOptions): SinkPort {
  const sink = new BlackholeSink(options.slots ?? threadSlots);
  return {
    call: (request) => Promise.resolve(sink.call(request)),
    close: () => {
      sink.close();
      return Promise.resolve();
    },
  };
}

class BlackholeSink {
  readonly #slots: BlackholeSlots;
  readonly #staged = new Map<string, Staged>();
  readonly #event = new RowEvent();
  #isClosed = false;

  constructor(slots: BlackholeSlots) {
    this.#slots = slots;
  }

  close(): void {
    this.#isClosed = true;
    this.#staged.clear();
  }

  call(request: SinkRequest): Outcome<SinkAnswer> {
    if (this.#isClosed) return failed(failure('INTERNAL_STOPPED', 'the sink is closed'));
    try {
      return ok(this.#answer(request));
    } catch (error) {
      if (error instanceof FailureError) return failed(error.failure);
      const cause = messageOf(error);
      return failed(failure('INTERNAL_FAULT', 'the blackhole sink broke', { cause }));
    }
  }

  #answer(request: SinkRequest): SinkAnswer {
    switch (request.kind) {
      case 'Open':
        return { kind: 'Opened', version: 'blackhole', serverId: 'blackhole', laneCount: 1 };
      case 'RaiseFeed': {
        const slot = this.#raise(request.changefeed, '', request.token, 0);
        return { kind: 'FeedRaised', checkpoint: slot.checkpoint, parts: [] };
      }
      case 'RaiseSpan': {
        const { slot, seq, ts, base } = this.#raise(
          request.changefeed,
          request.span,
          request.token,
          request.ts,
        );
        return { kind: 'SpanRaised', lanes: [{ slot, lane: 0, seq, ts, base, lanes: 1 }] };
      }
      case 'Apply':
        return this.#apply(request);
      case 'SaveCheckpoint':
        return this.#save(request.changefeed, request.token, request.checkpoint);
      case 'RunDdl':
        this.#guard(request.changefeed, '', request.token);
        return { kind: 'DdlDone', ran: true };
      case 'CheckSplit':
        return { kind: 'SplitChecked', refusal: 'nothing is written by blackhole://' };
      case 'Reslot':
        return fail('SINK_REFUSED', 'blackhole:// keeps no parts of tables');
      case 'RetireFeed':
        this.#retire(request.changefeed, request.token);
        return { kind: 'FeedRetired' };
      case 'ReadGroups':
        return { kind: 'GroupsRead', groups: {} };
      case 'Release':
        for (const key of this.#staged.keys())
          if (key.endsWith(`\0${request.span}`)) this.#staged.delete(key);
        return { kind: 'Done' };
      default:
        return unreachable(request);
    }
  }

  #raise(changefeed: string, span: string, token: number, ts: number): Slot {
    const key = `${changefeed}\0${span}`;
    const found = this.#slots.get(key);
    const isStale =
      found !== undefined && (span === '' ? found.token >= token : found.token > token);
    if (isStale) fenced(span, found.token);
    const feed = this.#slots.get(`${changefeed}\0`);
    if (span !== '' && feed !== undefined && feed.token > token) fenced(span, feed.token);
    const slot = found ?? { slot: this.#slots.size, token, seq: 0, ts, base: ts, checkpoint: null };
    slot.token = token;
    this.#slots.set(key, slot);
    this.#staged.delete(key);
    return slot;
  }

  #retire(changefeed: string, token: number): void {
    for (const [key, slot] of this.#slots) {
      const [cf, span = ''] = key.split('\0');
      if (cf !== changefeed) continue;
      if (epochOf(slot.token) > epochOf(token)) fenced(span, slot.token);
      slot.token = Math.max(slot.token, token);
    }
  }

  /** The slot when its token is right. A slot raised on another thread is not known here and is taken as given. */
  #guard(changefeed: string, span: string, token: number): Slot {
    const slot =
      this.#slots.get(`${changefeed}\0${span}`) ?? this.#raise(changefeed, span, token, 0);
    if (slot.token !== token) fenced(span, slot.token);
    return slot;
  }

  #apply(request: ApplyRequest): SinkApplied {
    const key = `${request.changefeed}\0${request.span}`;
    const slot = this.#guard(request.changefeed, request.span, request.token);
    if (request.stage === 'whole') this.#staged.delete(key);
    if (request.stage === 'begin') this.#staged.set(key, { token: request.token, lastTs: 0 });
    const staged = this.#staged.get(key);
    if (request.stage !== 'whole' && staged?.token !== request.token) {
      return fail('SINK_DISCONNECTED', 'the large transaction that this continues was lost', {
        retry: 'Resync',
        scope: 'Table',
      });
    }
    const afterTs = Math.max(request.afterTs, slot.ts);
    const counts = this.#count(request, afterTs, staged?.lastTs ?? 0);
    if (staged !== undefined) staged.lastTs = Math.max(staged.lastTs, counts.lastTs);
    const { lastTs, ...more } = counts;
    if (request.stage === 'begin' || request.stage === 'more') {
      return { kind: 'Applied', ts: request.afterTs, ...more };
    }
    this.#staged.delete(key);
    const ts = Math.max(lastTs, staged?.lastTs ?? 0);
    if (ts === 0) return { kind: 'Applied', ts: afterTs, ...more };
    slot.seq++;
    slot.base = afterTs;
    slot.ts = ts;
    return { kind: 'Applied', ts, ...more };
  }

  /** Reads all rows in range. `seenTs`: the transaction that an earlier stage began. */
  #count(request: ApplyRequest, afterTs: number, seenTs: number): Counts {
    const counts = { lastTs: 0, rowCount: 0, transactionCount: 0, commitMs: 0, byteCount: 0 };
    let lastSeenTs = seenTs;
    for (const bytes of request.blocks) {
      const maps: TableMap[] = [];
      let isWanted = false;
      visitBlock(bytes, {
        transaction: (ts, commitMs) => {
          isWanted = ts > afterTs && ts <= request.untilTs;
          if (!isWanted) return;
          if (ts !== lastSeenTs) counts.transactionCount++;
          lastSeenTs = ts;
          counts.lastTs = ts;
          counts.commitMs = commitMs;
        },
        table: (index, body) => {
          maps[index] = readTableMap(body, blockFlavor(bytes));
        },
        rows: (index, eventType, body) => {
          if (!isWanted) return;
          this.#event.open(eventType, body, must(maps[index], 'the table of a rows record'));
          while (this.#event.next()) counts.rowCount++;
          counts.byteCount += body.byteLength;
        },
      });
    }
    return { ...counts, writtenRowCount: 0 };
  }

  #save(changefeed: string, token: number, checkpoint: Checkpoint): SinkAnswer {
    const slot = this.#guard(changefeed, '', token);
    if (checkpoint.position.ts < slot.ts) fail('SINK_REFUSED', 'the checkpoint would go back');
    slot.ts = checkpoint.position.ts;
    slot.base = slot.ts;
    slot.seq++;
    slot.checkpoint = checkpoint;
    return { kind: 'CheckpointSaved' };
  }
}

interface Counts extends Omit<SinkApplied, 'kind' | 'ts'> {
  readonly lastTs: number;
}

function fenced(span: string, token: number): never {
  return fail('SINK_FENCED', `a newer owner holds the slot of ${span === '' ? 'the feed' : span}`, {
    scope: span === '' ? 'Feed' : 'Table',
    detail: { token },
  });
}
