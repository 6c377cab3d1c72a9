/**
 * What spec/02 says of a coordinator's term (F4, F8, F11–F13), looked at with every step that a coordinator makes: what it
 * hears, what it says, and how it then stands. Which maintainers count is worked out here from what was said, and
 * compared with what the coordinator made of it.
 */
import type { Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { CoordinationAnswer } from '#src/ports/coordination.ts';
import type { ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { Ask, MaintainerReport, ManagerReported } from '#src/protocol/coordinator.ts';
import type { MaintainerManagerMessage } from '#src/protocol/maintainer-manager.ts';
import { nodeOf } from '#src/protocol/nodes.ts';
import type { SeenStep } from '../observe.ts';
import {
  blankBody,
  bodyOf,
  feedOf,
  isRefused,
  nodeIn,
  ownerOf,
  recordIn,
  removalsIn,
  shownIn,
  viewOf,
  wordsOf,
  type Owner,
  type View,
  type Word,
} from './coordinator-step.ts';
import { feedId } from './sim-node.ts';

/** Where violations and marks go. */
export interface ChecksOutput {
  readonly broken: (rule: string, what: string) => void;
  readonly mark: (name: string) => void;
}

/** What is known of one term of a coordinator. */
interface Term {
  view: View;
  /** The life of each node's manager whose word counts, and what each has said that it runs, before all have. */
  readonly lives: Map<string, number>;
  readonly gathered: Map<string, readonly MaintainerReport[]>;
  /** A write of the record is under way; the epoch it raises to, 0 when it leaves it. */
  writing: { readonly epoch: number; readonly state: string } | null;
  /** Maintainers that this coordinator gave a changefeed to, or found under the stored epoch, and the newest epoch given. */
  readonly owners: Set<Owner>;
  addedEpoch: number;
  /** Maintainers that must end → words of theirs since they were told so last. */
  readonly stale: Map<Owner, number>;
  /** Those of them that were there at the beginning: one has the slot; empty when it is free. */
  slot: readonly Owner[];
  /** Nodes that are asked what they run, and have not answered: nothing else is said to them. */
  readonly asked: Set<string>;
  /** What was shown last of how the changefeed fares. */
  body: string;
}

/** A stale maintainer is told to end at least once in so many of its words: by an operator twice a second, while it speaks at every change. */
const untoldMax = 100;
const runningStates: readonly string[] = ['normal', 'warning'];
const attempts: readonly (string | null)[] = ['add', 'move'];

/** See the top of this file. */
export class OwnershipChecks {
  readonly #output: ChecksOutput;
  /** By node: one coordinator at most runs on each. */
  readonly #terms = new Map<string, Term>();

  constructor(output: ChecksOutput) {
    this.#output = output;
  }

  /** Looks at one step of a coordinator. */
  step(seen: SeenStep): void {
    const { cause, process, effects } = seen;
    const view = viewOf(seen);
    const term = this.#terms.get(process);
    if (cause.kind === 'init' || term === undefined) {
      this.#terms.set(process, newTerm(view));
      return;
    }
    const before = term.view;
    const committed = this.#answerTaken(term, seen, view);
    this.#operatorEntered(term, before, view, committed);
    const words = this.#wordsHeard(term, seen, view);
    if (before.phase !== 'running' && view.phase === 'running') this.#gathered(term, seen, view);
    this.#unknown(term, seen, view, words);
    this.#stale(term, seen, view, words);
    this.#shown(term, seen, words);
    this.#taken(term, seen, words);
    if (cause.kind === 'Ask') this.#stopAsked(term, seen);
    for (const effect of effects) this.#effect(term, process, effect, view);
    goOn(term, view, shownIn(effects).at(-1));
  }

  #broken(rule: string, what: string): void {
    this.#output.broken(rule, what);
  }

  // ── F4 ────────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** The epoch that was committed with this step; 0 for none. A write that came to nothing is still to be made. */
  #answerTaken(term: Term, { cause, process }: SeenStep, view: View): number {
    if (cause.kind !== 'CoordinationAnswered') return 0;
    const { tag, outcome } = cause as unknown as {
      readonly tag: string;
      readonly outcome: Outcome<CoordinationAnswer>;
    };
    const { writing } = term;
    if (tag !== `write ${feedId}` || writing === null) return 0;
    term.writing = null;
    const isCommitted =
      outcome.ok && outcome.value.kind === 'Transacted' && outcome.value.succeeded;
    const feed = feedOf(view);
    if (!isCommitted || feed === undefined) return 0;
    const isStop = ['stopped', 'removed'].includes(writing.state);
    if (isStop && feedOf(term.view)?.state !== writing.state && feed.operator !== 'stop')
      this.#broken('F4', `${process} has stored ${writing.state}, and stops nothing`);
    return writing.epoch;
  }

  /** Adds and moves begin with the commit of an epoch of their own, and one at a time. */
  #operatorEntered({ writing }: Term, before: View, after: View, committed: number): void {
    const was = feedOf(before)?.operator ?? null;
    const is = feedOf(after)?.operator ?? null;
    if (is === was || !attempts.includes(is) || committed > 0) return;
    const epoch = writing === null ? 'none' : String(writing.epoch);
    this.#broken('F4', `operator ${is} begins while epoch ${epoch} is being stored`);
  }

  #writes(term: Term, effect: Effect, view: View): void {
    const record = recordIn(effect);
    if (record === null) return;
    const { epoch, operator } = feedOf(view) ?? { epoch: record.epoch, operator: null };
    const isRaised = record.epoch > epoch;
    if (term.writing !== null)
      this.#broken('F4', `epoch ${record.epoch} is written beside ${term.writing.epoch}`);
    if (isRaised && attempts.includes(operator))
      this.#broken('F4', `epoch ${record.epoch} is raised during operator ${operator}`);
    if (isRaised) this.#output.mark('epoch asked');
    term.writing = { epoch: isRaised ? record.epoch : 0, state: record.state };
  }

  /** Asking to stop is not refused because an epoch is being stored. */
  #stopAsked({ writing, view }: Term, { cause, effects, process }: SeenStep): void {
    const { kind } = (cause as unknown as Ask).request;
    const isStop = kind === 'PauseChangefeed' || kind === 'RemoveChangefeed';
    if (!isStop || view.phase !== 'running' || (writing?.epoch ?? 0) === 0) return;
    if (!runningStates.includes(feedOf(view)?.state ?? '')) return;
    this.#output.mark('stop asked while an epoch is stored');
    if (isRefused(effects))
      this.#broken('F4', `${process} refuses to stop while an epoch is stored`);
  }

  // ── words of maintainers ──────────────────────────────────────────────────────────────────────────────────────────

  /** What counts of what was said with this step, or, once every node has spoken, before it. */
  #wordsHeard(term: Term, seen: SeenStep, view: View): readonly Word[] {
    const now = seen.cause.kind === 'ManagerReported' ? reportedWords(term, seen) : [];
    if (view.phase !== 'running') return [];
    if (term.view.phase === 'running') return now;
    return view.nodes.flatMap((node) => wordsOf(node, term.gathered.get(node) ?? []));
  }

  /** Every node has spoken: the maintainer under the stored epoch is kept, all others are stale (F12). */
  #gathered(term: Term, { process }: SeenStep, view: View): void {
    const feed = feedOf(view);
    if (feed === undefined) return;
    const all = view.nodes.flatMap((node) => wordsOf(node, term.gathered.get(node) ?? []));
    const working = all.filter(({ isWorking }) => isWorking);
    const exact = working.filter(({ epoch }) => epoch === feed.epoch);
    const kept = feed.node === null ? null : ownerOf(feed.node, feed.maintainerEpoch ?? 0);
    const [current] = exact;
    if (exact.length > 1) this.#broken('F12', `${process} goes on with ${exact.length} equals`);
    if (kept !== (current?.owner ?? null))
      this.#broken(
        'F12',
        `${process} keeps ${kept}, at epoch ${feed.epoch} it is ${current?.owner}`,
      );
    for (const { owner } of exact) term.owners.add(owner);
    const stale = working.filter(({ epoch }) => epoch !== feed.epoch);
    // Where the changefeed is not to run, closing all of it comes first.
    const isRunning = runningStates.includes(feed.state);
    for (const { owner } of stale) term.stale.set(owner, isRunning ? untoldMax : 0);
    term.slot = isRunning ? stale.map(({ owner }) => owner) : [];
    if (stale.length > 0) this.#output.mark('stale maintainer found by a new coordinator');
  }

  /** What runs for a changefeed that nobody knows ends at once (F11). */
  #unknown(term: Term, { effects, process }: SeenStep, view: View, heard: readonly Word[]): void {
    if (feedOf(term.view) !== undefined || feedOf(view) !== undefined) return;
    for (const { owner, isWorking } of heard) {
      if (!isWorking) continue;
      this.#output.mark('maintainer of an unknown changefeed');
      const isTold = removalsIn(effects, process).some(
        (removal) => removal.owner === owner && removal.cascade && removal.removed,
      );
      if (!isTold) this.#broken('F11', `${owner} runs what is unknown, and is not ended for good`);
    }
  }

  /** What is stale is told to end, under its own epoch, until it has (F12). */
  #stale(term: Term, { effects, process }: SeenStep, view: View, heard: readonly Word[]): void {
    const told = new Set(removalsIn(effects, process).map(({ owner }) => owner));
    const isKnown = feedOf(view) !== undefined;
    for (const { owner, epoch, node, isWorking } of heard) {
      if (!isWorking) {
        end(term, owner);
        continue;
      }
      if (!isKnown || (epoch >= term.addedEpoch && !term.stale.has(owner))) continue;
      const untold = told.has(owner) ? 0 : (term.stale.get(owner) ?? 0) + 1;
      term.stale.set(owner, untold);
      if (untold > untoldMax && !term.asked.has(node))
        this.#broken('F12', `${process} does not end ${owner}, which is stale`);
    }
  }

  /** Nothing that others than the present maintainer say of how the changefeed fares is shown (F8). */
  #shown(term: Term, { effects, process }: SeenStep, heard: readonly Word[]): void {
    const counts = ({ owner, epoch }: Word): boolean =>
      term.owners.has(owner) && epoch >= term.addedEpoch;
    const taken = new Set(heard.filter(counts).map(({ status }) => bodyOf(status)));
    const others = heard.filter((one) => !counts(one));
    if (others.length > 0) this.#output.mark('word of another epoch');
    for (const status of shownIn(effects)) {
      const body = bodyOf(status);
      const from = others.find((one) => bodyOf(one.status) === body);
      const isOurs = body === term.body || body === blankBody || taken.has(body);
      if (from === undefined || isOurs) continue;
      this.#broken('F8', `${process} takes the status of ${from.owner}`);
    }
  }

  /** The present maintainer's word is taken while an epoch is being stored (F4). */
  #taken(term: Term, { effects, process }: SeenStep, heard: readonly Word[]): void {
    const feed = feedOf(term.view);
    if (feed === undefined || feed.operator !== null || (term.writing?.epoch ?? 0) === 0) return;
    const word = heard.find(
      ({ node, epoch, isWorking }) =>
        isWorking && node === feed.node && epoch === feed.maintainerEpoch,
    );
    if (word === undefined) return;
    this.#output.mark('word taken while an epoch is stored');
    if (shownIn(effects).length === 0)
      this.#broken('F4', `${process} does not hear ${word.owner} while an epoch is stored`);
  }

  // ── what it does ──────────────────────────────────────────────────────────────────────────────────────────────────

  #effect(term: Term, process: string, effect: Effect, view: View): void {
    this.#writes(term, effect, view);
    if (effect.kind !== 'Send') return;
    const node = nodeOf(effect.to, process);
    const message = effect.message as MaintainerManagerMessage;
    switch (message.kind) {
      case 'BootstrapManager':
        term.asked.add(node);
        return;
      case 'AddMaintainer':
        this.#waitsForSlot(term, message.epoch);
        term.owners.add(ownerOf(node, message.epoch));
        term.addedEpoch = Math.max(term.addedEpoch, message.epoch);
        return;
      case 'RemoveMaintainer':
        // Whoever is ended under the stored epoch closes all that is left, and its words count.
        if (message.epoch === feedOf(view)?.epoch) term.owners.add(ownerOf(node, message.epoch));
        return;
      default:
    }
  }

  /** A stale maintainer that has the slot ends before another is added (F13). */
  #waitsForSlot({ slot }: Term, epoch: number): void {
    if (slot.length > 0)
      this.#broken('F13', `an Add under ${epoch} while ${slot.join(' or ')} has the slot`);
  }
}

/** The words of a manager, unless it is of a past life or of no node in view. */
function reportedWords(term: Term, { cause, env, process }: SeenStep): readonly Word[] {
  const { isBootstrap, reports } = cause as unknown as ManagerReported;
  const node = nodeOf(env.from, process);
  const isPast = env.from.incarnation < (term.lives.get(node) ?? 0);
  if (!term.view.nodes.includes(node) || isPast) return [];
  const words = wordsOf(node, reports);
  if (!isBootstrap) return words;
  term.lives.set(node, env.from.incarnation);
  term.gathered.set(node, reports);
  term.asked.delete(node);
  const missing = [...term.stale.keys()].filter(
    (owner) => nodeIn(owner) === node && !words.some((word) => word.owner === owner),
  );
  for (const owner of missing) end(term, owner);
  return words;
}

/** The term after a step. */
function goOn(term: Term, view: View, shown: ChangefeedStatus | undefined): void {
  for (const owner of term.slot) if (!view.nodes.includes(nodeIn(owner))) end(term, owner);
  const feed = feedOf(view);
  // What people stop meanwhile is closed whole before it runs again.
  if (feed === undefined || !runningStates.includes(feed.state)) term.slot = [];
  if (feed === undefined) {
    term.writing = null;
    term.stale.clear();
  }
  if (shown !== undefined) term.body = bodyOf(shown);
  for (const node of term.lives.keys())
    if (!view.nodes.includes(node)) {
      term.lives.delete(node);
      term.gathered.delete(node);
    }
  term.view = view;
}

/** A stale maintainer has ended. */
function end(term: Term, owner: Owner): void {
  term.stale.delete(owner);
  if (term.slot.includes(owner)) term.slot = [];
}

function newTerm(view: View): Term {
  return {
    view,
    lives: new Map(),
    gathered: new Map(),
    writing: null,
    owners: new Set(),
    addedEpoch: 0,
    stale: new Map(),
    slot: [],
    asked: new Set(),
    body: blankBody,
  };
}
