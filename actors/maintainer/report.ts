/** What a maintainer says about its changefeed to the manager of its node, and so to the coordinator. */
import type { Failure } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { ChangefeedState } from '#src/protocol/changefeed.ts';
import type { MaintainerReported } from '#src/protocol/maintainer-manager.ts';
import { silentNodes } from '../placement/bootstrapper.ts';
import { isPlacing, totalsOf, type MaintainerState } from './maintainer-state.ts';

/** Its phase, for inspection. */
export function phaseText({ phase }: MaintainerState): string {
  return phase.at === 'barrier' ? `ddl ${phase.step}` : phase.at;
}

const barrierWords = {
  draining: 'applying what comes before a DDL',
  saving: 'saving the checkpoint before a DDL',
  ddl: 'running a DDL',
  grouping: 'reading foreign keys after a DDL',
} as const;

function phaseWords(state: MaintainerState): string {
  return state.phase.at === 'barrier' ? barrierWords[state.phase.step] : phaseText(state);
}

/** What it is doing, and who keeps it waiting (P7). */
export function stageOf(state: MaintainerState): string {
  if (state.waitsFor !== '') return `waiting for ${state.waitsFor}`;
  const awaited = awaitedNodes(state).join(', ');
  if (awaited === '') return phaseWords(state);
  const waiting = `waiting for ${awaited}`;
  return state.phase.at === 'gathering' ? waiting : `${phaseWords(state)}, ${waiting}`;
}

/** Nodes whose answer the present phase needs, or that have served and fallen silent. */
export function awaitedNodes(state: MaintainerState): readonly string[] {
  const { phase, nodes, bootstrap } = state;
  if (phase.at === 'closing')
    return [...nodes.values()].flatMap(({ node, isClosed }) => (isClosed ? [] : [node]));
  const silent = silentNodes(bootstrap);
  if (phase.at === 'gathering') return silent;
  return isPlacing(state) ? silent.filter((node) => nodes.get(node)?.isAdopted === true) : [];
}

/** How it is now. */
export function stateOf(state: MaintainerState): ChangefeedState {
  if ((state.trouble ?? state.sourceTrouble) !== null) return 'warning';
  return isPlacing(state) ? 'normal' : 'starting';
}

/** A report; the last one ends it. */
export function reportOf(
  state: MaintainerState,
  as: ChangefeedState,
  failure: Failure | null,
  isLast: boolean,
): Effect {
  const { config, epoch, manager, self } = state.props;
  const totals = totalsOf(state);
  const loads = [...state.table.loads()];
  const message: MaintainerReported = {
    kind: 'MaintainerReported',
    epoch,
    isBootstrapped: isPlacing(state),
    isLast,
    // One whose node stops in order has not retired the slots: closing goes on elsewhere.
    isClosed:
      isLast && !state.isStopAsked && [...state.nodes.values()].every((node) => node.isClosed),
    status: {
      id: config.id,
      state: as,
      stage: stageOf(state),
      checkpoint: state.checkpoint,
      resolvedTs: state.nodes.get(self)?.resolved?.ts ?? 0,
      newest: state.facts?.newest ?? null,
      sourceMs: totals.sourceMs,
      appliedMs: state.checkpointMs,
      heldMs: state.phase.at === 'barrier' ? state.phase.ddl.commitMs : 0,
      spanCount: state.table.size,
      placement: loads.map(([node, spanCount]) => ({ node, spanCount })),
      counts: {
        rows: totals.rows,
        transactions: totals.transactions,
        writtenRows: totals.writtenRows,
        ddl: state.ddlCount,
        sourceBytes: totals.sourceBytes,
        sourceTransactions: totals.sourceTransactions,
      },
      failure,
      warnings: state.facts?.warnings ?? [],
    },
  };
  return { kind: 'Send', to: manager, message };
}
