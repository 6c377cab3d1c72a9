/** Where a feed begins, and what of the upstream it reads. */
import type { Position, TimelineSegment } from './position.ts';

/** Where to start: the newest position, the oldest still in the log, a GTID the user gave, or a stored place. */
export type StartAt =
  | { readonly kind: 'now' }
  | { readonly kind: 'oldest' }
  | { readonly kind: 'gtid'; readonly gtid: string }
  | {
      readonly kind: 'position';
      readonly position: Position;
      readonly timeline: readonly TimelineSegment[];
    };

/** What a person wrote as the start: `now`, `oldest` or a GTID, which is checked when the upstream is asked for it. */
export function startOf(text: string): StartAt {
  return text === 'now' || text === 'oldest' ? { kind: text } : { kind: 'gtid', gtid: text };
}

/** Which tables to read, and which span each belongs to. */
export interface Routing {
  /** `schema.table` rules with `*` and `?` wildcards and `!`; the last match wins (FEATURES 1.6). */
  readonly rules: readonly string[];
  /** Span of tables that are not alone in theirs: table span name → span. */
  readonly groups: Readonly<Record<string, string>>;
}
