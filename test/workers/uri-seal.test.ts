/** Sealed passwords: what is stored shows none, and opens only under the key, and for the server, it was sealed for. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import { FailureError, ok } from '#src/base/failure.ts';
import { maskUri, parseDatabaseUri } from '#src/config/uri.ts';
import { secretKeyKey } from '#src/model/coordination-key.ts';
import { absentKey, type CoordinationPort } from '#src/ports/coordination.ts';
import { keyOfCluster, keyOfDirectory } from '#workers/secret-key.ts';
import { UriSeal } from '#workers/uri-seal.ts';

const seal = new UriSeal(UriSeal.newKey());

function codeOf(run: () => unknown): string {
  try {
    run();
    return 'none';
  } catch (error) {
    if (error instanceof FailureError) return error.failure.code;
    throw error;
  }
}

test('any password is sealed and opens again; user, server and parameters stay readable', () => {
  fc.assert(
    fc.property(
      fc.string({ minLength: 1, unit: 'grapheme' }),
      fc.string({ minLength: 1 }),
      fc.constantFrom('@h:3306/d?ssl-mode=required', '@/?socket=/a/b.sock', '@[::1]/', '@h'),
      (password, user, rest) => {
        const account = `mysql://${encodeURIComponent(user)}:`;
        const uri = `${account}${encodeURIComponent(password)}${rest}`;
        const sealed = seal.seal(uri);
        assert.ok(sealed.startsWith(`${account}sealed.v1.`) && sealed.endsWith(rest), sealed);
        assert.equal(seal.open(sealed), uri);
        assert.equal(maskUri(sealed), `${account}***${rest}`);
        const { user: parsed, host } = parseDatabaseUri(sealed);
        assert.deepEqual([parsed, host], [user, parseDatabaseUri(uri).host]);
      },
    ),
  );
});

test('what a URL parser takes for the password is what is sealed', () => {
  for (const uri of [
    'mysql://u:p@x@h/',
    'mysql://a@b:p@h/',
    'mysql://u:p:q@h/?x=a@b',
    'MYSQL://u:p@h',
  ]) {
    const { password } = parseDatabaseUri(uri);
    const sealed = seal.seal(uri);
    assert.match(parseDatabaseUri(sealed).password.reveal(), /^sealed\.v1\.[\w-]+$/);
    assert.equal(parseDatabaseUri(seal.open(sealed)).password.reveal(), password.reveal());
  }
});

test('what holds no password stays as it is', () => {
  for (const uri of [
    'workload://bank?rate=5',
    'sqlite:///a:b@c.db',
    'blackhole://',
    'mysql://u@h/',
  ])
    assert.deepEqual([seal.seal(uri), seal.open(uri)], [uri, uri]);
});

test('a seal is broken by another key, another server, another account and any change of it', () => {
  const sealed = seal.seal('mysql://copy:s3cr3t@h:3306/');
  const other = new UriSeal(UriSeal.newKey());
  assert.equal(
    codeOf(() => other.open(sealed)),
    'SECRET_KEY_WRONG',
  );
  for (const changed of [
    sealed.replace('@h:', '@evil:'),
    sealed.replace('//copy:', '//root:'),
    sealed.replace('sealed.v1.', 'sealed.v1.A'),
    'mysql://u:sealed.v1.@h/',
    'mysql://u:sealed.v1.AAAA@h/',
  ])
    assert.equal(
      codeOf(() => seal.open(changed)),
      'SECRET_KEY_WRONG',
      changed,
    );
});

test('the key of a data directory is made once, for its owner only', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-key-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const key = keyOfDirectory(directory);
  assert.equal(keyOfDirectory(directory), key);
  const path = join(directory, 'secret.key');
  assert.equal(readFileSync(path, 'utf8'), `${key}\n`);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  writeFileSync(path, 'abc');
  assert.throws(() => keyOfDirectory(directory), {
    message: `CONFIG_INVALID: --data-dir: ${path} does not hold 64 hexadecimal digits`,
  });
});

test('nodes of a cluster without a key file share the one that the first has made', async () => {
  const store = openEmbeddedCoordination({ directory: null });
  const keys = await Promise.all([1, 2, 3].map(() => keyOfCluster(store, 'c', 1_000)));
  assert.deepEqual(new Set(keys).size, 1);
  assert.match(keys[0]!, /^[0-9a-f]{64}$/);
  assert.notEqual(await keyOfCluster(store, 'd', 1_000), keys[0]);
  await store.call({
    kind: 'Transact',
    compares: [{ key: 'x', target: 'revision', equals: 0 }],
    puts: [{ key: secretKeyKey('c'), value: 'x' }],
  });
  await assert.rejects(keyOfCluster(store, 'c', 1_000), {
    message: 'COORDINATION_FAILED: the value of /sluice/c/secret-key is damaged',
  });
  await store.close();
  await assert.rejects(keyOfCluster(store, 'c', 1), { message: /^INTERNAL_STOPPED: / });
});

test('a store that answers, but never with a key, is asked no longer than one that is silent', async () => {
  const entry = absentKey(secretKeyKey('c'));
  const forgetful: CoordinationPort = {
    call: () =>
      Promise.resolve(ok({ kind: 'Transacted', succeeded: false, entries: [entry], revision: 1 })),
    close: () => Promise.resolve(),
  };
  await assert.rejects(keyOfCluster(forgetful, 'c', 1), {
    message: 'COORDINATION_FAILED: the store shows no value of /sluice/c/secret-key',
  });
});
