/** The report port: where the coordinator tells the process around it (command line, API) how its changefeeds are. */
import type { Port } from './port.ts';

/** Requests of the port; `status` is a `ChangefeedStatus` of the protocol, passed through as plain data. */
export type ReportRequest<Status> = { readonly kind: 'Status'; readonly status: Status };

/** The report port. */
export type ReportPort<Status> = Port<ReportRequest<Status>, { readonly kind: 'Reported' }>;
