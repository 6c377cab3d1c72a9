/** Views of the control plane in the API's words. */
import type { Failure } from '#src/base/failure.ts';
import { lagMs } from '#src/protocol/changefeed.ts';
import type { ChangefeedView } from './control-plane.ts';

/** Whether a node can be asked; `joining`: it has no session, or knows of no coordinator. */
export function livenessOf(trouble: Failure | null): string {
  if (trouble === null || trouble.code === 'COORDINATOR_FAILING') return 'alive';
  return trouble.code === 'INTERNAL_STOPPED' ? 'stopping' : 'joining';
}

/** A changefeed in a list. */
export function listedChangefeed(view: ChangefeedView): Readonly<Record<string, unknown>> {
  const { status } = view;
  const ts = status.checkpoint?.ts ?? 0;
  return {
    id: view.id,
    namespace: 'default',
    state: status.state,
    stage: status.stage,
    checkpoint_ts: ts,
    checkpoint_tso: ts,
    checkpoint_gtid: status.checkpoint?.gtid ?? '',
    checkpoint_time: timeText(status.appliedMs),
    resolved_ts: status.resolvedTs,
    lag_ms: lagMs(status, Date.now()),
    error: status.failure === null ? null : errorOf(status.failure, view.maintainer ?? ''),
  };
}

/** A changefeed by itself. */
export function shownChangefeed(
  view: ChangefeedView,
  addressOf: (captureId: string) => string,
): Readonly<Record<string, unknown>> {
  const { status, config, maintainer } = view;
  return {
    ...listedChangefeed(view),
    upstream_uri: view.upstreamUri,
    sink_uri: view.sinkUri,
    create_time: timeText(view.createdMs),
    start_gtid: view.start,
    target_gtid: view.target ?? '',
    config: {
      'memory-quota': config.memoryQuota,
      'changefeed-error-stuck-duration': `${config.stuckAfterMs / 1_000}s`,
      filter: { rules: config.rules },
      scheduler: {
        'enable-table-across-nodes': config.splitAbove !== null,
        ...(config.splitAbove === null ? {} : { 'write-key-threshold': config.splitAbove }),
      },
      'synced-status': {
        'synced-check-interval': config.synced.quietMs / 1_000,
        'checkpoint-interval': config.synced.lagMs / 1_000,
      },
      sink: { 'lane-count': config.laneCount },
    },
    warnings: status.warnings,
    table_count: status.spanCount,
    rows: status.counts.rows,
    transactions: status.counts.transactions,
    ddl: status.counts.ddl,
    maintainer_addr: maintainer === null ? '' : addressOf(maintainer),
    maintainer_capture_id: maintainer ?? '',
    task_status: status.placement.map(({ node, spanCount }) => ({
      capture_id: node,
      table_count: spanCount,
    })),
  };
}

/** How a changefeed is, in short. */
export function changefeedStatus(view: ChangefeedView): Readonly<Record<string, unknown>> {
  const { status } = view;
  const error = status.failure === null ? null : errorOf(status.failure, view.maintainer ?? '');
  return {
    state: status.state,
    resolved_ts: status.resolvedTs,
    checkpoint_ts: status.checkpoint?.ts ?? 0,
    last_error: status.state === 'failed' ? error : null,
    last_warning: status.state === 'failed' ? null : error,
  };
}

/**
 * Whether the downstream may be taken for a whole copy, and says so in a sentence: it runs, nothing was changed upstream for
 * a while, and the checkpoint is close (FEATURES 1.4). `nowMs` is the time of day here; changes have the upstream's.
 */
export function syncedAnswer(
  view: ChangefeedView,
  nowMs: number,
): Readonly<Record<string, unknown>> {
  const { status } = view;
  const trouble = unsynced(view, nowMs);
  return {
    synced: trouble === null,
    sink_checkpoint_ts: timeText(status.appliedMs),
    puller_resolved_ts: timeText(status.sourceMs),
    last_synced_ts: timeText(status.appliedMs),
    now_ts: timeText(nowMs),
    info: trouble ?? 'everything that was changed upstream is applied',
  };
}

function unsynced({ status, config, createdMs }: ChangefeedView, nowMs: number): string | null {
  const { quietMs, lagMs: lagMsMax } = config.synced;
  if (status.state !== 'normal') return `the changefeed is ${status.state}`;
  if (status.checkpoint === null) return 'there is no checkpoint yet';
  const behindMs = lagMs(status, nowMs);
  if (behindMs >= lagMsMax) return `the checkpoint is ${behindMs} ms behind`;
  if (status.checkpoint.ts < status.resolvedTs) return 'changes that were read are being applied';
  const quietForMs = nowMs - Math.max(status.appliedMs, createdMs);
  if (quietForMs > quietMs) return null;
  const [quietFor, quiet] = [quietForMs, quietMs].map((ms) => Math.max(0, Math.floor(ms / 1_000)));
  return `everything that was read is applied, but the last change is ${quietFor} s old: it counts as synced after ${quiet} s`;
}

function errorOf({ code, message }: Failure, addr: string): Readonly<Record<string, string>> {
  return { time: timeText(Date.now()), addr, code, message };
}

function timeText(ms: number): string {
  return ms === 0 ? '' : new Date(ms).toISOString();
}
