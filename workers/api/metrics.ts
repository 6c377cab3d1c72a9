/**
 * What Prometheus scrapes. Names and meanings of the reference where they are the same (FEATURES 1.7), so that its
 * dashboards and alerts work; the rest is `sluice_`.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import { lagMs, type ChangefeedState } from '#src/protocol/changefeed.ts';
import type { LiveNode } from '../inspection.ts';
import type { ChangefeedView, ControlPlane } from './control-plane.ts';

/** Text for one scrape. */
export interface Metrics {
  readonly contentType: string;
  readonly text: () => Promise<string>;
}

/** The reference's numbers: 0 normal, 1 pending, 2 failed, 3 stopped, 4 finished, 5 removed, 6 warning. */
const stateNumbers: Readonly<Partial<Record<ChangefeedState, number>>> = {
  normal: 0,
  starting: 1,
  failed: 2,
  stopped: 3,
  finished: 4,
  removed: 5,
  warning: 6,
};

/** Series of a changefeed: name, help, value. */
const series: readonly (readonly [string, string, (view: ChangefeedView) => number])[] = [
  [
    'ticdc_owner_status',
    'State of the changefeed: 0 normal, 1 pending, 2 failed, 3 stopped, 4 finished, 5 being removed, 6 warning',
    ({ status }) => stateNumbers[status.state] ?? 1,
  ],
  [
    'ticdc_owner_checkpoint_ts',
    'Server time of the checkpoint, milliseconds',
    ({ status }) => status.appliedMs,
  ],
  [
    'ticdc_owner_checkpoint_ts_lag',
    'Server time from the checkpoint to the newest transaction read, seconds; while a DDL runs, from that to now',
    ({ status }) => lagMs(status, Date.now()) / 1_000,
  ],
  [
    'ticdc_owner_resolved_ts',
    'Server time of the newest transaction read, milliseconds',
    ({ status }) => status.sourceMs,
  ],
  [
    'ticdc_owner_changefeed_error_info',
    '1 while the changefeed has an error or a warning',
    ({ status }) => (status.failure === null ? 0 : 1),
  ],
  ['sluice_changefeed_spans', 'Spans of the changefeed', ({ status }) => status.spanCount],
  [
    'sluice_changefeed_checkpoint_commit_ts',
    'commitTs of the checkpoint',
    ({ status }) => status.checkpoint?.ts ?? 0,
  ],
  [
    'sluice_changefeed_resolved_commit_ts',
    'commitTs up to which the upstream was read',
    ({ status }) => status.resolvedTs,
  ],
  [
    'sluice_changefeed_rows',
    'Row changes applied since the changefeed was started',
    ({ status }) => status.counts.rows,
  ],
  [
    'sluice_changefeed_written_rows',
    'Row changes written after folding since the changefeed was started',
    ({ status }) => status.counts.writtenRows,
  ],
  [
    'sluice_changefeed_transactions',
    'Source transactions applied since the changefeed was started, once per span',
    ({ status }) => status.counts.transactions,
  ],
  [
    'sluice_changefeed_ddl',
    'DDL statements applied since the changefeed was started',
    ({ status }) => status.counts.ddl,
  ],
  [
    'sluice_changefeed_source_bytes',
    'Bytes read from the upstream since the changefeed was started',
    ({ status }) => status.counts.sourceBytes,
  ],
];

/** Metrics of this node: each scrape asks the control plane anew. */
export function openMetrics(plane: ControlPlane): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const labelNames = ['namespace', 'changefeed'] as const;
  const gauges = series.map(
    ([name, help, value]) =>
      [new Gauge({ name, help, labelNames, registers: [registry] }), value] as const,
  );
  const owner = new Counter({
    name: 'ticdc_owner_ownership_counter',
    help: 'Seconds for which this node was coordinator: the sum of its rates over all nodes is the number of coordinators',
    registers: [registry],
  });
  let ledAtMs: number | null = null;
  const dispatchers = new Gauge({
    name: 'ticdc_dispatchermanager_table_dispatcher_count',
    help: 'Dispatchers of the changefeed on this node',
    labelNames,
    registers: [registry],
  });
  const refusals = new Gauge({
    name: 'sluice_refused_deliveries',
    help: 'Deliveries that a door refused since its thread was started, by message kind and reason',
    labelNames: ['thread', 'kind', 'reason'],
    registers: [registry],
  });
  const counters = new Gauge({
    name: 'sluice_count',
    help: 'What actors and links count, since their thread was started',
    labelNames: ['thread', 'name'],
    registers: [registry],
  });
  return {
    contentType: registry.contentType,
    text: async () => {
      registry.setDefaultLabels({ capture: plane.captureId() });
      const nowMs = performance.now();
      const leads = plane.isCoordinator();
      // Only what it led at both ends: a change of coordinators must not look like two.
      if (leads && ledAtMs !== null) owner.inc((nowMs - ledAtMs) / 1_000);
      ledAtMs = leads ? nowMs : null;
      // Changefeeds are told by the coordinator's node; another one says nothing of them.
      const views = plane.isCoordinator() ? await plane.list() : [];
      for (const [gauge, value] of gauges) {
        gauge.reset();
        for (const view of views) {
          gauge.set({ namespace: 'default', changefeed: view.id }, value(view));
        }
      }
      refusals.reset();
      counters.reset();
      dispatchers.reset();
      for (const { tree, threads } of await plane.inspect()) {
        for (const [changefeed, spanCount] of dispatchersIn(tree)) {
          dispatchers.set({ namespace: 'default', changefeed }, spanCount);
        }
        for (const [thread, stats] of Object.entries(threads)) {
          for (const [key, value] of Object.entries(stats.refusals)) {
            const [kind = '', reason = ''] = key.split(' ');
            refusals.set({ thread, kind, reason }, value);
          }
          for (const [name, value] of Object.entries(stats.counters)) {
            counters.set({ thread, name }, value);
          }
        }
      }
      return registry.metrics();
    },
  };
}

/** Dispatchers of each changefeed below a node of the tree. */
function dispatchersIn(tree: LiveNode): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const visit = ({ role, state, children = [] }: LiveNode): void => {
    const changefeed = role === 'dispatcher' ? state?.['changefeed'] : undefined;
    if (typeof changefeed === 'string') counts.set(changefeed, (counts.get(changefeed) ?? 0) + 1);
    children.forEach(visit);
  };
  visit(tree);
  return counts;
}
