/** A coordinator over a store in memory, told one thing after another: what it says to the nodes, stores and answers. */
import assert from 'node:assert/strict';
import { coordinator } from '#actors/coordinator/coordinator.ts';
import type { CoordinatorInbox, CoordinatorState } from '#actors/coordinator/coordinator-state.ts';
import { KeyStore } from '#src/adapters/embedded-coordination/key-store.ts';
import { failed, failure, ok, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Exit } from '#src/kernel/exit.ts';
import type { Ref } from '#src/kernel/ref.ts';
import {
  changefeedInfoKey,
  changefeedStatusKey,
  coordinatorKey,
} from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, CoordinationRequest, Transact } from '#src/ports/coordination.ts';
import { campaign, ownershipIn } from '#src/ports/ownership.ts';
import {
  encodeRecord,
  readRecord,
  readStatusRecord,
  type ChangefeedRecord,
} from '#src/protocol/changefeed-record.ts';
import type {
  Answered,
  ChangefeedView,
  CoordinatorReply,
  CoordinatorRequest,
  DrainTarget,
  MaintainerReport,
} from '#src/protocol/coordinator.ts';
import type { MaintainerManagerMessage } from '#src/protocol/maintainer-manager.ts';
import type { Member } from '#src/protocol/membership.ts';
import { places } from '#src/protocol/nodes.ts';
import { refOf } from '../cell-env.ts';
import { configOf } from '../feed-config.ts';
import { recordOf, reportOf, uncertain } from './coordinator-words.ts';

const cluster = 'k';
/** How often a write is tried. */
const tryCount = 10;

/** A call of the coordination port that is not answered yet. */
interface Call {
  readonly request: CoordinationRequest;
  readonly tag: string | number | undefined;
}

/** See the top of this file. It runs on node `a`. */
export class ToldCoordinator {
  readonly store: KeyStore;
  state: CoordinatorState;
  nowMs = 0;
  /** How its term has ended; null while it has not. */
  exit: Exit | null = null;
  /** The port answers only what `answerOne` takes. */
  isHeld = false;
  readonly calls: Call[] = [];
  readonly answers = new Map<string, Outcome<CoordinatorReply>>();
  #sent: string[] = [];
  #timers = new Map<string, { readonly dueMs: number; readonly message: CoordinatorInbox }>();
  /** The drain target that each node was told last. */
  readonly #drains = new Map<string, DrainTarget>();
  #requestId = 0;

  constructor(
    nodes: readonly string[],
    records: readonly ChangefeedRecord[] = [],
    store?: KeyStore,
    yields = true,
  ) {
    this.store = store ?? new KeyStore();
    for (const record of records)
      this.write({
        key: changefeedInfoKey(cluster, record.config.id),
        value: encodeRecord(record),
      });
    const key = coordinatorKey(cluster);
    const owned = this.store.get(key);
    if (owned.value !== null) this.delete(key);
    this.apply(campaign(key, 'a', 'lease'));
    const ownership = ownershipIn(this.store.get(key));
    assert(ownership !== null);
    const props = {
      clusterId: cluster,
      self: 'a',
      nodes,
      members: nodes.map(memberOf),
      ownership,
      isPrompt: false,
      feedCountMax: 64,
      yieldsUnheard: yields,
      elector: refOf(places.elector),
    };
    const [state, effects] = coordinator.init(props, this.#env(refOf('self')));
    this.state = state;
    this.#perform(effects);
  }

  /** One that has loaded `records` and heard that no node runs anything. */
  static running(
    nodes: readonly string[],
    records: readonly ChangefeedRecord[] = [],
    store?: KeyStore,
  ): ToldCoordinator {
    const one = new ToldCoordinator(nodes, records, store);
    for (const node of nodes) one.boots(node);
    return one;
  }

  /** One with nodes `a` and `b`, where changefeed `f` runs on `node` under epoch 3. */
  static withFeed(node: 'a' | 'b', record: Partial<ChangefeedRecord> = {}): ToldCoordinator {
    const stored = recordOf('f', { epoch: 3, isNew: false, ...record });
    const one = new ToldCoordinator(['a', 'b'], [stored]);
    for (const each of ['a', 'b']) one.boots(each, each === node ? [reportOf('f', 3)] : []);
    one.sends();
    return one;
  }

  /** What was said to the nodes since the last question. */
  sends(): string[] {
    return this.#sent.splice(0);
  }

  /** A node's answer to `BootstrapManager`. */
  boots(node: string, reports: readonly MaintainerReport[] = [], incarnation = 1): void {
    this.reports(node, reports, { isBootstrap: true, incarnation });
  }

  /** Word of a node's maintainer manager. */
  reports(
    node: string,
    reports: readonly MaintainerReport[],
    more: {
      readonly isBootstrap?: boolean;
      readonly incarnation?: number;
      readonly drain?: DrainTarget;
    } = {},
  ): void {
    const taken = this.#drains.get(node) ?? { number: 0, node: null };
    const { isBootstrap = false, incarnation = 1, drain = taken } = more;
    const from = {
      ...refOf(places.maintainerManager, incarnation),
      ...(node === 'a' ? {} : { node }),
    };
    this.tell({ kind: 'ManagerReported', isBootstrap, reports, drain }, from);
  }

  /** The view is now `nodes`. */
  sees(nodes: readonly string[]): void {
    const view = { self: 'a', nodes, lease: 'lease', members: [], isComplete: true };
    this.tell({ kind: 'NodesChanged', ...view });
  }

  /** Asks; the answer is null while there is none. `node`: from another node's elector. */
  ask(
    request: CoordinatorRequest,
    { node, requestId = ++this.#requestId }: { node?: string; requestId?: number } = {},
  ): Outcome<CoordinatorReply> | null {
    const from = { ...refOf(places.elector), ...(node === undefined ? {} : { node }) };
    this.tell({ kind: 'Ask', requestId, request }, from);
    return this.answerTo(requestId, node);
  }

  /** What was answered to an ask. */
  answerTo(requestId: number, node = 'a'): Outcome<CoordinatorReply> | null {
    return this.answers.get(`${node} ${requestId}`) ?? null;
  }

  /** How a changefeed looks to people. */
  view(id: string): ChangefeedView {
    const outcome = this.ask({ kind: 'QueryChangefeed', id });
    assert(outcome?.ok === true && outcome.value.kind === 'Changefeed', JSON.stringify(outcome));
    return outcome.value.view;
  }

  /** Answers every waiting call, and those that follow. */
  releases(): void {
    this.isHeld = false;
    while (this.calls.length > 0) this.answerOne();
  }

  /** Asks for a changefeed. */
  creates(id: string): Outcome<CoordinatorReply> | null {
    return this.ask({ kind: 'CreateChangefeed', config: configOf(id), createdMs: 1 });
  }

  /** Time passes, in ticks; nodes in `alive` give a sign of life every second. */
  passes(ms: number, alive: readonly string[] = this.state.nodes): void {
    const endMs = this.nowMs + ms;
    let lifeMs = this.nowMs + 1_000;
    while (this.nowMs < endMs) {
      const dueMs = Math.min(...[...this.#timers.values()].map((timer) => timer.dueMs));
      this.nowMs = Math.min(dueMs, lifeMs, endMs);
      for (const [key, { dueMs, message }] of this.#timers) {
        if (dueMs > this.nowMs) continue;
        this.#timers.delete(key);
        this.tell(message, refOf('self'));
      }
      if (this.nowMs < lifeMs) continue;
      lifeMs += 1_000;
      for (const node of alive) this.reports(node, []);
    }
  }

  /** Answers the oldest waiting call: as the store does, or by a failure; `isDone`: the store did it all the same. */
  answerOne(why?: Failure, isDone = false): void {
    const call = this.calls.shift();
    assert(call !== undefined, 'a call waits');
    const outcome = why === undefined || isDone ? this.#storeAnswer(call.request) : null;
    this.#answered(call, why === undefined ? outcome! : failed(why));
  }

  /** All answers to a write are lost until it is given up; `isDone`: the store did it the first time. */
  losesAnswers(isDone = false): void {
    this.answerOne(uncertain, isDone);
    for (let again = 1; again < tryCount; again++) {
      this.passes(25, []);
      this.answerOne(uncertain);
    }
  }

  /** The stored record. */
  record(id: string): ChangefeedRecord | null {
    const { value } = this.store.get(changefeedInfoKey(cluster, id));
    return value === null ? null : readRecord(value);
  }

  /** The stored checkpoint. */
  savedTs(id: string): number | null {
    const { value } = this.store.get(changefeedStatusKey(cluster, id));
    return value === null ? null : (readStatusRecord(value)?.checkpoint.ts ?? null);
  }

  /** Somebody else writes. */
  write(put: { readonly key: string; readonly value: string }): void {
    this.apply({
      kind: 'Transact',
      compares: [{ key: 'x', target: 'revision', equals: 0 }],
      puts: [put],
    });
  }

  /** Somebody else changes a record. */
  writeRecord(record: ChangefeedRecord): void {
    this.write({ key: changefeedInfoKey(cluster, record.config.id), value: encodeRecord(record) });
  }

  /** Somebody else deletes. */
  delete(key: string): void {
    const compares = [{ key: 'x', target: 'revision', equals: 0 }] as const;
    this.apply({ kind: 'Transact', compares, deletes: [key] });
  }

  /** Another becomes coordinator. */
  loseKey(): void {
    this.delete(coordinatorKey(cluster));
    this.apply(campaign(coordinatorKey(cluster), 'b', 'other'));
  }

  apply(request: Transact): CoordinationAnswer {
    const { succeeded, writes } = this.store.plan(request);
    this.store.apply(writes);
    const entries = this.store.compared(request);
    return { kind: 'Transacted', succeeded, entries, revision: this.store.revision };
  }

  tell(message: CoordinatorInbox, from: Ref = refOf('other')): void {
    if (this.exit !== null) return;
    const [state, effects] = coordinator.receive(this.state, message, this.#env(from));
    this.state = state;
    this.#perform(effects);
  }

  #env(from: Ref): Parameters<typeof coordinator.receive>[2] {
    return { self: refOf(places.coordinator), now: () => this.nowMs, random: () => 0.5, from };
  }

  #perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'Send':
          this.#send(effect.to, effect.message as MaintainerManagerMessage | Answered);
          break;
        case 'CallPort':
          if (effect.port !== 'coordination') break;
          this.calls.push({ request: effect.request as CoordinationRequest, tag: effect.tag });
          break;
        case 'SetTimer': {
          const message = effect.message as CoordinatorInbox;
          this.#timers.set(effect.key, { dueMs: this.nowMs + effect.afterMs, message });
          break;
        }
        case 'Stop':
          this.exit = effect.exit;
          break;
        default:
          break;
      }
    }
    while (!this.isHeld && this.calls.length > 0) this.answerOne();
  }

  #send(to: Ref, message: MaintainerManagerMessage | Answered): void {
    if (message.kind === 'Answered') {
      const key = `${to.node ?? 'a'} ${message.requestId}`;
      assert(!this.answers.has(key), `ask ${key} answered twice`);
      this.answers.set(key, message.outcome);
      return;
    }
    const node = to.node ?? 'a';
    if (message.kind === 'SetDrainTarget') this.#drains.set(node, message.drain);
    this.#sent.push(`${node} ${lineOf(message)}`);
  }

  #storeAnswer(request: CoordinationRequest): Outcome<CoordinationAnswer> {
    switch (request.kind) {
      case 'List': {
        const entries = this.store.list(request.prefix);
        return ok({ kind: 'Listed', entries, revision: this.store.revision });
      }
      case 'Get':
        return ok({ kind: 'Got', entry: this.store.get(request.key) });
      case 'Transact':
        return ok(this.apply(request));
      default:
        return failed(failure('COORDINATION_FAILED', request.kind));
    }
  }

  #answered(call: Call, outcome: Outcome<CoordinationAnswer>): void {
    const tag = String(call.tag);
    this.tell({ kind: 'CoordinationAnswered', tag, outcome }, refOf('self'));
  }
}

function lineOf(message: MaintainerManagerMessage): string {
  switch (message.kind) {
    case 'AddMaintainer':
      return `Add ${message.config.id} ${message.epoch}`;
    case 'RemoveMaintainer': {
      const { id, epoch, cascade, removed } = message;
      return `Remove ${id} ${epoch}${cascade ? ' cascade' : ''}${removed ? ' removed' : ''}`;
    }
    case 'SetDrainTarget':
      return `Drain ${message.drain.number} ${message.drain.node ?? '-'}`;
    default:
      return message.kind;
  }
}

/** A node in view. */
function memberOf(captureId: string): Member {
  const addresses = { apiAddress: `${captureId}:8300`, peerAddress: `${captureId}:8301` };
  return { captureId, ...addresses, version: '0', state: 'alive' };
}
