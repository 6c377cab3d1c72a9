/**
 * The catalogue of failure codes, one line each, written for the operator: what it means and what to do.
 * Codes are grouped by the room that raises them. A code is a contract: scripts match on it.
 */
export const failureCatalogue = {
  // configuration and command line
  CONFIG_INVALID:
    'An option, URI or configuration key is wrong. The message lists every problem with its key.',

  // changefeeds and nodes, as API and command line name them
  CHANGEFEED_UNKNOWN: 'There is no changefeed of this id. See sluice changefeed list.',
  CHANGEFEED_EXISTS:
    'A changefeed of this id is there already. Choose another id, or remove it first.',
  CHANGEFEED_STATE:
    'The changefeed is not in a state in which this can be done. The message names both.',
  CHANGEFEED_CHANGED:
    'Two updates of the changefeed were made at once; this is the second. Look at it with sluice changefeed query, and say again what is to change.',
  CAPTURE_UNKNOWN: 'There is no node of this capture id. See sluice capture list.',
  TABLE_UNKNOWN:
    'The changefeed has no span of this name. See sluice changefeed tables; a table is known once it has changed.',
  TABLE_UNSPLITTABLE:
    'The rows of this table must stay in one span. The message says why; a primary key of plain values that is its only unique key can be split.',
  CLUSTER_NEEDED: 'This takes several nodes, and there is one. Start another first.',
  SINK_IS_UPSTREAM:
    'Upstream and downstream are the same server: its own changes would come back for ever.',
  API_INVALID: 'A request to the API does not fit its schema. The message lists every problem.',
  API_UNKNOWN: 'The API has no such path or method.',
  API_UNAUTHORIZED: 'The API wants the token of its configuration as a bearer token.',
  API_UNREACHABLE: 'No server answers at the URL given by --server.',
  SECRET_KEY_WRONG:
    'A stored password was sealed under another key than this node has. Give every node the same key, or remove the changefeed and create it anew.',

  // upstream: start checks
  SOURCE_UNREACHABLE: 'The upstream server does not answer. Check host, port, socket and network.',
  SOURCE_ACCESS_DENIED:
    'The upstream refuses the account. Check user, password and the grants named in the message.',
  SOURCE_GRANT_MISSING: 'The upstream account lacks a grant that the message names.',
  SOURCE_SETTING_WRONG:
    'A server variable of the upstream would make replication wrong. The message names it and the value to set.',
  SOURCE_SERVER_ID_TAKEN:
    'Another replica uses the same server id. Choose another with ?server-id=N in the upstream URI.',
  SOURCE_UNSUPPORTED:
    'The upstream server or a feature it uses is not supported. The message says which.',
  // upstream: stream
  SOURCE_DISCONNECTED:
    'The connection to the upstream ended. Normal on restarts and network trouble; Sluice reconnects.',
  SOURCE_FROZEN: 'The upstream sent neither events nor heartbeats in time. Sluice reconnects.',
  SOURCE_BINLOG_PURGED:
    'The position to start from is no longer in the upstream binary logs. Take a new copy of the data.',
  SOURCE_DIVERGED:
    'The upstream does not know the stored position: its history was reset, or its tail was lost.',
  SOURCE_MOVED:
    'Another server answers at the upstream address, or its log was begun anew. Normal after a failover: the changefeed starts again at its checkpoint, found by GTID.',
  SOURCE_CHECKSUM:
    'An event failed its CRC32. Sluice reconnects; when it persists, the binary log on disk is damaged.',
  SOURCE_CORRUPT: 'An event could not be decoded. The message has file, position and event type.',
  SOURCE_STATEMENT:
    'A data change was logged as a statement, not as rows. Set binlog_format=ROW for every session.',
  SOURCE_INCIDENT:
    'The upstream logged an incident event: its log may lack changes. Take a new copy of the data.',

  // event store
  STORE_FULL: 'The data directory is full or the event store reached its limit.',
  STORE_FAILED: 'The event store could not be read or written.',

  // downstream
  SINK_UNREACHABLE: 'The downstream server does not answer. Check host, port, socket and network.',
  SINK_ACCESS_DENIED:
    'The downstream refuses the account, or a grant named in the message is missing.',
  SINK_DISCONNECTED:
    'The connection to the downstream ended; the outcome of its last transaction is read back.',
  SINK_FENCED: 'A newer owner raised the token of this slot: this writer is stale and stops.',
  SINK_CANARY:
    'The downstream does not enforce the fence (the canary test failed). Strict mode refuses such a server.',
  SINK_TABLE_MISSING:
    'A table that the log names does not exist downstream. Create it, or start from a position before its CREATE.',
  SINK_SCHEMA_MISMATCH:
    'Columns of a table differ between the log and the downstream. The message names them.',
  SINK_ROW_MISSING:
    'A row to change or delete does not exist downstream: the copies differ. Run sluice diff.',
  SINK_ROW_DUPLICATE: 'A row to insert exists downstream: the copies differ. Run sluice diff.',
  SINK_ROW_TOO_LARGE:
    'A row does not fit into max_allowed_packet of the downstream. Raise it there.',
  SINK_BUSY: 'Deadlock or lock wait timeout downstream. Retried.',
  SINK_READ_ONLY: 'The downstream is read-only. Retried until it is writable.',
  SINK_FULL: 'The downstream is out of disk space or table space. Retried until there is room.',
  SINK_REGRESSED:
    'The downstream lost commits that it had confirmed (failover or restored backup). Read back and applied again.',
  SINK_REFUSED: 'The downstream refused a statement. The message has its error number.',
  SINK_DDL_UNCERTAIN:
    'A DDL was under way when its runner died and the table is neither as before nor as after. Compare by hand.',
  SINK_UNSUPPORTED: 'The downstream cannot hold what the upstream logged. The message says what.',

  // comparison of two databases
  DIFF_FAILED:
    'sluice diff could not read a table on one of the servers. The message names the side and the server error.',

  // coordination
  COORDINATION_FAILED: 'The coordination store could not be read or written.',
  COORDINATION_UNREACHABLE:
    'No endpoint of the coordination store answered in time. Normal while it elects a leader; else check --etcd and the network.',
  COORDINATION_UNCERTAIN:
    'The connection to the coordination store broke while a transaction was under way; what it did is read back.',
  COORDINATION_ACCESS_DENIED:
    'The coordination store refuses the account. Check user, password and its permissions on /sluice/<cluster-id>/.',
  COORDINATION_SESSION_LOST:
    'The session of this node ended: it was not renewed in time, or somebody revoked it. The node stops writing.',
  COORDINATION_TOO_LARGE:
    'A call to the coordination store is beyond its bounds. The message says which.',
  COORDINATOR_FAILING:
    'Coordinators of this node break by a fault of Sluice again and again. The message and the log have the fault: please report it. The node tries once a minute; what runs goes on.',
  COORDINATOR_UNHEARD:
    'The coordinator heard fewer than half of the nodes, so another node leads now. Check the network to and from the peer address (--peer-addr) of the node it ran on.',
  COORDINATOR_ABSENT:
    'No coordinator answered: none is elected at the moment, or it cannot be reached. Ask again.',

  // other nodes
  PEER_LISTEN_FAILED:
    'This node cannot listen for other nodes at --peer-addr: the address is taken or not of this machine.',
  PEER_UNREACHABLE: 'Another node does not answer at its peer address. Sluice connects again.',
  PEER_REFUSED:
    'Another node refused the connection: version, cluster, capture id or certificate do not fit. Tried again.',
  PEER_FRAME_CORRUPT:
    'A frame of another node could not be decoded and was dropped: the nodes run versions that do not fit.',
  PEER_FRAME_TOO_LARGE:
    'Something to send to another node is larger than one frame may be. The message has both sizes.',

  // node
  INTERNAL_FAULT:
    'A bug in Sluice. The part that broke was restarted; please report the stack in the log.',
  INTERNAL_BATCH_CORRUPT:
    'A batch of messages could not be decoded: a bug in Sluice, or damaged memory. Nothing of it is delivered.',
  CPU_BUSY:
    'All threads for CPU work are busy and their queue is full. Tried again, or done elsewhere.',
  INTERNAL_STOPPED: 'The part was asked to stop while the call was under way.',
} as const;

/** A code of the catalogue. */
export type FailureCode = keyof typeof failureCatalogue;
