/**
 * JSON schemas of the HTTP API (DESIGN §13): every body and every answer. Field names are those of TiCDC's OpenAPI v2 where
 * the meaning is the same.
 */
import { partCountMax } from '#src/model/span.ts';

const text = { type: 'string' } as const;
const count = { type: 'integer' } as const;
const strict = { type: 'object', additionalProperties: false } as const;
const uri = { type: 'string', minLength: 1, maxLength: 8_192 } as const;
const gtid = { type: 'string', minLength: 1, maxLength: 65_536 } as const;
const id = { type: 'string', minLength: 1, maxLength: 256 } as const;
const nullable = <T extends object>(schema: T) => ({ anyOf: [schema, { type: 'null' }] }) as const;
const listOf = (items: object) =>
  ({
    ...strict,
    required: ['total', 'items'],
    properties: { total: count, items: { type: 'array', items } },
  }) as const;

/** Keys of a changefeed's configuration file; checked by the same code as the file, which names every problem. */
const replicaConfig = { type: 'object', maxProperties: 64 } as const;

const failure = {
  ...strict,
  properties: { time: text, addr: text, code: text, message: text },
} as const;

const changefeedCommon = {
  id: text,
  namespace: text,
  state: text,
  stage: text,
  checkpoint_ts: count,
  checkpoint_tso: count,
  checkpoint_gtid: text,
  checkpoint_time: text,
  resolved_ts: count,
  lag_ms: count,
  error: nullable(failure),
} as const;

const changefeed = {
  ...strict,
  properties: {
    ...changefeedCommon,
    upstream_uri: text,
    sink_uri: text,
    create_time: text,
    start_gtid: text,
    target_gtid: text,
    config: { type: 'object', additionalProperties: true },
    warnings: { type: 'array', items: text },
    table_count: count,
    rows: count,
    transactions: count,
    ddl: count,
    maintainer_addr: text,
    maintainer_capture_id: text,
    task_status: {
      type: 'array',
      items: { ...strict, properties: { capture_id: text, table_count: count } },
    },
  },
} as const;

const tableName = { ...strict, properties: { database_name: text, table_name: text } } as const;
const done = { ...strict, properties: {} } as const;
const errorAnswer = {
  ...strict,
  required: ['error_code', 'error_msg'],
  properties: { error_code: text, error_msg: text },
} as const;
const errors = { '4xx': errorAnswer, '5xx': errorAnswer } as const;
const answers = (schema: object) => ({ 200: schema, ...errors });
const byId = { ...strict, required: ['id'], properties: { id } } as const;

/** Schema of each route, by its name. */
export const schemas = {
  status: {
    response: answers({
      ...strict,
      properties: {
        version: text,
        id: text,
        cluster_id: text,
        pid: count,
        is_owner: { type: 'boolean' },
        owner_id: text,
        liveness: text,
      },
    }),
  },
  health: { response: answers(done) },
  captures: {
    response: answers(
      listOf({
        ...strict,
        properties: {
          id: text,
          address: text,
          is_owner: { type: 'boolean' },
          cluster_id: text,
          state: text,
          changefeed_count: count,
          table_count: count,
        },
      }),
    ),
  },
  list: {
    querystring: { ...strict, properties: { state: { type: 'string', maxLength: 32 } } },
    response: answers(listOf({ ...strict, properties: changefeedCommon })),
  },
  query: { params: byId, response: answers(changefeed) },
  create: {
    body: {
      ...strict,
      required: ['upstream_uri', 'sink_uri'],
      properties: {
        changefeed_id: id,
        upstream_uri: uri,
        sink_uri: uri,
        start: { ...gtid, default: 'now' },
        target_gtid: gtid,
        replica_config: replicaConfig,
      },
    },
    response: answers(changefeed),
  },
  verifyTable: {
    body: {
      ...strict,
      required: ['upstream_uri'],
      properties: { upstream_uri: uri, replica_config: replicaConfig },
    },
    response: answers({
      ...strict,
      properties: {
        eligible_tables: { type: 'array', items: tableName },
        ineligible_tables: { type: 'array', items: tableName },
        all_tables: { type: 'array', items: tableName },
      },
    }),
  },
  update: {
    params: byId,
    body: {
      ...strict,
      minProperties: 1,
      properties: {
        sink_uri: uri,
        target_gtid: { ...gtid, nullable: true },
        replica_config: replicaConfig,
      },
    },
    response: answers(changefeed),
  },
  changefeedStatus: {
    params: byId,
    response: answers({
      ...strict,
      properties: {
        state: text,
        resolved_ts: count,
        checkpoint_ts: count,
        last_error: nullable(failure),
        last_warning: nullable(failure),
      },
    }),
  },
  action: { params: byId, response: answers(done) },
  resume: {
    params: byId,
    // No body at all is the usual one.
    body: { ...strict, nullable: true, properties: { overwrite_checkpoint_ts: count } },
    response: answers(done),
  },
  tables: {
    params: byId,
    response: answers(
      listOf({
        ...strict,
        properties: { node_id: text, tables: { type: 'array', items: text } },
      }),
    ),
  },
  synced: {
    params: byId,
    response: answers({
      ...strict,
      properties: {
        synced: { type: 'boolean' },
        sink_checkpoint_ts: text,
        puller_resolved_ts: text,
        last_synced_ts: text,
        now_ts: text,
        info: text,
      },
    }),
  },
  moveTable: {
    params: byId,
    body: {
      ...strict,
      required: ['table', 'target_node_id'],
      properties: { table: id, target_node_id: id },
    },
    response: answers(done),
  },
  splitTable: {
    params: byId,
    body: {
      ...strict,
      required: ['table', 'part_count'],
      properties: { table: id, part_count: { type: 'integer', minimum: 2, maximum: partCountMax } },
    },
    response: answers(done),
  },
  mergeTable: {
    params: byId,
    body: { ...strict, required: ['table'], properties: { table: id } },
    response: answers(done),
  },
  moveChangefeed: {
    params: byId,
    body: { ...strict, required: ['target_node_id'], properties: { target_node_id: id } },
    response: answers(done),
  },
  drain: { params: byId, response: answers(done) },
  resign: { response: answers(done) },
  tree: { response: answers(listOf({ type: 'object', additionalProperties: true })) },
} as const;
