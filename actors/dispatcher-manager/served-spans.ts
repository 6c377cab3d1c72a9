/**
 * The assignments of a dispatcher manager: which dispatcher serves which span under which token, how far it is, and what of
 * it the maintainer has still to be told. Mutated in place by the manager alone.
 */
import type { Failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { ServedSpan, SpanLoad, SpanReport } from '#src/protocol/maintainer.ts';
import type { ScheduleDispatcher } from '#src/protocol/manager.ts';

/** One assignment. `ended` ones stay until the maintainer has taken their report: until then they count (P2). */
export interface Assignment {
  readonly span: string;
  readonly token: number;
  readonly thread: string;
  status: 'starting' | 'working' | 'stopping' | 'ended';
  ref: Ref | null;
  /** Everything ≤ this is committed downstream. */
  checkpointTs: number;
  /** Rows applied since loads were told last. */
  rows: number;
  failure: Failure | null;
  /** The last word of a dispatcher of the span, and which one's it is: kept until its end is seen. */
  lastWord: { readonly incarnation: number; readonly failure: Failure } | null;
  /** What is to be told, and the heartbeat that first told it; null: not told yet. */
  report: 'working' | 'stopped' | null;
  toldBeat: number | null;
}

/** An answer about an assignment that is not known here. */
interface Miss {
  readonly span: string;
  readonly token: number;
  toldBeat: number | null;
}

/** Ends a cell in order. */
export function stopCell(target: Ref): Effect {
  return { kind: 'Stop', target, exit: { kind: 'shutdown' } };
}

/** Ends the dispatcher of an assignment; its end is reported once it has happened. */
export function stopAssignment(assignment: Assignment, effects: Effect[]): void {
  assignment.status = 'stopping';
  if (assignment.ref !== null) effects.push(stopCell(assignment.ref));
}

/** See the top of this file. */
export class ServedSpans {
  readonly #assignments = new Map<string, Assignment>();
  /** Schedules that wait for the end of the span's former dispatcher. */
  readonly #pending = new Map<string, ScheduleDispatcher>();
  #misses: Miss[] = [];

  get(span: string): Assignment | undefined {
    return this.#assignments.get(span);
  }

  /** Assignments whose dispatcher has not ended. */
  alive(): readonly Assignment[] {
    return [...this.#assignments.values()].filter(({ status }) => status !== 'ended');
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Dispatchers on each work thread. */
  loads(threads: readonly string[]): ReadonlyMap<string, number> {
    const loads = new Map(threads.map((thread) => [thread, 0]));
    for (const { thread } of this.alive()) loads.set(thread, (loads.get(thread) ?? 0) + 1);
    return loads;
  }

  /** A dispatcher is being started. */
  start(message: ScheduleDispatcher, thread: string): void {
    this.#assignments.set(message.span, {
      span: message.span,
      token: message.token,
      thread,
      status: 'starting',
      ref: null,
      checkpointTs: message.startTs,
      rows: 0,
      failure: null,
      lastWord: null,
      report: null,
      toldBeat: null,
    });
  }

  /** The schedule waits; a newer one replaces it. */
  defer(message: ScheduleDispatcher): void {
    const known = this.#pending.get(message.span);
    if (known === undefined || known.token < message.token)
      this.#pending.set(message.span, message);
  }

  /** The schedule that waited for the span's end, taken out. */
  takeDeferred(span: string): ScheduleDispatcher | undefined {
    const message = this.#pending.get(span);
    this.#pending.delete(span);
    return message;
  }

  /** Everything that waited, taken out. */
  takeAllDeferred(): readonly ScheduleDispatcher[] {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    return all;
  }

  /** What waits comes from an earlier maintainer: it never blocks the present one (spec/04 E13). */
  dropDeferred(): void {
    this.#pending.clear();
  }

  /** The assignment works; told once. */
  works(assignment: Assignment): void {
    if (assignment.status !== 'starting') return;
    assignment.status = 'working';
    assignment.report = 'working';
    assignment.toldBeat = null;
  }

  /** The dispatcher has ended; `failure` null when it was asked to. */
  ended(assignment: Assignment, failure: Failure | null): void {
    assignment.status = 'ended';
    assignment.ref = null;
    assignment.failure = failure;
    assignment.report = 'stopped';
    assignment.toldBeat = null;
  }

  /** Tells again how an assignment stands, because somebody asked. */
  tellAgain(assignment: Assignment): void {
    if (assignment.status === 'working') assignment.report = 'working';
    assignment.toldBeat = null;
  }

  /** Somebody asked for an assignment that is not known here. */
  miss(span: string, token: number): void {
    this.#misses.push({ span, token, toldBeat: null });
  }

  /** Which of all assignments that count stands at the lowest position; Infinity when there is none. */
  hindmost(): { readonly span: string; readonly ts: number } {
    let [span, ts] = ['', Infinity];
    for (const one of this.#assignments.values())
      if (one.checkpointTs < ts) [span, ts] = [one.span, one.checkpointTs];
    for (const one of this.#pending.values())
      if (one.startTs < ts) [span, ts] = [one.span, one.startTs];
    return { span, ts };
  }

  /** Everything not yet taken, as the heartbeat `beat` tells it. */
  reports(beat: number): readonly SpanReport[] {
    const reports: SpanReport[] = [];
    for (const assignment of this.#assignments.values()) {
      const { span, token, report, checkpointTs, failure } = assignment;
      if (report === null) continue;
      assignment.toldBeat ??= beat;
      reports.push({ span, token, is: report, checkpointTs, failure });
    }
    for (const miss of this.#misses) {
      miss.toldBeat ??= beat;
      const { span, token } = miss;
      reports.push({ span, token, is: 'stopped', checkpointTs: null, failure: null });
    }
    return reports;
  }

  /** The maintainer has taken the heartbeat `beat` and all before it. */
  taken(beat: number): void {
    const isTold = (toldBeat: number | null): boolean => toldBeat !== null && toldBeat <= beat;
    for (const assignment of this.#assignments.values()) {
      if (assignment.report === null || !isTold(assignment.toldBeat)) continue;
      assignment.report = null;
      if (assignment.status === 'ended') this.#assignments.delete(assignment.span);
    }
    this.#misses = this.#misses.filter(({ toldBeat }) => !isTold(toldBeat));
  }

  /** Another maintainer takes over: what lives is served, what has ended is its concern no more. */
  adopted(): readonly ServedSpan[] {
    this.#pending.clear();
    this.#misses = [];
    for (const { span, status } of this.#assignments.values())
      if (status === 'ended') this.#assignments.delete(span);
    return this.alive().map(({ span, token, checkpointTs }) => ({ span, token, checkpointTs }));
  }

  /** The spans with most rows since this was asked last, `countMax` of them at most. */
  busiest(countMax: number): readonly SpanLoad[] {
    const busy = [...this.#assignments.values()].filter(({ rows }) => rows > 0);
    const loads = busy.map(({ span, rows }) => ({ span, rows }));
    for (const assignment of busy) assignment.rows = 0;
    return loads.toSorted((a, b) => b.rows - a.rows).slice(0, countMax);
  }

  /** True when something waits to be told or taken. */
  get hasNews(): boolean {
    if (this.#misses.length > 0) return true;
    for (const { report } of this.#assignments.values()) if (report !== null) return true;
    return false;
  }
}
