/** The report port: where the coordinator tells the process around it (command line, API) how its changefeeds are. */

/** Requests of the port; `status` is a `ChangefeedStatus` of the protocol, passed through as plain data. */
export type ReportRequest<Status> = { readonly kind: 'Status'; readonly status: Status };
