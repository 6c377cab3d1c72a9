import type { Failure } from '../base/failure.ts';

/** The report port: where the control plane tells the process around it (command line, API) what it needs to know. */

/** Requests of the port; `status` and `answer` are values of the protocol, passed through as plain data. */
export type ReportRequest<Status, Answer = never> =
  | { readonly kind: 'Status'; readonly status: Status }
  /** Capture id of the coordinator's node; null while nobody is known to lead. */
  | { readonly kind: 'Leader'; readonly leader: string | null }
  /** Coordinators of this node break; null when that is over. */
  | { readonly kind: 'LeaderTrouble'; readonly failure: Failure | null }
  /** The answer to something the process had asked; once for each. */
  | { readonly kind: 'Answer'; readonly answer: Answer };
