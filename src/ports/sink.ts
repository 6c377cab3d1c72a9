/**
 * The sink port: the one place that submits changes downstream, every transaction behind the fence (FENCE §1.2). One
 * instance lives on each work thread (dispatchers' transactions) and one beside the maintainer (raise, DDL, checkpoint).
 */
import type { Checkpoint, DdlEvent, Position } from '../model/position.ts';
import type { BucketRange } from '../model/span.ts';
import type { Routing } from '../model/start-at.ts';
import type { Port } from './port.ts';

/** How far the keys of some buckets are applied. */
export interface PartProgress extends BucketRange {
  readonly ts: number;
}

/** What a lane of a slot has committed. */
export interface SlotState {
  /** Number of the slot row. Lane 0 of a span comes first. */
  readonly slot: number;
  readonly lane: number;
  /** Transactions committed by this slot. */
  readonly seq: number;
  /** All changes of the span with commitTs ≤ ts routed to this lane are applied. */
  readonly ts: number;
  /** The batch that wrote `ts` began after `base`: up to `base` every lane of the span is complete. base ≤ ts. */
  readonly base: number;
  /** How many lanes that batch used. */
  readonly lanes: number;
  /**
   * Present while a cut batch is replayed: changes up to here may be applied already, so batches that begin before it
   * must be idempotent. Above `ts`.
   */
  readonly redoTs?: number;
  /** Names the batch that wrote `ts`: lanes with the same name were written by the same one. */
  readonly batch?: string;
  /**
   * Present in a span that was merged of parts: keys in these buckets are applied up to a place above `ts`, whatever the
   * lane. The sink leaves such changes out by itself.
   */
  readonly parts?: readonly PartProgress[];
}

/** Requests of the port. */
export type SinkRequest =
  /** Connects, makes the bookkeeping tables when missing, and runs the canary (FENCE §1.2). */
  | { readonly kind: 'Open'; readonly changefeed: string }
  /**
   * Raises the token of the feed's own slot (span ''), in one locking transaction with reading its checkpoint. Refused
   * with SINK_FENCED and `detail.token` when a token ≥ `token` is there already.
   */
  | { readonly kind: 'RaiseFeed'; readonly changefeed: string; readonly token: number }
  /**
   * Raises the tokens of all lanes of `span`, reading their positions in the same transaction; makes the rows when
   * missing, at `ts`. SINK_FENCED when a token > `token` is there, or when the table is divided otherwise by now. The first request of an instance on another thread than
   * the maintainer's: it opens that instance as `Open` does.
   */
  | {
      readonly kind: 'RaiseSpan';
      readonly changefeed: string;
      readonly span: string;
      readonly token: number;
      readonly ts: number;
    }
  /**
   * Applies blocks of one span in one fenced downstream transaction per lane. Transactions with commitTs ≤ `afterTs`
   * inside the blocks are skipped, as are those > `untilTs`.
   *
   * stage: `whole` = the blocks hold complete transactions only. A transaction larger than one call is applied by one
   * `begin`, any number of `more` and one `end`, which commits; a failure at any stage loses the transaction whole.
   *
   * `idempotent`: the downstream may already hold some of these changes (a batch of several lanes that was cut by a
   * crash); rows are written as final states.
   */
  | {
      readonly kind: 'Apply';
      readonly changefeed: string;
      readonly span: string;
      readonly token: number;
      readonly afterTs: number;
      readonly untilTs: number;
      readonly stage: 'whole' | 'begin' | 'more' | 'end';
      readonly idempotent: boolean;
      /** Rises with every DDL: table definitions read under another version are forgotten. */
      readonly schemaVersion: number;
      readonly blocks: readonly Uint8Array[];
    }
  /** Stores the feed's checkpoint in its own slot, behind the fence. Monotone: a lower ts is refused. */
  | {
      readonly kind: 'SaveCheckpoint';
      readonly changefeed: string;
      readonly token: number;
      readonly checkpoint: Checkpoint;
    }
  /** Runs one DDL exactly once (FENCE §0.5): intent row, statement on the session that holds the DDL lock, done row. */
  | {
      readonly kind: 'RunDdl';
      readonly changefeed: string;
      readonly token: number;
      readonly ddl: DdlEvent;
    }
  /** Whether the rows of table span `span` may be divided by their keys; answered by `SplitChecked`. */
  | { readonly kind: 'CheckSplit'; readonly changefeed: string; readonly span: string }
  /**
   * Divides the slots of one table anew: the spans `from` end and the spans `to`, which cover the same buckets, go on where
   * those stand. One locking transaction raises all tokens to `spanToken`, reads the positions and writes the new ones, so
   * nothing of the spans `from` commits after it. Done before: nothing happens. SINK_FENCED when the feed's slot has
   * another token than `token`, or a slot one above `spanToken`.
   */
  | {
      readonly kind: 'Reslot';
      readonly changefeed: string;
      readonly token: number;
      readonly spanToken: number;
      readonly from: readonly string[];
      readonly to: readonly string[];
    }
  /**
   * The changefeed rests: no transaction of an earlier token commits from here on, nor is a slot raised with one, whatever a
   * node that is late still sends (RELIABILITY I-12, F40). One locking transaction raises the tokens of all slots that are
   * there; `token` is the last of the epoch, so its next owner is above it. SINK_FENCED when a slot is of a newer epoch.
   * May be the first request of an instance: it opens nothing, as it writes into slots only.
   */
  | { readonly kind: 'RetireFeed'; readonly changefeed: string; readonly token: number }
  /** Reads foreign keys downstream and answers which tables must share a span. */
  | { readonly kind: 'ReadGroups'; readonly changefeed: string; readonly rules: readonly string[] }
  /** Forgets a span (its dispatcher ended); connections used for it may close. */
  | { readonly kind: 'Release'; readonly span: string };

/** Answer to `Apply`. */
export interface SinkApplied {
  readonly kind: 'Applied';
  /** commitTs of the last transaction that is now committed downstream (for begin/more: unchanged). */
  readonly ts: number;
  /** Row changes in the log. */
  readonly rowCount: number;
  /** Source transactions. */
  readonly transactionCount: number;
  /** Row changes sent after folding. */
  readonly writtenRowCount: number;
  /** Server time of the last transaction, milliseconds. */
  readonly commitMs: number;
  /** Bytes of SQL sent. */
  readonly byteCount: number;
}

/** Answer to `Open`. */
export interface SinkOpened {
  readonly kind: 'Opened';
  readonly version: string;
  readonly serverId: string;
  readonly laneCount: number;
  /** How far the changefeed is copied there, as far as that is known before its token is raised. */
  readonly copied?: Position;
}

/** Answers of the port. */
export type SinkAnswer =
  | SinkApplied
  | SinkOpened
  | {
      readonly kind: 'FeedRaised';
      readonly checkpoint: Checkpoint | null;
      /** All parts of tables that are split: their slots are the truth about how a table is divided. */
      readonly parts: readonly string[];
    }
  | { readonly kind: 'SpanRaised'; readonly lanes: readonly SlotState[] }
  | { readonly kind: 'CheckpointSaved' }
  | { readonly kind: 'DdlDone'; readonly ran: boolean }
  /** `refusal`: why it may not, in words for the operator. */
  | { readonly kind: 'SplitChecked'; readonly refusal: string | null }
  | { readonly kind: 'Reslotted' }
  | { readonly kind: 'FeedRetired' }
  | { readonly kind: 'GroupsRead'; readonly groups: Routing['groups'] }
  | { readonly kind: 'Done' };

/** The sink port. */
export type SinkPort = Port<SinkRequest, SinkAnswer>;
