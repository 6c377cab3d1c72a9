/**
 * What the API asks of the control plane, of any node: whoever is coordinator answers.
 * Every method may throw a FailureError; nothing that comes out holds a credential.
 */
import type { ChangefeedFile } from '#src/config/changefeed-file.ts';
import type { Failure } from '#src/base/failure.ts';
import type { ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { Inspection } from '../inspection.ts';

/** A changefeed to create. */
export interface ChangefeedRequest {
  readonly id: string;
  /** Hold credentials: never logged, answered or put into a failure. */
  readonly upstreamUri: string;
  readonly sinkUri: string;
  /** `now`, `oldest` or a GTID. */
  readonly start: string;
  /** GTID (MySQL: set) up to which it copies; null: for ever. */
  readonly target: string | null;
  readonly config: ChangefeedFile;
}

/** What may be changed of a changefeed that is stopped or failed; what is absent stays. */
export interface ChangefeedChange {
  readonly sinkUri?: string;
  /** Null: it goes on for ever. */
  readonly target?: string | null;
  readonly config?: ChangefeedFile;
}

/** A changefeed as it is shown. */
export interface ChangefeedView {
  readonly id: string;
  /** Credentials masked. */
  readonly upstreamUri: string;
  readonly sinkUri: string;
  /** GTID from which it began. */
  readonly start: string;
  /** GTID at which it ends; null: never. */
  readonly target: string | null;
  readonly createdMs: number;
  readonly config: ChangefeedFile;
  readonly status: ChangefeedStatus;
  /** Capture id of its maintainer's node; null while it has none. */
  readonly maintainer: string | null;
}

/** Where the spans of a changefeed are. */
export interface PlacedSpans {
  /** Null: they have no place at the moment. */
  readonly captureId: string | null;
  readonly spans: readonly string[];
}

/** A running node. */
export interface CaptureView {
  readonly id: string;
  /** `HOST:PORT` of its API. */
  readonly address: string;
  readonly isCoordinator: boolean;
  readonly clusterId: string;
  /** `lingering`: it went without a word, and what it had under way may still come. */
  readonly state: 'alive' | 'draining' | 'lingering';
  /** Changefeeds maintained, and spans served there. */
  readonly maintainerCount: number;
  readonly spanCount: number;
}

/** A place for a span, by table name. */
export interface TableMove {
  readonly table: string;
  readonly captureId: string;
}

/** See the top of this file. */
export interface ControlPlane {
  /** Of this node; another one after every fence. */
  readonly captureId: () => string;
  readonly clusterId: string;
  /** Capture id of the coordinator's node; null while nobody is known to lead. */
  readonly coordinator: () => string | null;
  readonly isCoordinator: () => boolean;
  /** Why the control plane cannot be asked now; null when all is well. */
  readonly trouble: () => Failure | null;

  readonly captures: () => Promise<readonly CaptureView[]>;
  readonly list: () => Promise<readonly ChangefeedView[]>;
  readonly query: (id: string) => Promise<ChangefeedView>;
  /** Checks both ends first, so that whatever would make the changefeed fail at once is refused here. */
  readonly create: (request: ChangefeedRequest) => Promise<ChangefeedView>;
  readonly update: (id: string, change: ChangefeedChange) => Promise<ChangefeedView>;
  /** Resolves when its checkpoint is saved and nothing of it runs. */
  readonly pause: (id: string) => Promise<void>;
  readonly resume: (id: string) => Promise<void>;
  readonly remove: (id: string) => Promise<void>;

  readonly tables: (id: string) => Promise<readonly PlacedSpans[]>;
  readonly moveTable: (id: string, move: TableMove) => Promise<void>;
  readonly splitTable: (id: string, table: string, partCount: number) => Promise<void>;
  readonly mergeTable: (id: string, table: string) => Promise<void>;
  /** Its maintainer goes to another node; resolves when it works there. */
  readonly moveChangefeed: (id: string, captureId: string) => Promise<void>;
  /** Everything leaves a node, and nothing is placed there; null ends that. */
  readonly drain: (captureId: string | null) => Promise<void>;
  readonly resign: () => Promise<void>;

  /** The supervision tree of this node as it lives; none while it has no capture. */
  readonly inspect: () => Promise<readonly Inspection[]>;
}
