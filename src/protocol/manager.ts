/** What others say to a dispatcher manager: its maintainer schedules, its dispatchers report. */
import type { Failure } from '../base/failure.ts';
import type { Guards } from '../kernel/behaviour.ts';

/** Messages to a dispatcher manager. */
export type ManagerMessage = ScheduleDispatcher | DispatcherWatermark | DispatcherFailed;

/** Start a dispatcher for `span`. `token` is fresh; slots that do not exist yet begin at `startTs`. */
export interface ScheduleDispatcher {
  readonly kind: 'ScheduleDispatcher';
  readonly span: string;
  readonly token: number;
  readonly startTs: number;
}

/** Everything of the span with commitTs ≤ checkpointTs is committed downstream; counters since the last report. */
export interface DispatcherWatermark {
  readonly kind: 'DispatcherWatermark';
  readonly span: string;
  readonly checkpointTs: number;
  readonly rows: number;
  readonly writtenRows: number;
  readonly transactions: number;
  readonly commitMs: number;
}

/** A dispatcher's last word. */
export interface DispatcherFailed {
  readonly kind: 'DispatcherFailed';
  readonly span: string;
  readonly failure: Failure;
}

/** See {@link ManagerMessage}. */
export const managerGuards: Guards<ManagerMessage> = {
  ScheduleDispatcher: 'owner',
  DispatcherWatermark: 'echo',
  DispatcherFailed: 'echo',
};
