/** The API over a real single node: changefeeds from generated workloads into SQLite and nothing. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { failure } from '#src/base/failure.ts';
import { NodeControlPlane } from '#workers/api/node-control-plane.ts';
import { UriSeal } from '#workers/uri-seal.ts';
import { call, serve, TestNode, type ApiAnswer } from './api-stage.ts';

async function start(t: TestContext): Promise<TestNode> {
  const node = await TestNode.start();
  t.after(() => node.stop());
  return node;
}

const endless = 'workload://bank?accounts=50&rate=500';
const finite = 'workload://insert?tables=2&rows=5&transactions=100&seed=4';
const base = '/api/v2/changefeeds';

function create(node: TestNode, id: string, more: object = {}): Promise<ApiAnswer> {
  return node.call('POST', base, {
    changefeed_id: id,
    upstream_uri: endless,
    sink_uri: 'blackhole://',
    start: 'oldest',
    ...more,
  });
}

const errorOf = ({ status, body }: ApiAnswer): string =>
  `${status} ${String(body['error_code'])}: ${String(body['error_msg'])}`;

test('a node says who it is, and that it is well', async (t) => {
  const node = await start(t);
  assert.deepEqual((await node.call('GET', '/api/v2/status')).body, {
    version: '1.2.3',
    id: 'node-1',
    cluster_id: 'c',
    pid: process.pid,
    is_owner: true,
    owner_id: 'node-1',
    liveness: 'alive',
  });
  assert.deepEqual(await node.call('GET', '/api/v2/health'), { status: 200, body: {} });
  assert.deepEqual((await node.call('GET', '/api/v2/captures')).body, {
    total: 1,
    items: [
      {
        id: 'node-1',
        address: '127.0.0.1:8300',
        is_owner: true,
        cluster_id: 'c',
        state: 'alive',
        changefeed_count: 0,
        table_count: 0,
      },
    ],
  });
  assert.deepEqual((await node.call('GET', base)).body, { total: 0, items: [] });
});

test('a position that somebody wants to set is refused, not passed over', async (t) => {
  const node = await start(t);
  await create(node, 'f');
  await node.call('POST', `${base}/f/pause`);
  const resume = (body?: object): Promise<ApiAnswer> => node.call('POST', `${base}/f/resume`, body);
  assert.equal(
    errorOf(await resume({ overwrite_checkpoint_ts: 7 })),
    '400 CONFIG_INVALID: overwrite_checkpoint_ts: the position of a changefeed stands downstream, with its data, and cannot be set: remove it, and create another one, of another id, that starts elsewhere',
  );
  assert.equal(
    errorOf(await resume({ checkpoint: 7 })),
    '400 API_INVALID: body must not have "checkpoint"',
  );
  assert.equal((await resume({ overwrite_checkpoint_ts: 0 })).status, 200);
});

test('of two updates at once the second is a conflict that says what to do', async (t) => {
  const node = await start(t);
  await create(node, 'f');
  await node.call('POST', `${base}/f/pause`);
  const answers = await Promise.all(
    [{ memory_quota: 2 ** 25 }, { filter: { rules: ['bank.*'] } }].map((replica_config) =>
      node.call('PUT', `${base}/f`, { replica_config }),
    ),
  );
  const refused = answers.filter(({ status }) => status !== 200);
  assert.deepEqual(refused.map(errorOf), [
    '409 CHANGEFEED_CHANGED: changefeed f was updated by somebody else meanwhile: look at it, and say again what is to change',
  ]);
});

test(
  'the life of a changefeed: created, paused, updated, resumed, removed',
  { timeout: 120_000 },
  async (t) => {
    const node = await start(t);
    const created = await create(node, 'f-1', {
      sink_uri: `sqlite://${join(node.directory, 'copy.sqlite')}`,
      replica_config: { filter: { rules: ['bank.*'] } },
    });
    assert.equal(created.status, 200, JSON.stringify(created.body));
    assert.equal(created.body['upstream_uri'], endless);
    assert.deepEqual((created.body['config'] as Record<string, unknown>)['filter'], {
      rules: ['bank.*'],
    });
    const running = await node.until('f-1', (body) => Number(body['transactions']) > 20);
    assert.equal(running['state'], 'normal', JSON.stringify(running));
    assert.equal(running['maintainer_capture_id'], 'node-1');
    const [listed] = (await node.call('GET', base)).body['items'] as Record<string, unknown>[];
    assert.deepEqual([listed?.['id'], typeof listed?.['lag_ms']], ['f-1', 'number']);
    const tables = (await node.call('GET', `${base}/f-1/tables`)).body;
    assert.equal(tables['total'], 1);
    assert.ok((tables['items'] as { tables: string[] }[])[0]!.tables.includes('bank.account_0'));

    assert.equal(
      errorOf(await node.call('PUT', `${base}/f-1`, { replica_config: {} })),
      '409 CHANGEFEED_STATE: changefeed f-1 is normal: only stopped or failed can be updated',
    );
    assert.deepEqual(await node.call('POST', `${base}/f-1/pause`), { status: 200, body: {} });
    const paused = await node.until('f-1', () => true);
    assert.deepEqual([paused['state'], paused['maintainer_capture_id']], ['stopped', '']);
    assert.equal(
      errorOf(await node.call('POST', `${base}/f-1/pause`)),
      '409 CHANGEFEED_STATE: changefeed f-1 is stopped: only normal or warning can be paused',
    );
    const updated = await node.call('PUT', `${base}/f-1`, {
      replica_config: { memory_quota: 2 ** 25, synced_status: { checkpoint_interval: 7 } },
    });
    const changed = updated.body['config'] as Record<string, unknown>;
    assert.equal(changed['memory-quota'], 2 ** 25);
    assert.deepEqual(changed['synced-status'], {
      'synced-check-interval': 300,
      'checkpoint-interval': 7,
    });
    assert.deepEqual(await node.call('POST', `${base}/f-1/resume`), { status: 200, body: {} });
    const resumed = await node.until(
      'f-1',
      (body) => body['state'] === 'normal' && Number(body['rows']) > 0,
    );
    assert.ok(Number(resumed['checkpoint_ts']) >= Number(paused['checkpoint_ts']));
    const events = join(node.directory, 'feed-events', 'f-1');
    assert.equal(existsSync(events), true);
    assert.deepEqual(await node.call('DELETE', `${base}/f-1`), { status: 200, body: {} });
    // Its ports are closed, and what they kept goes.
    for (let i = 0; i < 200 && existsSync(events); i++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(existsSync(events), false);
    assert.equal(
      errorOf(await node.call('GET', `${base}/f-1`)),
      '404 CHANGEFEED_UNKNOWN: there is no changefeed f-1',
    );
  },
);

/** For how long the node says it has led. */
async function ledSeconds(node: TestNode): Promise<number> {
  const { body } = await node.call('GET', '/metrics');
  const found = /^ticdc_owner_ownership_counter\{capture="node-1"\} (.*)$/m.exec(
    String(body['text']),
  );
  return Number(found?.[1]);
}

test(
  'several changefeeds run side by side, each between its own ends',
  { timeout: 120_000 },
  async (t) => {
    const node = await start(t);
    const files = ['a', 'b'].map((name) => join(node.directory, `${name}.sqlite`));
    for (const [i, file] of files.entries()) {
      const upstream_uri = finite.replace('seed=4', `seed=${i + 1}`);
      const answer = await create(node, `f-${i}`, { upstream_uri, sink_uri: `sqlite://${file}` });
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
    }
    for (const [i, file] of files.entries()) {
      await node.until(`f-${i}`, (body) => Number(body['transactions']) >= 100);
      const database = new DatabaseSync(file);
      const tables = database
        .prepare("SELECT name FROM sqlite_master WHERE name LIKE 'stream.event%'")
        .all();
      database.close();
      assert.equal(tables.length, 2, file);
    }
    const listed = (await node.call('GET', `${base}?state=normal`)).body;
    assert.deepEqual(
      (listed['items'] as { id: string }[]).map(({ id }) => id),
      ['f-0', 'f-1'],
    );
    assert.equal((await node.call('GET', `${base}?state=failed`)).body['total'], 0);
    const before = await ledSeconds(node);
    const { body } = await node.call('GET', '/metrics');
    assert.ok((await ledSeconds(node)) > before, 'who leads counts the seconds');
    assert.match(
      String(body['text']),
      /^ticdc_owner_status\{namespace="default",changefeed="f-0",capture="node-1"\} 0$/m,
    );
    assert.match(
      String(body['text']),
      /^ticdc_dispatchermanager_table_dispatcher_count\{namespace="default",changefeed="f-1",capture="node-1"\} 2$/m,
    );
    assert.match(
      String(body['text']),
      /^sluice_changefeed_rows\{[^}]*changefeed="f-1"[^}]*\} 500$/m,
    );
  },
);

test(
  'a node that starts again on its directory goes on with what ran, and leaves what was paused',
  { timeout: 120_000 },
  async (t) => {
    const first = await TestNode.start();
    const file = join(first.directory, 'a.sqlite');
    await create(first, 'runs', { sink_uri: `sqlite://${file}` });
    await create(first, 'rests');
    const before = await first.until('runs', (body) => Number(body['checkpoint_ts']) > 100);
    await first.until('rests', (body) => Number(body['checkpoint_ts']) > 0);
    await first.call('POST', `${base}/rests/pause`);
    await first.api.close();
    await first.node.close();
    const second = await TestNode.start(first.directory);
    t.after(() => second.stop());
    const rests = await second.until('rests', () => true);
    assert.equal(rests['state'], 'stopped');
    assert.ok(Number(rests['checkpoint_ts']) > 0);
    const runs = await second.until(
      'runs',
      (body) => Number(body['transactions']) > 50 && body['state'] === 'normal',
    );
    assert.ok(Number(runs['checkpoint_ts']) > Number(before['checkpoint_ts']));
  },
);

test(
  'what needs several nodes, or names what is not there, is refused with its code',
  { timeout: 60_000 },
  async (t) => {
    const node = await start(t);
    await create(node, 'f');
    await node.until('f', ({ task_status: placed }) => (placed as unknown[]).length > 0);
    const cases: readonly (readonly [
      method: string,
      path: string,
      body: unknown,
      error: string,
    ])[] = [
      [
        'POST',
        `${base}/f/move_table`,
        { table: 'a.b', target_node_id: 'node-1' },
        '404 TABLE_UNKNOWN: f has no span a.b',
      ],
      [
        'POST',
        `${base}/f/move_table`,
        { table: 'bank.account_0', target_node_id: 'x' },
        '404 CAPTURE_UNKNOWN: there is no capture x',
      ],
      [
        'POST',
        `${base}/f/split_table`,
        { table: 'a.b', part_count: 2 },
        '404 TABLE_UNKNOWN: f has no span a.b',
      ],
      ['POST', `${base}/f/merge_table`, { table: 'a.b' }, '404 TABLE_UNKNOWN: f has no span a.b'],
      [
        'POST',
        `${base}/g/merge_table`,
        { table: 'a.b' },
        '404 CHANGEFEED_UNKNOWN: there is no changefeed g',
      ],
      [
        'POST',
        `${base}/f/move`,
        { target_node_id: 'x' },
        '404 CAPTURE_UNKNOWN: there is no capture x',
      ],
      [
        'POST',
        `${base}/g/move`,
        { target_node_id: 'node-1' },
        '404 CHANGEFEED_UNKNOWN: there is no changefeed g',
      ],
      ['POST', '/api/v2/captures/x/drain', undefined, '404 CAPTURE_UNKNOWN: there is no capture x'],
      [
        'DELETE',
        '/api/v2/captures/x/drain',
        undefined,
        '404 CAPTURE_UNKNOWN: there is no capture x',
      ],
      [
        'POST',
        '/api/v2/captures/node-1/drain',
        undefined,
        '409 CLUSTER_NEEDED: draining a node takes another one, and this is the last',
      ],
      ['POST', `${base}/g/pause`, undefined, '404 CHANGEFEED_UNKNOWN: there is no changefeed g'],
      ['POST', `${base}/g/resume`, undefined, '404 CHANGEFEED_UNKNOWN: there is no changefeed g'],
      ['DELETE', `${base}/g`, undefined, '404 CHANGEFEED_UNKNOWN: there is no changefeed g'],
      ['GET', `${base}/g/tables`, undefined, '404 CHANGEFEED_UNKNOWN: there is no changefeed g'],
      ['GET', `${base}/g/status`, undefined, '404 CHANGEFEED_UNKNOWN: there is no changefeed g'],
      ['GET', `${base}/g/synced`, undefined, '404 CHANGEFEED_UNKNOWN: there is no changefeed g'],
      ['GET', '/api/v2/nothing', undefined, '404 API_UNKNOWN: there is no GET /api/v2/nothing'],
      ['PATCH', `${base}/f`, undefined, `404 API_UNKNOWN: there is no PATCH ${base}/f`],
    ];
    for (const [method, path, body, error] of cases) {
      assert.equal(errorOf(await node.call(method, path, body)), error);
    }
    assert.equal(errorOf(await create(node, 'f')), '409 CHANGEFEED_EXISTS: changefeed f exists');
    const { body } = await node.call('GET', '/api/v2/tree');
    const [tree] = body['items'] as { captureId: string; tree: { path: string } }[];
    assert.deepEqual([body['total'], tree?.captureId, tree?.tree.path], [1, 'node-1', 'capture']);
    assert.match(JSON.stringify(tree), /"path":"capture\/control\/maintainers\/maintainer:f:1"/);
  },
);

test('two creations of one id at once give one changefeed', { timeout: 60_000 }, async (t) => {
  const node = await start(t);
  const answers = await Promise.all([create(node, 'f'), create(node, 'f'), create(node, 'f')]);
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409]);
});

test(
  'passwords are in no answer, log line, metric or stored record',
  { timeout: 60_000 },
  async (t) => {
    const node = await start(t);
    const canary = 's3cr3t-canary';
    const uri = `mysql://u:${canary}@127.0.0.1:1/`;
    const refused = await create(node, 'f', { upstream_uri: uri, sink_uri: uri });
    assert.equal(refused.body['error_code'], 'SOURCE_UNREACHABLE');
    const also = await create(node, 'f', { upstream_uri: `mysql://u:${canary}@/?x=1` });
    const third = await create(node, 'f', { sink_uri: `mysql://u:${canary}%@h/`, extra: canary });
    await create(node, 'g');
    const all = [
      refused,
      also,
      third,
      await node.call('GET', base),
      await node.call('GET', '/metrics'),
    ];
    assert.equal(JSON.stringify(all).includes(canary), false);
    assert.equal(node.logged.join('').includes(canary), false);
    assert.ok(node.logged.some((line) => line.includes('api-request')));
    const stored = readFileSync(join(node.directory, 'coordination', 'coordination.json'), 'utf8');
    assert.equal(stored.includes(canary), false);
  },
);

test('an API with a token refuses whoever does not show it', async (t) => {
  const node = await start(t);
  const api = await serve(node.plane, 'a-token-of-the-api');
  t.after(() => api.close());
  const statusOf = async (path: string, authorization?: string): Promise<number> => {
    const headers = authorization === undefined ? {} : { authorization };
    return (await call(api, 'GET', path, undefined, headers)).status;
  };
  assert.equal(await statusOf(base), 401);
  assert.equal(await statusOf(base, 'Bearer a-token-of-the-apj'), 401);
  assert.equal(await statusOf(base, 'Bearer'), 401);
  assert.equal(await statusOf(base, 'Bearer a-token-of-the-api'), 200);
  assert.equal(await statusOf('/api/v2/health'), 200);
  assert.equal(await statusOf('/metrics'), 200);
});

test(
  'what moves things about is done where there is one node only, as far as it changes nothing',
  { timeout: 60_000 },
  async (t) => {
    const node = await start(t);
    await create(node, 'f');
    await node.until('f', ({ task_status: placed }) => (placed as unknown[]).length > 0);
    const done = { status: 200, body: {} };
    const target_node_id = 'node-1';
    const move = { table: 'bank.account_0', target_node_id };
    assert.deepEqual(await node.call('POST', `${base}/f/move_table`, move), done);
    assert.deepEqual(await node.call('POST', `${base}/f/move`, { target_node_id }), done);
    assert.deepEqual(await node.call('DELETE', '/api/v2/captures/node-1/drain'), done);
    // The node tells of what it runs from time to time.
    let capture: Readonly<Record<string, number>> | undefined;
    do {
      const captures = (await node.call('GET', '/api/v2/captures')).body['items'];
      [capture] = captures as Readonly<Record<string, number>>[];
    } while (capture?.['table_count'] === 0);
    assert.equal(capture?.['changefeed_count'], 1);
    assert.ok(capture['table_count']! > 0);
    const short = (await node.call('GET', `${base}/f/status`)).body;
    assert.partialDeepStrictEqual(short, { state: 'normal', last_error: null, last_warning: null });
    // The coordinator that resigns is followed by the next: of the same node, for there is no other.
    assert.deepEqual(await node.call('POST', '/api/v2/owner/resign'), done);
    await node.until('f', ({ state }) => state === 'normal');
    const before = await node.until('f', () => true);
    await node.until('f', (body) => Number(body['rows']) > Number(before['rows']));
    assert.equal((await node.call('GET', '/api/v2/status')).body['owner_id'], 'node-1');
  },
);

test('a node whose coordinators break is alive, and says so', async (t) => {
  const broken = failure('COORDINATOR_FAILING', 'by fault: x', { retry: 'Again' });
  const plane = new NodeControlPlane({
    clusterId: 'c',
    isCluster: true,
    node: {
      captureId: 'node-2',
      leader: 'node-1',
      trouble: () => broken,
      ask: () => Promise.resolve({ ok: false, failure: broken }),
      inspect: () => Promise.resolve(null),
    },
    address: () => '',
    seal: new UriSeal(UriSeal.newKey()),
    log: () => undefined,
  });
  const api = await serve(plane, null);
  t.after(() => api.close());
  assert.deepEqual(await call(api, 'GET', '/api/v2/health'), {
    status: 503,
    body: { error_code: 'COORDINATOR_FAILING', error_msg: 'by fault: x' },
  });
  assert.equal((await call(api, 'GET', '/api/v2/status')).body['liveness'], 'alive');
});

test('who asks while nobody is coordinator is told so, and when to ask again', async (t) => {
  const absent = failure('COORDINATOR_ABSENT', 'no coordinator answered', { retry: 'Again' });
  const alone = new NodeControlPlane({
    clusterId: 'c',
    isCluster: false,
    node: {
      captureId: 'node-2',
      leader: null,
      trouble: () => absent,
      ask: () => Promise.resolve({ ok: false, failure: absent }),
      inspect: () => Promise.resolve(null),
    },
    address: () => '',
    seal: new UriSeal(UriSeal.newKey()),
    log: () => undefined,
  });
  const api = await serve(alone, null);
  t.after(() => api.close());
  for (const path of [base, `${base}/f`, '/api/v2/captures', '/api/v2/health']) {
    const response = await fetch(`http://${api.address}${path}`);
    assert.equal(response.headers.get('retry-after'), '1', path);
    assert.deepEqual(
      [response.status, await response.json()],
      [503, { error_code: 'COORDINATOR_ABSENT', error_msg: 'no coordinator answered' }],
    );
  }
  const status = (await call(api, 'GET', '/api/v2/status')).body;
  assert.partialDeepStrictEqual(status, {
    is_owner: false,
    owner_id: '',
    id: 'node-2',
    liveness: 'joining',
  });
  assert.match(
    String((await call(api, 'GET', '/metrics')).body['text']),
    /ownership_counter\{.*\} 0/,
  );
});
