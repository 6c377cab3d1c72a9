/**
 * Invariants of a cluster, looked at with every step of every cell and every write to the store: F1–F13 and the E-rules
 * that show in one place (spec/02, spec/04), the ownership rules of RELIABILITY §3. A broken one ends the run under its name.
 */
import type { Outcome } from '#src/base/failure.ts';
import {
  captureKey,
  changefeedInfoKey,
  changefeedPrefix,
  changefeedStatusKey,
  coordinatorKey,
} from '#src/model/coordination-key.ts';
import { epochOf } from '#src/model/token.ts';
import type { CoordinationAnswer, CoordinationRequest } from '#src/ports/coordination.ts';
import { readRecord, readStatusRecord } from '#src/protocol/changefeed-record.ts';
import type { ChangefeedRecord } from '#src/protocol/changefeed-record.ts';
import type { SeenStep, StepWatch } from '../observe.ts';
import type { SimCoordination } from '../sim-coordination.ts';
import { assertApplied } from '../sim-downstream.ts';
import type { NodeCluster } from './node-cluster.ts';
import { OwnershipChecks } from './ownership-checks.ts';
import { clusterId, feedId, type SimNode } from './sim-node.ts';

const infoKey = changefeedInfoKey(clusterId, feedId);
const statusKey = changefeedStatusKey(clusterId, feedId);

/** States of a record in which its changefeed should run. */
const runningStates: readonly string[] = ['normal', 'warning'];

/** See the top of this file. */
export class NodeChecks {
  readonly #cluster: NodeCluster;
  /** The highest epoch ever committed, and the record and checkpoint as stored last. */
  #epoch = 0;
  #record: ChangefeedRecord | null = null;
  #checkpointTs = -1;
  /** The store was lost: what was used before may be used again, until the downstream refuses it. */
  #isForgetful = false;
  /** Epochs of maintainers that were started, and tokens of dispatchers, over all nodes and for ever. */
  readonly #epochsUsed = new Set<number>();
  readonly #tokensUsed = new Set<number>();
  /** Terms of coordinators. */
  readonly #termsUsed = new Set<number>();
  /** Nodes whose session ended behind their back, or at their own word: until they notice, only tokens keep them harmless. */
  readonly #excused = new Set<string>();

  /** Rows downstream when the changefeed came to rest; null while somebody may write. */
  #restedAt: ReadonlyMap<string, number> | null = null;
  /** The downstream could not be told that it rests. */
  #isUnretired = false;

  readonly #ownership: OwnershipChecks;

  constructor(cluster: NodeCluster) {
    this.#cluster = cluster;
    this.#ownership = new OwnershipChecks({
      broken: (rule, what) => this.#broken(rule, what),
      mark: (name) => cluster.world.mark(name),
    });
  }

  /** Looks at one step of a cell. */
  readonly watch: StepWatch = (step) => {
    switch (step.role) {
      case 'coordinator':
        this.#ownership.step(step);
        return this.#coordinatorStep(step);
      case 'maintainer':
        return this.#maintainerStep(step);
      case 'dispatcher':
        if (step.cause.kind === 'init') this.#dispatcherStarts(step);
        return;
      default:
    }
  };

  /** A node asks the store for something. */
  asks(request: CoordinationRequest): void {
    if (request.kind !== 'Transact') return;
    const keys = [...(request.puts ?? []).map(({ key }) => key), ...(request.deletes ?? [])];
    const written = keys.filter((key) => key.startsWith(changefeedPrefix(clusterId)));
    if (written.length === 0) return;
    const { compares } = request;
    const isOwned = compares.some(
      ({ key, target }) => key === coordinatorKey(clusterId) && target === 'createRevision',
    );
    const isSeen = written.some((written) =>
      compares.some(({ key, target }) => key === written && target === 'revision'),
    );
    if (!isOwned) this.#broken('I-18', `${written.join(' ')} is written without the owner key`);
    if (!isSeen) this.#broken('F3', `${written.join(' ')} is written without what was seen`);
  }

  /** The store as a node sees it: what it commits is looked at. */
  checkedStore(node: string): Pick<SimCoordination, 'perform'> {
    return {
      perform: (request, sentAtMs, answered) => {
        const { coordination } = this.#cluster;
        coordination.perform(request, sentAtMs, (outcome) => {
          if (coordination === this.#cluster.coordination) this.#performed(node, request, outcome);
          answered(outcome);
        });
      },
    };
  }

  /** The store is another one, which knows nothing: epochs begin anew, above those that the downstream shows (I-6). */
  forgets(nodes: readonly string[]): void {
    this.#epoch = 0;
    this.#record = null;
    this.#checkpointTs = -1;
    this.#isForgetful = true;
    for (const id of nodes) this.#excused.add(id);
  }

  /** A node may submit downstream now: then it holds its session (I-24). */
  submits({ id }: SimNode): void {
    const { value } = this.#cluster.coordination.store.get(captureKey(clusterId, id));
    if (value === null && !this.#excused.has(id))
      this.#broken('I-24', `${id} submits without its session`);
  }

  /** The session of a node is ended by somebody else, or the node leaves: calls that were under way go on beyond it. */
  excuses(id: string): void {
    this.#excused.add(id);
  }

  /** A changefeed that rests is written by nobody, however late (I-12, F40). */
  rests(): void {
    if (this.#restedAt === null || this.#isForgetful) return;
    const { versions } = this.#cluster.downstream;
    for (const [row, version] of versions)
      if (this.#restedAt.get(row) !== version)
        this.#broken(
          'F40',
          `${row} is at ${version}, at rest it was at ${this.#restedAt.get(row)}`,
        );
  }

  /** A node is gone. */
  gone(id: string): void {
    this.#excused.delete(id);
  }

  /** The record as it is stored; null before there is one. */
  get record(): ChangefeedRecord | null {
    return this.#record;
  }

  #broken(rule: string, what: string): void {
    this.#cluster.world.violate(`${rule}: ${what}`);
  }

  // ── cells ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #coordinatorStep({ cause, props, effects, overview, process }: SeenStep): void {
    if (cause.kind === 'init') {
      const { ownership } = props as { readonly ownership: { readonly revision: number } };
      if (this.#termsUsed.has(ownership.revision) && !this.#isForgetful)
        this.#broken('I-18', `two coordinators under term ${ownership.revision}`);
      this.#termsUsed.add(ownership.revision);
    }
    for (const effect of effects) {
      if (effect.kind !== 'Send') continue;
      const message = effect.message as { readonly kind: string; readonly epoch?: number };
      const { epoch = 0 } = message;
      if (message.kind === 'RemoveMaintainer' && epoch === 0)
        this.#broken('F6', `${process} ends a maintainer under epoch 0`);
      if (message.kind !== 'AddMaintainer') continue;
      if ((epoch > this.#epoch && !this.#isForgetful) || epoch === 0)
        this.#broken('F1', `${process} adds under ${epoch}, which is not committed`);
      const { changefeeds } = overview() as {
        readonly changefeeds: readonly { readonly state: string; readonly epoch: number }[];
      };
      const [feed] = changefeeds;
      if (feed?.epoch !== epoch)
        this.#broken('F7', `${process} adds under ${epoch}, its record is at ${feed?.epoch}`);
      if (feed !== undefined && !runningStates.includes(feed.state))
        this.#broken('F5', `${process} adds a maintainer while the feed is ${feed.state}`);
    }
  }

  #maintainerStep({ cause, props, effects, process }: SeenStep): void {
    if (cause.kind === 'init') {
      const { epoch } = props as { readonly epoch: number };
      if ((epoch > this.#epoch && !this.#isForgetful) || epoch === 0)
        this.#broken('F1', `a maintainer begins under ${epoch}, which is not committed`);
      if (this.#epochsUsed.has(epoch) && !this.#isForgetful)
        this.#broken('F2', `two maintainers began under epoch ${epoch}`);
      this.#epochsUsed.add(epoch);
      // Once its first step is done.
      this.#cluster.world.after(0, () => this.#checkOneMaintainer(process));
    }
    for (const effect of effects) {
      if (effect.kind === 'Log' && effect.event === 'slots-not-retired') this.#isUnretired = true;
      if (effect.kind !== 'Send' || effect.message.kind !== 'ScheduleDispatcher') continue;
      const { token } = effect.message as unknown as { readonly token: number };
      if (!this.#epochsUsed.has(epochOf(token)))
        this.#broken('E21', `token ${token} is of no epoch`);
    }
  }

  #checkOneMaintainer(node: string): void {
    const { process } = this.#cluster.nodes.find(({ id }) => id === node) ?? {};
    const running = process?.overview().filter((cell) => cell.role === 'maintainer') ?? [];
    if (running.length > 1)
      this.#broken('E9', `${node} runs ${running.map(({ path }) => path).join(' and ')}`);
  }

  #dispatcherStarts({ props, process }: SeenStep): void {
    const { token, span } = props as { readonly token: number; readonly span: string };
    if (this.#tokensUsed.has(token) && !this.#isForgetful)
      this.#broken('I-7', `${process} starts ${span} under token ${token}, which was used`);
    this.#tokensUsed.add(token);
  }

  // ── store ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  #performed(
    node: string,
    request: CoordinationRequest,
    outcome: Outcome<CoordinationAnswer>,
  ): void {
    if (request.kind !== 'Transact' || !outcome.ok || outcome.value.kind !== 'Transacted') return;
    if (!outcome.value.succeeded) return this.#cluster.world.mark('compare-and-swap lost');
    for (const { key, value } of request.puts ?? []) {
      if (key === infoKey) this.#recordWritten(node, value);
      if (key === statusKey) this.#checkpointWritten(value);
    }
    if (request.deletes?.includes(infoKey) === true) this.#recordDeleted();
  }

  #recordWritten(node: string, value: string): void {
    const { world } = this.#cluster;
    const record = readRecord(value);
    if (record === null) return this.#broken('F3', `${node} writes no record`);
    const before = this.#record;
    this.#record = record;
    const { state, epoch } = record;
    if (epoch < this.#epoch) this.#broken('F2', `the epoch falls from ${this.#epoch} to ${epoch}`);
    const isRaised = epoch > this.#epoch;
    const hasChanged = before !== null && before.state !== state;
    const isResumed = hasChanged && state === 'normal' && before.state !== 'warning';
    if (hasChanged && (state === 'warning' || isResumed) && !isRaised)
      this.#broken('F9', `${before.state} becomes ${state} without a new epoch`);
    if (isRaised) world.mark('epoch committed');
    this.#epoch = epoch;
    this.#takesRest(!record.isOpen && !runningStates.includes(state) && before?.isOpen === true);
  }

  /** Its epochs go on rising, should it be made again (F2). */
  #recordDeleted(): void {
    this.#record = null;
    this.#checkpointTs = -1;
    this.#cluster.world.mark('changefeed deleted');
  }

  #takesRest(isClosedNow: boolean): void {
    this.rests();
    if (isClosedNow && !this.#isUnretired) {
      this.#restedAt = new Map(this.#cluster.downstream.versions);
      this.#cluster.world.mark('changefeed at rest');
    } else if (this.#record !== null && runningStates.includes(this.#record.state)) {
      this.#restedAt = null;
      this.#isUnretired = false;
    }
  }

  #checkpointWritten(value: string): void {
    const { history, downstream } = this.#cluster;
    const ts = readStatusRecord(value)?.checkpoint.ts ?? -1;
    if (ts < this.#checkpointTs)
      this.#broken('F10', `the stored checkpoint falls from ${this.#checkpointTs} to ${ts}`);
    this.#checkpointTs = ts;
    assertApplied(history, downstream.versions, ts, 'a stored checkpoint (I-23)');
  }
}
