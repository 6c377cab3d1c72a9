import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inspect } from 'node:util';
import { openEtcdCoordination } from '#src/adapters/etcd-coordination/etcd-coordination.ts';
import { readEtcdError } from '#src/adapters/etcd-coordination/etcd-failure.ts';
import { parseEtcdUrls } from '#src/adapters/etcd-coordination/etcd-url.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-url-'));
const pem = join(directory, 'a.pem');
writeFileSync(pem, 'PEM');
after(() => rmSync(directory, { recursive: true }));

test('members, account and certificates are read; the password cannot be seen', () => {
  const one = parseEtcdUrls('http://h1:2379, http://h2,http://[::1]:23');
  assert.deepEqual(one, {
    hosts: ['h1:2379', 'h2:2379', '[::1]:23'],
    account: null,
    tls: null,
  });
  const two = parseEtcdUrls(`https://u%40:p%2Fw@h:1/?ca=${pem}&cert=${pem}&key=${pem}`);
  assert.equal(two.account?.user, 'u@');
  assert.equal(two.account?.password.reveal(), 'p/w');
  assert.equal(String(two.tls?.client?.key), 'PEM');
  assert.ok(!inspect(two, { depth: 9 }).includes('p/w') && !JSON.stringify(two).includes('p/w'));
  assert.deepEqual(parseEtcdUrls('https://h').tls, { ca: null, client: null });
});

test('every problem is named, no URL is repeated', () => {
  const cases: readonly (readonly [option: string, ...problems: string[]])[] = [
    ['', 'member 1 is not of the form'],
    ['h:1', 'member 1 is not of the form'],
    ['http://h:1,ftp://h:2', 'member 2 is not of the form'],
    ['http://h:1/path', 'member 1 has a path'],
    ['http://h:80', 'port 80'],
    ['https://u:secret@h:443', 'port 80 or 443'],
    ['http://:secret@h', 'a password without a user'],
    ['http://u:secret@h:1,http://u:other@h:2', 'the account differs'],
    ['http://h:1,https://h:2', 'the scheme differs'],
    ['http://u:secret%@h', 'the password has a %'],
    ['http://h/?ca=x', 'certificates need https'],
    ['https://h/?ca=/none/secret', 'the file of ca cannot be read'],
    [`https://h/?cert=${pem}`, 'cert and key belong together'],
    [`https://h/?ca=${pem}&ca=${pem}`, 'stands twice'],
    ['https://h/?cacert=x', 'unknown cacert; known are ca, cert, key'],
    ['http://h/#secret', '%23'],
    [Array.from({ length: 17 }, (_, i) => `http://h:${i + 1}`).join(','), 'more than 16'],
    ['http://h/p,https://h/?x=1', 'member 1 has a path', 'the scheme differs'],
  ];
  for (const [urls, ...problems] of cases) {
    assert.throws(
      () => openEtcdCoordination({ urls }),
      (error: Error) =>
        error.message.startsWith('CONFIG_INVALID: --etcd: ') &&
        problems.every((problem) => error.message.includes(problem)) &&
        !error.message.includes('secret'),
      urls,
    );
  }
});

test('what an error says about the request', () => {
  const cases = [
    ['14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED', 'nothing-done'],
    ['14 UNAVAILABLE: etcdserver: no leader', 'nothing-done'],
    ['14 UNAVAILABLE: read ECONNRESET', 'unknown'],
    ['14 UNAVAILABLE: etcdserver: request timed out', 'unknown'],
    ['4 DEADLINE_EXCEEDED: Deadline exceeded after 3.001s', 'unknown'],
    ['1 CANCELLED: Cancelled on client', 'unknown'],
    ['some other words', 'unknown'],
  ] as const;
  for (const [text, certainty] of cases) {
    const trouble = readEtcdError(new Error(text), 'h:1');
    assert.equal(trouble.failure.code, 'COORDINATION_UNREACHABLE', text);
    assert.equal(trouble.certainty, certainty, text);
  }
  const codes = [
    ['5 NOT_FOUND: etcdserver: requested lease not found', 'COORDINATION_SESSION_LOST'],
    ['7 PERMISSION_DENIED: etcdserver: permission denied', 'COORDINATION_ACCESS_DENIED'],
    ['16 UNAUTHENTICATED: etcdserver: invalid auth token', 'COORDINATION_ACCESS_DENIED'],
    ['8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded', 'COORDINATION_FAILED'],
    ['3 INVALID_ARGUMENT: etcdserver: duplicate key given in txn request', 'COORDINATION_FAILED'],
    ['11 OUT_OF_RANGE: required revision has been compacted', 'COORDINATION_FAILED'],
  ] as const;
  for (const [text, code] of codes) {
    const trouble = readEtcdError(new Error(text), 'h:1');
    assert.deepEqual([trouble.failure.code, trouble.certainty], [code, 'nothing-done'], text);
  }
});
