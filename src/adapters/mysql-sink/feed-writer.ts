import { fail } from '#src/base/failure.ts';
import { DdlRunner } from './ddl-runner.ts';
import { encodeCheckpoint } from './slot-position.ts';
import { feedSlot } from './slot.ts';

import type { Checkpoint } from '#src/model/position.ts';
import type { SinkAnswer, SinkRequest } from '#src/ports/sink.ts';
import type { SessionPool } from './sessions.ts';
import type { FencedWriter, WriterParts } from './transaction.ts';

/** State of a raised feed slot. */
interface Feed {
  readonly token: number;
  seq: number;
  checkpoint: Checkpoint | null;
  isLost: boolean;
}

/** The writer of feeds' own slots: checkpoints and DDL, one step at a time per feed. */
export class FeedWriter {
  readonly #writer: FencedWriter;
  readonly #nextName: () => string;
  readonly #pool: SessionPool;
  readonly #runner: DdlRunner;
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #feeds = new Map<string, Feed>();

  constructor(
    parts: WriterParts,
    more: { readonly writer: FencedWriter; readonly nextName: () => string },
  ) {
    this.#runner = new DdlRunner(parts);
    this.#writer = more.writer;
    this.#nextName = more.nextName;
    // One session: steps of a feed never run side by side.
    this.#pool = parts.sessions.pool('writer', 1);
  }

  /** Takes over what a raise read. */
  raised(
    changefeed: string,
    state: { readonly token: number; readonly seq: number; readonly checkpoint: Checkpoint | null },
  ): void {
    this.#feeds.set(changefeed, { ...state, isLost: false });
  }

  /** Runs `work` after everything asked before it for the same feed: its steps never overlap. */
  #inTurn<T>(changefeed: string, work: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(changefeed) ?? Promise.resolve()).then(work);
    this.#turns.set(
      changefeed,
      mine.catch(() => {}),
    );
    return mine;
  }

  /** Stores a checkpoint behind the guard. One with the ts of the stored one is already there; a lower one is refused. */
  saveCheckpoint(request: Extract<SinkRequest, { kind: 'SaveCheckpoint' }>): Promise<SinkAnswer> {
    return this.#inTurn(request.changefeed, () => this.#save(request));
  }

  async #save(request: Extract<SinkRequest, { kind: 'SaveCheckpoint' }>): Promise<SinkAnswer> {
    const { changefeed, token, checkpoint } = request;
    const feed = this.#raisedFeed(changefeed, token);
    const storedTs = feed.checkpoint?.position.ts ?? -1;
    if (checkpoint.position.ts < storedTs) {
      fail('SINK_REFUSED', 'a checkpoint never goes back', {
        detail: { stored: storedTs, asked: checkpoint.position.ts },
      });
    }
    if (checkpoint.position.ts === storedTs) return { kind: 'CheckpointSaved' };
    const step = {
      key: { changefeed, slot: feedSlot },
      token,
      previousSeq: feed.seq,
      pos: encodeCheckpoint(checkpoint, this.#nextName()),
    };
    const outcome = await this.#writer.commit(step, [], this.#pool);
    if (outcome.kind === 'Committed') {
      feed.seq++;
      feed.checkpoint = checkpoint;
      return { kind: 'CheckpointSaved' };
    }
    if (outcome.kind === 'Lost') feed.isLost = true;
    return fail(outcome.failure.code, outcome.failure.message, outcome.failure);
  }

  /** Runs one DDL exactly once, after everything asked before it. */
  runDdl(request: Extract<SinkRequest, { kind: 'RunDdl' }>): Promise<SinkAnswer> {
    return this.#inTurn(request.changefeed, async () => {
      const { changefeed, token, ddl } = request;
      this.#raisedFeed(changefeed, token);
      return { kind: 'DdlDone', ran: await this.#runner.run({ changefeed, token }, ddl) };
    });
  }

  #raisedFeed(changefeed: string, token: number): Feed {
    const feed = this.#feeds.get(changefeed);
    if (feed === undefined || feed.token !== token) {
      const newer = feed !== undefined && feed.token > token;
      return fail('SINK_FENCED', 'the feed is not raised with this token', {
        retry: newer ? 'Never' : 'Resync',
      });
    }
    if (feed.isLost) {
      fail('SINK_DISCONNECTED', 'the state of the feed is not known', { retry: 'Resync' });
    }
    return feed;
  }
}
