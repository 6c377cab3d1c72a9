/**
 * The operator controller of a maintainer (spec/01 §1.7, spec/06): one operator per span, requests sent again until
 * they are answered, nodes that are lost told to those they affect. Mutated in place by its maintainer alone.
 */
import {
  affectedNodes,
  begin,
  heldSpans,
  requestsOf,
  step,
  type SpanEvent,
  type SpanOperator,
  type SpanRequest,
  type SpanWord,
} from './span-operator.ts';
import type { SpanTable } from './span-table.ts';

/** The same request goes to the same node at most this often; a new phase sends at once. Receivers are idempotent. */
const sendAgainMs = 1_000;

/** See the top of this file. */
export class SpanOperators {
  readonly #table: SpanTable;
  readonly #mint: () => number;
  readonly #operators = new Map<string, SpanOperator>();
  /** Which operator holds a span: one object, one operator. */
  readonly #holders = new Map<string, string>();
  readonly #sentAtMs = new Map<string, number>();
  /** Requests to the downstream that have not been answered. */
  readonly #unanswered = new Set<string>();
  #isQuiet = false;

  /** `mint` gives a token above all former ones of this maintainer. */
  constructor(table: SpanTable, mint: () => number) {
    this.#table = table;
    this.#mint = mint;
  }

  get size(): number {
    return this.#operators.size;
  }

  /** A token for a new assignment, above all former ones. */
  mint(): number {
    return this.#mint();
  }

  /** True when an operator holds the span. */
  holds(span: string): boolean {
    return this.#holders.has(span);
  }

  /** The operators under way. */
  list(): readonly SpanOperator[] {
    return [...this.#operators.values()];
  }

  /**
   * Starts an operator; false when one of its spans is held already or the controller is quiet (Q2). Nodes that are gone
   * already are told to it at once, after its start.
   */
  push(operator: SpanOperator, alive: ReadonlySet<string>): boolean {
    const spans = heldSpans(operator);
    if (this.#isQuiet || spans.some((span) => this.#holders.has(span))) return false;
    this.#operators.set(operator.span, operator);
    for (const span of spans) this.#holders.set(span, operator.span);
    for (const change of begin(operator)) this.#table.apply(change);
    for (const node of affectedNodes(operator))
      if (!alive.has(node)) this.#step(operator.span, { kind: 'node-lost', node });
    return true;
  }

  /** A node's word about an assignment; true when an operator holds the span (so nobody else may act on the word). */
  heard(word: SpanWord): boolean {
    const holder = this.#holders.get(word.span);
    if (holder === undefined) return false;
    this.#step(holder, { kind: 'word', word });
    return true;
  }

  /**
   * A node is lost: first its spans without an operator become absent, then every operator hears of it. While quiet
   * nothing happens (Q4).
   */
  nodeLost(node: string): void {
    if (this.#isQuiet) return;
    for (const { span } of this.#table.on(node))
      if (!this.#holders.has(span)) this.#table.apply({ to: 'absent', span });
    for (const span of this.#operators.keys()) this.#step(span, { kind: 'node-lost', node });
  }

  /** Ends the operator of a span without effect, when its object is removed. */
  taskRemoved(span: string): void {
    const holder = this.#holders.get(span);
    if (holder !== undefined) this.#step(holder, { kind: 'task-removed' });
  }

  /** What is to be sent now. Nothing while quiet (Q1). */
  due(nowMs: number): readonly SpanRequest[] {
    if (this.#isQuiet) return [];
    const requests: SpanRequest[] = [];
    for (const operator of this.#operators.values()) {
      for (const request of requestsOf(operator)) {
        const key = keyOf(request);
        const sentAtMs = this.#sentAtMs.get(key);
        if (sentAtMs !== undefined && nowMs - sentAtMs < sendAgainMs) continue;
        // A port answers every call, however late.
        if (this.#unanswered.has(key)) continue;
        if (request.kind === 'reslot') this.#unanswered.add(key);
        this.#sentAtMs.set(key, nowMs);
        requests.push(request);
      }
    }
    return requests;
  }

  /** The downstream has answered the request for `span` under `token`; `again`: not in a way that settles it. */
  reslotted(span: string, token: number, is: 'done' | 'refused' | 'again'): void {
    this.#unanswered.delete(`reslot ${token} ${span}`);
    if (is !== 'again') this.#step(span, { kind: 'reslotted', token, is });
  }

  /** Terminal: nothing starts, is sent or ends any more; what is under way goes on holding the checkpoint back (Q5, Q11). */
  quiesce(): void {
    this.#isQuiet = true;
  }

  #step(span: string, event: SpanEvent): void {
    const operator = this.#operators.get(span);
    if (operator === undefined || this.#isQuiet) return;
    const next = step(operator, event, this.#mint);
    for (const change of next.changes) this.#table.apply(change);
    // A new phase asks something else, and at once; what a phase does not ask any more is forgotten.
    const isNew = next.operator.phase !== operator.phase;
    const asked = new Set(requestsOf(next.operator).map(keyOf));
    for (const key of requestsOf(operator).map(keyOf))
      if (isNew || !asked.has(key)) this.#sentAtMs.delete(key);
    this.#operators.set(span, next.operator);
    if (next.operator.phase !== 'done') return;
    this.#operators.delete(span);
    for (const held of heldSpans(operator)) this.#holders.delete(held);
  }
}

function keyOf(request: SpanRequest): string {
  const { kind, token, span } = request;
  return kind === 'reslot'
    ? `${kind} ${token} ${span}`
    : `${kind} ${token} ${request.node} ${span}`;
}
