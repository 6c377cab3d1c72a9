/**
 * Wrong input, and the exact words that answer it. First the API of a real node, then client commands and server options
 * as the command line calls them; what needs a database server is in test/e2e/wrong-input.e2e.test.ts.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { FailureError } from '#src/base/failure.ts';
import {
  createChangefeed,
  queryChangefeed,
  updateChangefeed,
} from '#workers/client-commands/changefeed-command.ts';
import { ApiClient } from '#workers/client-commands/api-client.ts';
import { listCaptures } from '#workers/client-commands/node-command.ts';
import { replicate } from '#workers/replicate-command.ts';
import { server, type ServerOptions } from '#workers/server-command.ts';
import { TestNode } from './api/api-stage.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-wrong-'));
after(() => rmSync(directory, { recursive: true }));

/** A file with `text`, and its path. */
function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

const base = '/api/v2/changefeeds';
/** Nobody listens at port 1. */
const nowhere = 'mysql://u:p@127.0.0.1:1/';
const good = { changefeed_id: 'f', upstream_uri: 'workload://bank', sink_uri: 'blackhole://' };
const idForm = 'letters and digits, in parts joined by single dashes, at most 128';
const known = 'ssl-mode, ssl-ca, ssl-cert, ssl-key';

/** What is asked for beside or in place of {@link good}, or a body that is no object; and the answer. */
const creations: readonly (readonly [body: unknown, answer: string])[] = [
  // shape
  ['{"upstream_uri":', '400 API_INVALID: the body is not JSON'],
  [[], '400 API_INVALID: body must be object'],
  [
    { upstream_uri: undefined, sink_uri: undefined },
    "400 API_INVALID: body must have required property 'upstream_uri'; body must have required property 'sink_uri'",
  ],
  [
    { changefeed_id: 1, sink_uri: '', start: null },
    '400 API_INVALID: body.changefeed_id must be string; body.sink_uri must not be empty; body.start must be string',
  ],
  [
    { sinkuri: 'x', start_ts: 1 },
    '400 API_INVALID: body must not have "sinkuri"; body must not have "start_ts"',
  ],
  [{ replica_config: 'x' }, '400 API_INVALID: body.replica_config must be object'],
  // ids
  [{ changefeed_id: '' }, '400 API_INVALID: body.changefeed_id must not be empty'],
  [{ changefeed_id: 'a_b' }, `400 CONFIG_INVALID: changefeed id "a_b": ${idForm}`],
  [{ changefeed_id: '-a' }, `400 CONFIG_INVALID: changefeed id "-a": ${idForm}`],
  [{ changefeed_id: '../etc' }, `400 CONFIG_INVALID: changefeed id "../etc": ${idForm}`],
  [
    { changefeed_id: 'x'.repeat(129) },
    `400 CONFIG_INVALID: changefeed id "${'x'.repeat(128)}": ${idForm}`,
  ],
  // URIs
  [
    { upstream_uri: 'postgres://u@h/', sink_uri: 'kafka://h/' },
    '400 CONFIG_INVALID: upstream_uri: unknown scheme; use mysql://, mariadb://, workload://; sink_uri: unknown scheme; use mysql://, mariadb://, sqlite://, blackhole://',
  ],
  [
    { upstream_uri: 'localhost:3306' },
    '400 CONFIG_INVALID: upstream_uri: unknown scheme; use mysql://, mariadb://, workload://',
  ],
  [
    { upstream_uri: 'mysql://127.0.0.1/' },
    '400 CONFIG_INVALID: upstream_uri: URI: the user is missing (mysql://USER:PASSWORD@HOST:PORT/)',
  ],
  [
    { upstream_uri: 'mysql://u:p@h:99999/' },
    '400 CONFIG_INVALID: upstream_uri: URI: it is not of the form mysql://user:password@host:port/?key=value',
  ],
  [
    { upstream_uri: 'mysql://:p@h/a/b?x=&x=1#y' },
    '400 CONFIG_INVALID: upstream_uri: URI: parameter "x" has no value; parameter "x" stands twice; the user is missing (mysql://USER:PASSWORD@HOST:PORT/); the path holds more than one database name; a # must be written as %23',
  ],
  [
    { sink_uri: 'mysql://u:100%@h/' },
    '400 CONFIG_INVALID: sink_uri: URI: the password has a % that does not begin an escape (write %25)',
  ],
  [
    { upstream_uri: `${nowhere}?meta-database=x&serverid=3` },
    `400 CONFIG_INVALID: upstream_uri: URI: unknown parameter "meta-database", "serverid"; known are server-id, heartbeat-ms, timeout-ms, ${known}, socket`,
  ],
  [
    { sink_uri: `${nowhere}?server-id=3` },
    `400 CONFIG_INVALID: sink_uri: URI: unknown parameter "server-id"; known are meta-database, allow-galera, ${known}`,
  ],
  [
    { upstream_uri: `${nowhere}?server-id=0` },
    '400 CONFIG_INVALID: upstream_uri: URI: server-id must be a whole number from 1 to 4294967295',
  ],
  [
    { upstream_uri: `${nowhere}?heartbeat-ms=1` },
    '400 CONFIG_INVALID: upstream_uri: URI: heartbeat-ms must be a whole number from 50 to 3600000',
  ],
  [
    { upstream_uri: `${nowhere}?ssl-mode=maybe` },
    '400 CONFIG_INVALID: upstream_uri: URI: ssl-mode must be one of disabled, required, verify-ca, verify-identity',
  ],
  [
    { sink_uri: `${nowhere}?ssl-ca=/nonexistent/ca.pem` },
    '400 CONFIG_INVALID: sink_uri: URI: the file of ssl-ca cannot be read',
  ],
  [
    { sink_uri: `${nowhere}?ssl-cert=/dev/null` },
    '400 CONFIG_INVALID: sink_uri: URI: ssl-cert and ssl-key belong together',
  ],
  [
    { sink_uri: `${nowhere}?ssl-mode=disabled&ssl-ca=/dev/null` },
    '400 CONFIG_INVALID: sink_uri: URI: ssl-mode=disabled with certificates',
  ],
  [
    { sink_uri: 'sqlite://' },
    '400 CONFIG_INVALID: sink_uri: the sink is not sqlite:///path/to/file',
  ],
  [
    { upstream_uri: 'workload://nothing' },
    '400 CONFIG_INVALID: upstream_uri: workload URI: kind is none of bank, insert, hot',
  ],
  [
    { upstream_uri: 'workload://bank?accounts=-1&foo=2' },
    '400 CONFIG_INVALID: upstream_uri: workload URI: foo: no such parameter; accounts: an integer from 2 to 10000000',
  ],
  // the ends
  [
    { upstream_uri: nowhere },
    '422 SOURCE_UNREACHABLE: no connection to the upstream (ECONNREFUSED)',
  ],
  [{ sink_uri: nowhere }, '422 SINK_UNREACHABLE: the downstream cannot be reached (ECONNREFUSED)'],
  [{ start: 'yesterday' }, '422 SOURCE_DIVERGED: the workload has no transaction yesterday'],
  // configuration
  [
    {
      replica_config: { memory_quota: 1, foo: 2, filter: { rules: [] }, sink: { lane_count: 0.5 } },
    },
    '400 CONFIG_INVALID: replica_config: memory-quota: Too small: expected number to be >=16777216; filter.rules: Too small: expected array to have >=1 items; sink.lane-count: Invalid input: expected int, received number; file: Unrecognized key: "foo"',
  ],
  [
    { replica_config: { changefeed_error_stuck_duration: 'soon' } },
    '400 CONFIG_INVALID: replica_config: changefeed-error-stuck-duration: a number with s, m or h, e.g. 30m',
  ],
  ...['0s', '1799s', '29m', '8761h'].map(
    (changefeed_error_stuck_duration) =>
      [
        { replica_config: { changefeed_error_stuck_duration } },
        '400 CONFIG_INVALID: replica_config: changefeed-error-stuck-duration: from 30m to 8760h',
      ] as const,
  ),
  [
    { replica_config: { filter: { rules: ['a', 'b.', '*.*.*'] } } },
    '400 CONFIG_INVALID: filter rules: "a": a rule has the form schema.table; "b.": a name is missing; "*.*.*": a name with a dot stands in backquotes',
  ],
];

test(
  'a changefeed that cannot be created is refused in exact words',
  { timeout: 120_000 },
  async (t) => {
    const node = await TestNode.start();
    t.after(() => node.stop());
    for (const [given, answer] of creations) {
      const isPlain = typeof given === 'object' && !Array.isArray(given);
      const { status, body } = await node.call(
        'POST',
        base,
        isPlain ? { ...good, ...given } : given,
      );
      assert.equal(`${status} ${String(body['error_code'])}: ${String(body['error_msg'])}`, answer);
    }
    assert.deepEqual((await node.call('GET', base)).body, { total: 0, items: [] });
  },
);

test('a sink that nodes cannot share is refused in a cluster', { timeout: 60_000 }, async (t) => {
  const node = await TestNode.start(undefined, true);
  t.after(() => node.stop());
  for (const scheme of ['sqlite', 'blackhole', 'SQLite']) {
    const sink_uri = `${scheme}:///tmp/copy.db`;
    const { status, body } = await node.call('POST', base, { ...good, sink_uri });
    assert.equal(
      `${status} ${String(body['error_code'])}: ${String(body['error_msg'])}`,
      `400 CONFIG_INVALID: sink_uri: ${scheme.toLowerCase()}:// is one process's own; nodes of a cluster need mysql:// or mariadb://`,
    );
  }
  // URIs that are wrong anyway are told first.
  const wrong = await node.call('POST', base, { ...good, sink_uri: 'sqlite://' });
  assert.equal(wrong.body['error_msg'], 'sink_uri: the sink is not sqlite:///path/to/file');
  assert.deepEqual((await node.call('GET', base)).body, { total: 0, items: [] });
});

test(
  'other requests that do not fit are refused in exact words',
  { timeout: 60_000 },
  async (t) => {
    const node = await TestNode.start();
    t.after(() => node.stop());
    const cases: readonly (readonly [
      method: string,
      path: string,
      body: unknown,
      answer: string,
    ])[] = [
      [
        'POST',
        `${base}/f/split_table`,
        { table: '', part_count: 1 },
        '400 API_INVALID: body.table must not be empty; body.part_count must be >= 2',
      ],
      [
        'POST',
        `${base}/f/move_table`,
        { table: 'a.b' },
        "400 API_INVALID: body must have required property 'target_node_id'",
      ],
      [
        'POST',
        `${base}/f/split_table`,
        { table: 'a.b', part_count: 65 },
        '400 API_INVALID: body.part_count must be <= 64',
      ],
      [
        'POST',
        `${base}/f/split_table`,
        { table: 'a.b', part_count: 2.5 },
        '400 API_INVALID: body.part_count must be integer',
      ],
      [
        'POST',
        `${base}/f/move`,
        { target_node_id: '', table: 'a.b' },
        '400 API_INVALID: body must not have "table"; body.target_node_id must not be empty',
      ],
      ['PUT', `${base}/f`, {}, '400 API_INVALID: body must not be empty'],
      ['POST', base, 'x'.repeat(2 ** 21), '413 API_INVALID: Request body is too large'],
      ['GET', `${base}?stat=x`, undefined, '400 API_INVALID: querystring must not have "stat"'],
      [
        'GET',
        `${base}/%zz`,
        undefined,
        `400 API_INVALID: '${base}/%zz' is not a valid url component`,
      ],
      [
        'GET',
        `${base}/${'x'.repeat(257)}`,
        undefined,
        `414 API_INVALID: '${base}/${'x'.repeat(257)}' is exceeding the max param length`,
      ],
    ];
    for (const [method, path, body, answer] of cases) {
      const { status, body: said } = await node.call(method, path, body);
      assert.equal(`${status} ${String(said['error_code'])}: ${String(said['error_msg'])}`, answer);
    }
  },
);

/** What a command throws, as the command line prints it. */
async function wordsOf(run: () => Promise<unknown>): Promise<string> {
  try {
    await run();
    return 'no failure';
  } catch (error) {
    if (error instanceof FailureError) return error.message;
    throw error;
  }
}

const client = { server: 'http://127.0.0.1:1' };
const creation = {
  ...client,
  changefeedId: 'f',
  upstream: 'workload://bank',
  sinkUri: 'blackhole://',
  start: 'now',
  confirm: false,
};

const replication = {
  upstream: 'workload://bank',
  sinkUri: 'blackhole://',
  start: 'now',
  untilCaughtUp: false,
  logLevel: 'silent',
} as const;

test('client commands and a replication refuse wrong options in exact words, before or without a server', async () => {
  const broken = file('broken.toml', 'memory-quota = \n');
  const hasty = file('hasty.toml', "changefeed-error-stuck-duration = '0s'\n");
  const wrong = file('wrong.toml', '[filter]\nrule = ["a.b"]\n[sink]\nlane-count = 65\n');
  const cases: readonly (readonly [run: () => Promise<unknown>, words: string])[] = [
    [() => listCaptures(client), 'API_UNREACHABLE: no sluice server answers at http://127.0.0.1:1'],
    [
      () => listCaptures({ server: 'http://127.0.0.1:2,http://127.0.0.1:3/' }),
      'API_UNREACHABLE: no sluice server answers at http://127.0.0.1:2, http://127.0.0.1:3',
    ],
    [
      () => listCaptures({ server: 'http://127.0.0.1:1,h' }),
      'CONFIG_INVALID: --server: "h" is not of the form http://HOST:PORT',
    ],
    [
      () => listCaptures({ server: 'localhost:8300' }),
      'CONFIG_INVALID: --server: "localhost:8300" is not of the form http://HOST:PORT',
    ],
    [
      () => listCaptures({ server: 'ftp://root:hunter2@h' }),
      'CONFIG_INVALID: --server: "ftp://root:***@h" is not of the form http://HOST:PORT',
    ],
    [
      () => listCaptures({ ...client, tokenFile: '/nonexistent/token' }),
      'CONFIG_INVALID: --token-file: /nonexistent/token cannot be read',
    ],
    [
      () => listCaptures({ ...client, tokenFile: file('token', 'short') }),
      'CONFIG_INVALID: --token-file: a token has at least 16 characters',
    ],
    [
      () => queryChangefeed({ ...client, changefeedId: 'a b' }),
      `CONFIG_INVALID: changefeed id "a b": ${idForm}`,
    ],
    [
      () => createChangefeed({ ...creation, upstream: 'x', sinkUri: 'y' }),
      'CONFIG_INVALID: --upstream: unknown scheme; use mysql://, mariadb://, workload://; --sink-uri: unknown scheme; use mysql://, mariadb://, sqlite://, blackhole://',
    ],
    [
      () => updateChangefeed({ ...client, changefeedId: 'f', sinkUri: 'mysql://h/' }),
      'CONFIG_INVALID: --sink-uri: URI: the user is missing (mysql://USER:PASSWORD@HOST:PORT/)',
    ],
    [
      () => createChangefeed({ ...creation, config: '/nonexistent/f.toml' }),
      "CONFIG_INVALID: /nonexistent/f.toml: ENOENT: no such file or directory, open '/nonexistent/f.toml'",
    ],
    [
      () => createChangefeed({ ...creation, config: wrong }),
      `CONFIG_INVALID: ${wrong}: filter: Unrecognized key: "rule"; sink.lane-count: Too big: expected number to be <=64`,
    ],
    [
      () => createChangefeed({ ...creation, config: hasty }),
      `CONFIG_INVALID: ${hasty}: changefeed-error-stuck-duration: from 30m to 8760h`,
    ],
    [
      () => replicate({ ...replication, config: hasty }),
      `CONFIG_INVALID: ${hasty}: changefeed-error-stuck-duration: from 1s to 8760h`,
    ],
    [
      () => replicate({ ...replication, changefeedId: 'a_b' }),
      `CONFIG_INVALID: changefeed id "a_b": ${idForm}`,
    ],
    [
      () => createChangefeed(creation),
      'API_UNREACHABLE: no sluice server answers at http://127.0.0.1:1',
    ],
  ];
  for (const [run, words] of cases) assert.equal(await wordsOf(run), words);
  assert.match(
    await wordsOf(() => createChangefeed({ ...creation, config: broken })),
    /^CONFIG_INVALID: .*broken\.toml: Invalid TOML document/,
  );
});

test('a server refuses wrong options in exact words, before anything is opened', async () => {
  const options: ServerOptions = {
    addr: '127.0.0.1:0',
    peerAddr: '127.0.0.1:0',
    dataDir: join(directory, 'data'),
    clusterId: 'c',
    leaseTtl: 10,
    onFence: 'rejoin',
    logLevel: 'silent',
  };
  const etcd = 'http://127.0.0.1:1';
  const keyed = (path: string): string =>
    file(`${basename(path)}.toml`, `[security]\nsecret-key-path = "${path}"\n`);
  const half = file('half.toml', '[security]\nca-path = "ca.pem"\n');
  const foreign = file('foreign.toml', 'log-level = "info"\n[security]\ncert-allowed-cn = "x"\n');
  const cases: readonly (readonly [Partial<ServerOptions>, words: string])[] = [
    [{ addr: '8300' }, 'CONFIG_INVALID: --addr: "8300" is not of the form HOST:PORT'],
    [{ addr: 'h:70000' }, 'CONFIG_INVALID: --addr: "h:70000" is not of the form HOST:PORT'],
    [
      { addr: '0.0.0.0:0' },
      'CONFIG_INVALID: --addr: 0.0.0.0:0 is not loopback: set security.api-token-path',
    ],
    [
      {
        addr: '192.0.2.1:8300',
        config: file(
          't.toml',
          `[security]\napi-token-path = "${file('t', 'a-token-of-the-api')}"\n`,
        ),
      },
      'CONFIG_INVALID: --addr: cannot listen at 192.0.2.1:8300',
    ],
    [
      { peerAddr: '::1:8301' },
      'CONFIG_INVALID: --peer-addr: "::1:8301" is not of the form HOST:PORT',
    ],
    [
      { clusterId: 'a/b' },
      'CONFIG_INVALID: --cluster-id: "a/b": letters, digits and . _ : -, at most 128',
    ],
    [
      { etcd: 'http://h:2379,h:2379' },
      'CONFIG_INVALID: --etcd: member 2 is not of the form http://host:port',
    ],
    [
      { etcd: 'etcd://root:hunter2@h:2379' },
      'CONFIG_INVALID: --etcd: member 1 is not of the form http://host:port',
    ],
    [{ etcd, leaseTtl: 1 }, 'CONFIG_INVALID: --lease-ttl: from 2 to 300 seconds'],
    [
      { etcd, peerAddr: '0.0.0.0:8301' },
      'CONFIG_INVALID: --peer-addr: 0.0.0.0:8301: name the address at which other nodes reach it',
    ],
    [
      { etcd, peerAddr: '192.0.2.1:8301' },
      'CONFIG_INVALID: --peer-addr: 192.0.2.1:8301 is not loopback: set security.ca-path, cert-path and key-path',
    ],
    [
      { etcd, config: keyed('/nonexistent/key') },
      'CONFIG_INVALID: security.secret-key-path: /nonexistent/key cannot be read',
    ],
    [
      { etcd, config: keyed(file('short.key', 'abc')) },
      `CONFIG_INVALID: security.secret-key-path: ${join(directory, 'short.key')} does not hold 64 hexadecimal digits`,
    ],
    [
      { config: half },
      `CONFIG_INVALID: ${half}: security.ca-path, cert-path and key-path belong together`,
    ],
    [
      { config: foreign },
      `CONFIG_INVALID: ${foreign}: security.cert-allowed-cn: Invalid input: expected array, received string; file: Unrecognized key: "log-level"`,
    ],
    [
      { config: file('n.toml', '[security]\napi-token-path = "/nonexistent"\n') },
      'CONFIG_INVALID: security.api-token-path: /nonexistent cannot be read',
    ],
    [{ dataDir: '/dev/null/data' }, 'CONFIG_INVALID: --data-dir: /dev/null/data cannot be made'],
  ];
  for (const [wrong, words] of cases) {
    assert.equal(await wordsOf(() => server({ ...options, ...wrong }, '1.2.3')), words);
  }
});

test('a data directory belongs to one process at a time', { timeout: 60_000 }, async (t) => {
  const node = await TestNode.start();
  t.after(() => node.stop());
  assert.match(
    await wordsOf(() => TestNode.start(node.directory)),
    /^COORDINATION_FAILED: .*another process/,
  );
});

test(
  'of several servers the first that can be reached is asked, and no other',
  { timeout: 60_000 },
  async (t) => {
    const node = await TestNode.start();
    t.after(() => node.stop());
    const api = new ApiClient({ server: `http://127.0.0.1:2,http://${node.api.address}` });
    assert.equal((await api.get('/captures'))['total'], 1);
    // One that takes the connection may have taken the request: nobody else is asked the same.
    const cutting = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    t.after(() => cutting.close());
    await once(cutting, 'listening');
    const { port } = cutting.address() as AddressInfo;
    const cut = new ApiClient({ server: `http://127.0.0.1:${port},http://${node.api.address}` });
    assert.equal(
      await wordsOf(() => cut.post('/owner/resign')),
      `API_UNREACHABLE: no sluice server answers at http://127.0.0.1:${port}`,
    );
  },
);
