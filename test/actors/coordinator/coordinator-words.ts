/** What is stored and said of changefeeds, as the coordinator's tests need it. */
import { failure } from '#src/base/failure.ts';
import type { Position } from '#src/model/position.ts';
import { newRecord, type ChangefeedRecord } from '#src/protocol/changefeed-record.ts';
import { blankStatus, type ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import { configOf } from '../feed-config.ts';

/** What a stored record may be told to hold. */
export type ToldRecord = Partial<ChangefeedRecord>;

/** A stored record; `epoch` 0 unless said otherwise. */
export function recordOf(id: string, more: ToldRecord = {}): ChangefeedRecord {
  return { ...newRecord(configOf(id), 1), ...more };
}

/** A position; only its place in the order matters. */
export function positionAt(ts: number): Position {
  return { ts, gtid: `0-1-${ts}` };
}

/** What a maintainer says of its changefeed; working and bootstrapped unless said otherwise. */
export function reportOf(
  id: string,
  epoch: number,
  more: Partial<Omit<MaintainerReport, 'status'>> & {
    readonly status?: Partial<ChangefeedStatus>;
  } = {},
): MaintainerReport {
  const { status, ...rest } = more;
  const whole: ChangefeedStatus = { ...blankStatus(id), state: 'normal', ...status };
  const usual = { isWorking: true, isBootstrapped: true, isClosed: false };
  return { id, epoch, ...usual, ...rest, status: whole };
}

/** A maintainer's last word; everything is closed on all nodes unless said otherwise. */
export function lastWord(
  id: string,
  epoch: number,
  status: Partial<ChangefeedStatus> = { state: 'stopped' },
  isClosed = true,
): MaintainerReport {
  return reportOf(id, epoch, { isWorking: false, isBootstrapped: false, isClosed, status });
}

/** The outcome was lost on the way: the store may have done it or not. */
export const uncertain = failure('COORDINATION_UNCERTAIN', 'no answer', { retry: 'Again' });

/** A failure that may heal. */
export const trouble = failure('SINK_DISCONNECTED', 'lost', { retry: 'Reconnect' });
