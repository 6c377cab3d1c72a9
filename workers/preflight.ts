/**
 * Both ends of a changefeed looked at before it is created or updated: what would make it fail at once is told to the person
 * who asks, not to a log. Uses the very checks that the changefeed makes at its start.
 */
import {
  readTableKeys,
  warnOfKeylessTables,
  type TableKeys,
} from '#src/adapters/mysql-upstream/table-keys.ts';
import { fail, FailureError } from '#src/base/failure.ts';
import type { Position, TimelineSegment } from '#src/model/position.ts';
import type { StartAt } from '#src/model/start-at.ts';
import type { Log } from '#src/ports/log.ts';
import {
  checkSharedSink,
  checkUpstreamUri,
  checkUris,
  openSink,
  openUpstream,
  schemeOf,
} from './ports.ts';
import { demandTarget } from './target-gtid.ts';

/** What to look at. */
export interface PreflightOptions {
  readonly id: string;
  readonly upstreamUri: string;
  readonly sinkUri: string;
  readonly startAt: StartAt;
  /** GTID at which it is to end; null: never. */
  readonly target: string | null;
  readonly rules: readonly string[];
  readonly laneCount: number;
  /** Several nodes may write. */
  readonly isCluster: boolean;
  readonly log: Log;
}

/** What was found: everything is well. */
export interface PreflightResult {
  /** `startAt` resolved, so that a changefeed begins there however late it gets to run. */
  readonly start: Position;
  readonly timeline: readonly TimelineSegment[];
  /** How far the downstream holds a copy under this name already; null when it holds none. */
  readonly copied: Position | null;
  readonly warnings: readonly string[];
}

/** Nothing replicated is written by a check. */
const alwaysOpen = { mayWrite: (): boolean => true };

/** FailureError of the first end that does not fit; it names every missing grant and wrong setting of that end. */
export async function preflight(options: PreflightOptions): Promise<PreflightResult> {
  const { id, upstreamUri, sinkUri, rules, laneCount, log } = options;
  checkUris(upstreamUri, sinkUri, { upstream: 'upstream_uri', sink: 'sink_uri' });
  if (options.isCluster) checkSharedSink(sinkUri, 'sink_uri');
  const upstream = openUpstream({ upstreamUri }, log);
  const sink = openSink({ sinkUri, captureId: `check-${id}`, laneCount }, alwaysOpen, log);
  try {
    const checked = await upstream.call({ kind: 'Check', startAt: options.startAt });
    if (!checked.ok) throw new FailureError(checked.failure);
    if (checked.value.kind !== 'Checked') return fail('INTERNAL_FAULT', 'not an answer to Check');
    const opened = await sink.call({ kind: 'Open', changefeed: id });
    if (!opened.ok) throw new FailureError(opened.failure);
    if (opened.value.kind !== 'Opened') return fail('INTERNAL_FAULT', 'not an answer to Open');
    const { serverId, start, timeline, warnings } = checked.value;
    if (options.target !== null) demandTarget(options.target, checked.value);
    if (isServer(upstreamUri) && isServer(sinkUri) && serverId === opened.value.serverId) {
      fail('SINK_IS_UPSTREAM', 'upstream and sink are the same server');
    }
    const { copied = null } = opened.value;
    const keyless = isServer(upstreamUri) ? await warnOfKeylessTables(upstreamUri, rules) : null;
    return {
      start,
      timeline,
      copied,
      warnings: keyless === null ? warnings : [...warnings, keyless],
    };
  } finally {
    await Promise.allSettled([upstream.close(), sink.close()]);
  }
}

/** What `verify_table` asks: the tables of a filter, by whether they have a key. CONFIG_INVALID for an upstream that is no server. */
export async function verifyTables(
  upstreamUri: string,
  rules: readonly string[],
): Promise<TableKeys> {
  checkUpstreamUri(upstreamUri, 'upstream_uri');
  if (isServer(upstreamUri)) return readTableKeys(upstreamUri, rules);
  return fail('CONFIG_INVALID', 'upstream_uri: a generated workload has no tables to be listed');
}

function isServer(uri: string): boolean {
  return ['mysql', 'mariadb'].includes(schemeOf(uri));
}
