/**
 * The control plane as a node asks it: every request is an `Ask` that the node's elector takes to the coordinator, on
 * whichever node that is. Checks both ends of a changefeed before they are stored, and seals their passwords.
 */
import { fail, failure, FailureError, type Failure, type Outcome } from '#src/base/failure.ts';
import { maskUri } from '#src/config/uri.ts';
import type { Position } from '#src/model/position.ts';
import { compileTableFilter } from '#src/model/table-filter.ts';
import { startOf, type StartAt } from '#src/model/start-at.ts';
import type { Log } from '#src/ports/log.ts';
import { syncedBounds } from '#src/model/synced-bounds.ts';
import type { ChangefeedConfig, ChangefeedState } from '#src/protocol/changefeed.ts';
import type {
  ChangefeedView as CoordinatorView,
  CoordinatorReply,
  CoordinatorRequest,
} from '#src/protocol/coordinator.ts';
import { demandChangefeedId } from '../changefeed-id.ts';
import type { Inspection } from '../inspection.ts';
import { preflight, type PreflightResult } from '../preflight.ts';
import type { UriSeal } from '../uri-seal.ts';
import type {
  CaptureView,
  ChangefeedChange,
  ChangefeedRequest,
  ChangefeedView,
  ControlPlane,
  PlacedSpans,
  TableMove,
} from './control-plane.ts';

/** A node as the control plane asks it; it may lose its capture, and be another one later. */
export interface AskedNode {
  /** Of the capture that runs, or starts now. */
  readonly captureId: string;
  /** Capture id of the coordinator's node; null while nobody is known to lead. */
  readonly leader: string | null;
  /** Why it cannot be asked now; null when all is well. */
  trouble(): Failure | null;
  ask(request: CoordinatorRequest): Promise<Outcome<CoordinatorReply>>;
  /** The supervision tree of the capture that runs; null while there is none. */
  inspect(): Promise<Inspection | null>;
}

/** What it asks through. */
export interface NodeControlPlaneParts {
  readonly clusterId: string;
  /** The node is one of several, or may become so. */
  readonly isCluster: boolean;
  readonly node: AskedNode;
  /** `HOST:PORT` of this node's API. */
  readonly address: () => string;
  readonly seal: UriSeal;
  readonly log: Log;
}

/** Stopping and removing are done when nothing runs any more, which is looked at so often and so long. */
const lookEveryMs = 50;
const lookMsMax = 60_000;

const running: readonly ChangefeedState[] = ['starting', 'normal', 'warning'];

/** See the top of this file. */
export class NodeControlPlane implements ControlPlane {
  readonly clusterId: string;
  readonly #parts: NodeControlPlaneParts;

  constructor(parts: NodeControlPlaneParts) {
    this.clusterId = parts.clusterId;
    this.#parts = parts;
  }

  readonly captureId = (): string => this.#parts.node.captureId;

  readonly coordinator = (): string | null => this.#parts.node.leader;

  readonly isCoordinator = (): boolean => this.#parts.node.leader === this.captureId();

  readonly trouble = (): Failure | null => {
    const { node } = this.#parts;
    const absent = failure('COORDINATOR_ABSENT', 'no coordinator is known', { retry: 'Again' });
    return node.trouble() ?? (node.leader === null ? absent : null);
  };

  readonly captures = async (): Promise<readonly CaptureView[]> => {
    const reply = await this.#ask({ kind: 'ListCaptures' });
    if (reply.kind !== 'Captures') return fail('INTERNAL_FAULT', 'not an answer to ListCaptures');
    const self = this.captureId();
    return reply.views.map(({ id, apiAddress, isDraining, state, ...view }) => ({
      ...view,
      id,
      address: id === self ? this.#parts.address() : apiAddress,
      clusterId: this.clusterId,
      state: isDraining ? 'draining' : state,
    }));
  };

  readonly list = async (): Promise<readonly ChangefeedView[]> => {
    const reply = await this.#ask({ kind: 'ListChangefeeds' });
    if (reply.kind !== 'Changefeeds')
      return fail('INTERNAL_FAULT', 'not an answer to ListChangefeeds');
    return reply.views.map(shown).sort((a, b) => (a.id < b.id ? -1 : 1));
  };

  readonly query = async (id: string): Promise<ChangefeedView> => shown(await this.#view(id));

  readonly create = async (request: ChangefeedRequest): Promise<ChangefeedView> => {
    const { id, config } = request;
    demandChangefeedId(id);
    if (await this.#isThere(id)) fail('CHANGEFEED_EXISTS', `changefeed ${id} exists`);
    const found = await this.#check(request, startOf(request.start));
    const { start, timeline, copied } = found;
    const warnings = copied === null ? found.warnings : [goesOn(id, copied), ...found.warnings];
    const { seal } = this.#parts;
    await this.#ask({
      kind: 'CreateChangefeed',
      createdMs: Date.now(),
      warnings,
      config: {
        id,
        endpoints: {
          upstreamUri: seal.seal(request.upstreamUri),
          sinkUri: seal.seal(request.sinkUri),
          laneCount: config.laneCount,
        },
        startAt: { kind: 'position', position: start, timeline },
        rules: config.rules,
        untilCaughtUp: false,
        untilGtid: request.target,
        memoryQuota: config.memoryQuota,
        stuckAfterMs: config.stuckAfterMs,
        splitAbove: config.splitAbove,
        synced: config.synced,
      },
    });
    return this.query(id);
  };

  readonly update = async (id: string, change: ChangefeedChange): Promise<ChangefeedView> => {
    const view = await this.#view(id);
    demandState(view, ['stopped', 'failed'], 'updated');
    const { config: before } = view;
    const { seal } = this.#parts;
    const { upstreamUri, sinkUri: sinkBefore, laneCount } = endpointsOf(before);
    const sinkUri = change.sinkUri === undefined ? sinkBefore : seal.seal(change.sinkUri);
    const { rules, memoryQuota, stuckAfterMs, splitAbove = null } = change.config ?? before;
    const { synced = null } = change.config ?? before;
    const next = { rules, laneCount: change.config?.laneCount ?? laneCount };
    const ends = { id, upstreamUri: seal.open(upstreamUri), sinkUri: seal.open(sinkUri) };
    const { checkpoint: position } = view.status;
    // Where it began may have been purged long ago: it goes on at its checkpoint.
    const startAt: StartAt =
      position === null ? before.startAt : { kind: 'position', position, timeline: [] };
    const untilGtid = change.target === undefined ? (before.untilGtid ?? null) : change.target;
    // One that was reached may be kept: only what is said now must lie ahead.
    const target = change.target ?? null;
    const { warnings } = await this.#check({ ...ends, target, config: next }, startAt);
    const endpoints = { upstreamUri, sinkUri, laneCount: next.laneCount };
    await this.#ask({
      kind: 'UpdateChangefeed',
      before,
      warnings,
      config: {
        ...before,
        endpoints,
        rules,
        untilGtid,
        memoryQuota,
        stuckAfterMs,
        splitAbove,
        synced,
      },
    });
    return this.query(id);
  };

  readonly pause = async (id: string): Promise<void> => {
    demandState(await this.#view(id), running, 'paused');
    await this.#ask({ kind: 'PauseChangefeed', id });
    await this.#until(`changefeed ${id} is still stopping`, async () => {
      const { status, maintainer } = await this.#view(id);
      return status.state === 'stopped' && maintainer === null;
    });
  };

  readonly resume = async (id: string): Promise<void> => {
    demandState(await this.#view(id), ['stopped', 'failed', 'finished'], 'resumed');
    await this.#ask({ kind: 'ResumeChangefeed', id });
  };

  readonly remove = async (id: string): Promise<void> => {
    await this.#ask({ kind: 'RemoveChangefeed', id });
    await this.#until(
      `changefeed ${id} is still being removed`,
      async () => !(await this.#isThere(id)),
    );
  };

  readonly tables = async (id: string): Promise<readonly PlacedSpans[]> => {
    const { maintainer } = await this.#view(id);
    if (maintainer === null) return [];
    const reply = await this.#ask({ kind: 'ListTables', id });
    if (reply.kind !== 'Tables') return fail('INTERNAL_FAULT', 'not an answer to ListTables');
    return reply.placement.map(({ node, spans }) => ({
      captureId: node,
      spans: [...spans].sort(),
    }));
  };

  readonly moveTable = (id: string, { table: span, captureId: node }: TableMove): Promise<void> =>
    this.#change({ kind: 'MoveTable', id, span, node });

  readonly splitTable = (id: string, span: string, partCount: number): Promise<void> =>
    this.#change({ kind: 'SplitTable', id, span, partCount });

  readonly mergeTable = (id: string, span: string): Promise<void> =>
    this.#change({ kind: 'MergeTable', id, span });

  readonly moveChangefeed = async (id: string, node: string): Promise<void> => {
    await this.#ask({ kind: 'MoveChangefeed', id, node });
    await this.#until(`changefeed ${id} is still being moved`, async () => {
      const { maintainer, status } = await this.#view(id);
      return maintainer === node && status.state !== 'starting';
    });
  };

  readonly drain = async (node: string | null): Promise<void> => {
    await this.#ask({ kind: 'DrainCapture', node });
  };

  readonly resign = async (): Promise<void> => {
    const node = this.coordinator();
    if (node === null) fail('COORDINATOR_ABSENT', 'no coordinator is known', { retry: 'Again' });
    await this.#ask({ kind: 'ResignCoordinator', node });
  };

  readonly inspect = async (): Promise<readonly Inspection[]> => {
    const inspection = await this.#parts.node.inspect();
    return inspection === null ? [] : [inspection];
  };

  // ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #ask(request: CoordinatorRequest): Promise<CoordinatorReply> {
    const outcome = await this.#parts.node.ask(request);
    if (!outcome.ok) throw new FailureError(outcome.failure);
    return outcome.value;
  }

  /** Asked for first, so that an absent coordinator or changefeed is told long before the patience of a change is over. */
  async #change(request: Extract<CoordinatorRequest, { readonly id: string }>): Promise<void> {
    await this.#view(request.id);
    await this.#ask(request);
  }

  async #view(id: string): Promise<CoordinatorView> {
    const reply = await this.#ask({ kind: 'QueryChangefeed', id });
    return reply.kind === 'Changefeed'
      ? reply.view
      : fail('INTERNAL_FAULT', 'not an answer to QueryChangefeed');
  }

  async #isThere(id: string): Promise<boolean> {
    try {
      await this.#view(id);
      return true;
    } catch (error) {
      if (error instanceof FailureError && error.failure.code === 'CHANGEFEED_UNKNOWN')
        return false;
      throw error;
    }
  }

  /** What was asked is stored; another coordinator goes on with it, so its absence only takes time. */
  async #until(otherwise: string, holds: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + lookMsMax;
    while (performance.now() < deadline) {
      try {
        if (await holds()) return;
      } catch (error) {
        if (!(error instanceof FailureError) || error.failure.code !== 'COORDINATOR_ABSENT')
          throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    }
    fail('CHANGEFEED_STATE', otherwise);
  }

  #check({ config, ...ends }: Ends, startAt: StartAt): Promise<PreflightResult> {
    const { id, upstreamUri, sinkUri, target } = ends;
    const { rules, laneCount } = config;
    compileTableFilter(rules);
    const { log, isCluster } = this.#parts;
    const options = { id, upstreamUri, sinkUri, startAt, target, rules, laneCount, isCluster };
    return preflight({ ...options, log });
  }
}

/** Both ends, passwords in plain. */
interface Ends extends Pick<ChangefeedRequest, 'id' | 'upstreamUri' | 'sinkUri' | 'target'> {
  readonly config: { readonly rules: readonly string[]; readonly laneCount: number };
}

function shown(view: CoordinatorView): ChangefeedView {
  const { config, status, createdMs, maintainer } = view;
  const { upstreamUri, sinkUri, laneCount } = endpointsOf(config);
  const { rules, memoryQuota, stuckAfterMs, splitAbove = null, startAt } = config;
  return {
    id: config.id,
    upstreamUri: maskUri(upstreamUri),
    sinkUri: maskUri(sinkUri),
    start: startAt.kind === 'position' ? startAt.position.gtid : startAt.kind,
    target: config.untilGtid ?? null,
    createdMs,
    config: {
      rules,
      memoryQuota,
      stuckAfterMs,
      laneCount,
      splitAbove,
      synced: config.synced ?? syncedBounds,
    },
    status,
    maintainer,
  };
}

function endpointsOf(config: ChangefeedConfig): NonNullable<ChangefeedConfig['endpoints']> {
  return config.endpoints ?? fail('INTERNAL_FAULT', `changefeed ${config.id} has no endpoints`);
}

/** What is committed downstream is the truth about where a copy stands; who asked for another start is told. */
function goesOn(id: string, { gtid }: Position): string {
  return `the downstream holds the copy of changefeed ${id} up to ${gtid}: it goes on from there, whatever --start says`;
}

function demandState(
  { config, status }: CoordinatorView,
  states: readonly ChangefeedState[],
  done: string,
): void {
  if (states.includes(status.state)) return;
  const needed = states.filter((one) => one !== 'starting').join(' or ');
  fail(
    'CHANGEFEED_STATE',
    `changefeed ${config.id} is ${status.state}: only ${needed} can be ${done}`,
  );
}
