import type { EpochMode } from '#src/kernel/door.ts';

/** What a thread needs to open its ports: plain data that crosses to a worker once, at its start. Holds credentials. */
export interface CaptureSettings {
  /** What epoch 0 means; default `strict`. `compat` only for rolling upgrades from a version without epochs. */
  readonly epochMode?: EpochMode;
  readonly clusterId: string;
  readonly upstreamUri: string;
  readonly sinkUri: string;
  /** Event store, embedded coordination. */
  readonly dataDirectory: string;
  readonly isTemporary: boolean;
  /** Names this run in the downstream's lock names and logs. */
  readonly captureId: string;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error' | 'silent';
  readonly storeBytesMax: number;
  /** Lanes per span of a MySQL-family sink. */
  readonly laneCount: number;
  /** Changefeeds come and go by the API; absent: the process was started for one, which somebody looks at. */
  readonly server?: ServerSettings;
  /** This node as one of a cluster; absent: one process with embedded coordination. */
  readonly cluster?: ClusterSettings;
}

/** What a node needs to serve changefeeds of others. */
export interface ServerSettings {
  readonly changefeedCountMax: number;
  /** Opens the passwords of their endpoints: see uri-seal.ts. */
  readonly secretKey: string;
}

/** How a node takes part in a cluster. */
export interface ClusterSettings {
  /** The option `--etcd`. */
  readonly etcdUrls: string;
  readonly leaseTtlMs: number;
  /** `host:port` at which others reach its API. */
  readonly apiAddress: string;
  /** `host:port` where it listens for the links of others, and where they reach it; port 0 is chosen by the system. */
  readonly peerAddress: string;
  /** Certificate files of the links between nodes; null: plain text. */
  readonly tls: PeerTlsFiles | null;
  /** Plain text beyond loopback too. */
  readonly allowPlainText: boolean;
  /** Of the program. */
  readonly version: string;
}

/** Certificate files of a node. */
export interface PeerTlsFiles {
  readonly caPath: string;
  readonly certPath: string;
  readonly keyPath: string;
  /** When not empty, a certificate of another node must carry one of these names. */
  readonly allowedNames: readonly string[];
}
