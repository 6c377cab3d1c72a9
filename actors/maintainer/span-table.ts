/**
 * The spans of one changefeed and where each is (the span controller of spec/01): absent, being scheduled, or
 * replicating on a node. A table is there whole or in parts, never both. Mutated in place by its maintainer alone.
 */
import { isPart, spanRange, spansOverlap, wholeSpan } from '#src/model/span.ts';

/**
 * One span. `replicating`: its node's watermark covers it. Otherwise it holds the checkpoint back at `checkpointTs`,
 * which is at or before everything of it that is not committed downstream (P2).
 */
export interface SpanRow {
  readonly span: string;
  readonly state: 'absent' | 'scheduling' | 'replicating';
  /** Where its dispatcher is or will be; null when absent. */
  readonly node: string | null;
  /** Token of the assignment; 0 before the first. */
  readonly token: number;
  readonly checkpointTs: number;
}

/** What happens to a row; produced by operators, applied by {@link SpanTable.apply}. */
export type SpanChange =
  | { readonly to: 'absent'; readonly span: string; readonly checkpointTs?: number }
  | {
      readonly to: 'scheduling';
      readonly span: string;
      readonly node: string;
      readonly token: number;
      readonly checkpointTs?: number;
    }
  | { readonly to: 'replicating'; readonly span: string }
  | { readonly to: 'gone'; readonly span: string }
  /** Split and merge: `spans` disappear and `by` are absent at `checkpointTs`. */
  | {
      readonly to: 'replaced';
      readonly spans: readonly string[];
      readonly by: readonly string[];
      readonly checkpointTs: number;
    };

/** See the top of this file. */
export class SpanTable {
  readonly #rows = new Map<string, SpanRow>();
  /** Parts of each table that is split. */
  readonly #parts = new Map<string, Set<string>>();
  #committedTs = 0;

  get size(): number {
    return this.#rows.size;
  }

  get(span: string): SpanRow | undefined {
    return this.#rows.get(span);
  }

  /** All rows, oldest first. */
  rows(): IterableIterator<SpanRow> {
    return this.#rows.values();
  }

  /** The parts of a table that is split, lowest buckets first; none when it is whole. */
  partsOf(whole: string): readonly string[] {
    const from = (part: string): number => spanRange(part).from;
    return [...(this.#parts.get(whole) ?? [])].toSorted((a, b) => from(a) - from(b));
  }

  /** Tables that are split. */
  splitTables(): readonly string[] {
    return [...this.#parts.keys()];
  }

  /** True when the table of `span` is divided otherwise than by it. */
  isDividedOtherwise(span: string): boolean {
    const whole = wholeSpan(span);
    if (span !== whole && this.#rows.has(whole)) return true;
    const parts = [...(this.#parts.get(whole) ?? [])];
    return parts.some((part) => part !== span && spansOverlap(part, span));
  }

  /** A span that is new here, absent; a known one, and one of a table that is divided otherwise, is left as it is. */
  see(span: string, checkpointTs: number): void {
    if (this.#rows.has(span) || this.isDividedOtherwise(span)) return;
    this.#put({ span, state: 'absent', node: null, token: 0, checkpointTs });
  }

  /** A span that a node was found to serve already (bootstrap): it replicates there under its token. */
  adopt(span: string, node: string, token: number, checkpointTs: number): void {
    this.#put({ span, state: 'replicating', node, token, checkpointTs });
  }

  /** Performs a change; a row that is not there any more is nobody's concern. */
  apply(change: SpanChange): void {
    if (change.to === 'replaced') {
      for (const span of change.spans) this.#delete(span);
      for (const span of change.by) this.see(span, change.checkpointTs);
      return;
    }
    const row = this.#rows.get(change.span);
    if (row === undefined) return;
    switch (change.to) {
      case 'absent':
        return this.#put({
          ...row,
          state: 'absent',
          node: null,
          checkpointTs: this.#held(row, change),
        });
      case 'scheduling':
        return this.#put({
          ...row,
          state: 'scheduling',
          node: change.node,
          token: change.token,
          checkpointTs: this.#held(row, change),
        });
      case 'replicating':
        return this.#put({ ...row, state: 'replicating' });
      case 'gone':
        return this.#delete(change.span);
    }
  }

  /** Spans without a place. */
  absent(): readonly string[] {
    return this.#where((row) => row.state === 'absent').map((row) => row.span);
  }

  /** Rows bound to `node`, under way or replicating. */
  on(node: string): readonly SpanRow[] {
    return this.#where((row) => row.node === node);
  }

  /** Spans bound to each node. */
  loads(): ReadonlyMap<string, number> {
    const loads = new Map<string, number>();
    for (const { node } of this.#rows.values())
      if (node !== null) loads.set(node, (loads.get(node) ?? 0) + 1);
    return loads;
  }

  /** Lowest position of what no node's watermark covers; Infinity when everything replicates. */
  heldTs(): number {
    let ts = Infinity;
    for (const row of this.#rows.values())
      if (row.state !== 'replicating') ts = Math.min(ts, row.checkpointTs);
    return ts;
  }

  /**
   * The feed's checkpoint is committed at `ts`: a span that is lost later holds the checkpoint where it stands and not
   * where the span began (spec/01 §1.5 rule 5).
   */
  commit(ts: number): void {
    this.#committedTs = Math.max(this.#committedTs, ts);
  }

  #held(row: SpanRow, change: { readonly checkpointTs?: number }): number {
    return Math.max(this.#committedTs, change.checkpointTs ?? row.checkpointTs);
  }

  #put(row: SpanRow): void {
    const { span } = row;
    this.#rows.set(span, row);
    if (!isPart(span)) return;
    const whole = wholeSpan(span);
    this.#parts.set(whole, (this.#parts.get(whole) ?? new Set()).add(span));
  }

  #delete(span: string): void {
    this.#rows.delete(span);
    const whole = wholeSpan(span);
    const parts = this.#parts.get(whole);
    parts?.delete(span);
    if (parts?.size === 0) this.#parts.delete(whole);
  }

  #where(is: (row: SpanRow) => boolean): SpanRow[] {
    return [...this.#rows.values()].filter(is);
  }
}
