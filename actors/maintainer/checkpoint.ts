/**
 * Watermarks of nodes and the checkpoint of a changefeed (spec/01 §1.5). A watermark covers the spans that its manager held
 * when it was taken; `seq` counts what the manager has taken on, so that an older one never stands for a newer span.
 */

/** What one dispatcher manager has committed downstream: everything of its spans with commitTs ≤ checkpointTs. */
export interface Watermark {
  /** Rises when the manager takes a span on. */
  readonly seq: number;
  readonly checkpointTs: number;
}

/** The newest watermark of each node; mutated in place. */
export class NodeWatermarks {
  readonly #watermarks = new Map<string, Watermark>();

  /** Takes a watermark that is newer by seq, or higher under the same seq; others are late and change nothing. */
  take(node: string, watermark: Watermark): void {
    const known = this.#watermarks.get(node);
    const isNewer =
      known === undefined ||
      watermark.seq > known.seq ||
      (watermark.seq === known.seq && watermark.checkpointTs > known.checkpointTs);
    if (isNewer) this.#watermarks.set(node, watermark);
  }

  /** The node is gone, or its manager was started anew. */
  forget(node: string): void {
    this.#watermarks.delete(node);
  }

  get(node: string): Watermark | undefined {
    return this.#watermarks.get(node);
  }
}

/** What the checkpoint is the lowest of. */
export interface CheckpointFacts {
  /** (a) What operators and spans without a node hold: Infinity when nothing does. Read before the watermarks. */
  readonly heldTs: number;
  /** (b) What a barrier holds. Read before the watermarks. */
  readonly barrierTs: number;
  /** The maintainer's own node: its stream reports every span of the log first, so it always counts. */
  readonly self: string;
  /** Nodes that hold at least one span. */
  readonly busy: Iterable<string>;
}

/** The commitTs up to which everything is committed; null when a required node has said nothing yet. */
export function checkpointTs(facts: CheckpointFacts, watermarks: NodeWatermarks): number | null {
  let ts = Math.min(facts.heldTs, facts.barrierTs);
  for (const node of new Set([facts.self, ...facts.busy])) {
    const watermark = watermarks.get(node);
    if (watermark === undefined) return null;
    ts = Math.min(ts, watermark.checkpointTs);
  }
  return ts === Infinity ? null : ts;
}
