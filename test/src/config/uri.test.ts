// URIs with every part, and everything that may be wrong with them; no message and no print may show a password.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import * as fc from 'fast-check';
import { FailureError } from '#src/base/failure.ts';
import { Secret } from '#src/base/secret.ts';
import { demandKnownParameters, maskUri, parseDatabaseUri } from '#src/config/uri.ts';

function problem(uri: string): string {
  try {
    parseDatabaseUri(uri);
  } catch (error) {
    assert.ok(error instanceof FailureError && error.failure.code === 'CONFIG_INVALID');
    return error.failure.message;
  }
  return '';
}

test('all parts of a URI are read and unescaped', () => {
  const uri = parseDatabaseUri(
    'mysql://us%40er:p%2Fw%3A1@db.example:3307/shop?Server_Id=7&ssl-mode=required',
  );
  assert.equal(uri.user, 'us@er');
  assert.equal(uri.password.reveal(), 'p/w:1');
  assert.equal(uri.host, 'db.example');
  assert.equal(uri.port, 3307);
  assert.equal(uri.database, 'shop');
  assert.deepEqual(
    [...uri.parameters],
    [
      ['server-id', '7'],
      ['ssl-mode', 'required'],
    ],
  );
});

test('port, database, password and socket have their defaults', () => {
  const uri = parseDatabaseUri('mariadb://root@[::1]/');
  assert.deepEqual(
    [uri.scheme, uri.host, uri.port, uri.database],
    ['mariadb', '::1', 3306, undefined],
  );
  assert.equal(uri.password.isEmpty, true);
  const local = parseDatabaseUri('mysql://root@localhost/?socket=/run/m.sock');
  assert.equal(local.socket, '/run/m.sock');
  assert.equal(local.parameters.has('socket'), false);
  assert.equal(parseDatabaseUri('mysql://root@/?socket=/run/m.sock').socket, '/run/m.sock');
});

test('all problems are named at once, and none repeats the URI', () => {
  const text = problem('postgres://h/a/b?x=1&x=2&y=#z');
  for (const part of [
    'scheme "postgres"',
    'user is missing',
    'database',
    '"x" stands twice',
    '"y" has no value',
    '%23',
  ]) {
    assert.ok(text.includes(part), `${part}: ${text}`);
  }
  assert.doesNotMatch(problem('mysql://root:se%cret@h/'), /se%cret/);
  assert.match(problem('mysql://root:p%zz@h/'), /password has a %/);
  assert.match(problem('root@host'), /form mysql/);
  assert.match(problem('mysql://h:99999/'), /form mysql/);
});

test('unknown parameters are refused with the known ones', () => {
  const uri = parseDatabaseUri('mysql://root@h/?good=1&bad=2');
  assert.throws(
    () => demandKnownParameters(uri, ['good']),
    (error) => error instanceof FailureError && /"bad".*good/.test(error.failure.message),
  );
  demandKnownParameters(uri, ['good', 'bad']);
});

test('a masked URI shows everything but the password', () => {
  assert.equal(maskUri('mysql://root:pw@h:3306/d?x=1'), 'mysql://root:***@h:3306/d?x=1');
  assert.equal(maskUri('mysql://root@h:3306/d'), 'mysql://root@h:3306/d');
  assert.equal(maskUri('mysql://root:p@w/d@h/d'), 'mysql://root:***@h/d');
  assert.equal(maskUri('mysql://root:p?w@h/d'), 'mysql://root:***@h/d');
  assert.equal(maskUri('sqlite:///a/b.db'), 'sqlite:///a/b.db');
  assert.equal(maskUri('x://h/?key-password=abc&y=1'), 'x://h/?key-password=***&y=1');
});

test('a masked URI never holds the password, escaped or not', () => {
  const password = fc.string({ minLength: 6 }).map((text) => `zz${text.replaceAll('@', '')}zz`);
  fc.assert(
    fc.property(password, (text) => {
      assert.ok(!maskUri(`mysql://root:${text}@host/`).includes(text));
      assert.ok(
        !maskUri(`mysql://root:${encodeURIComponent(text)}@host/`).includes(
          encodeURIComponent(text),
        ),
      );
    }),
  );
});

test('a secret cannot be printed by accident', () => {
  const secret = new Secret('hunter2');
  const shown = [
    String(secret),
    `${secret}`,
    JSON.stringify({ secret }),
    inspect(secret),
    inspect({ a: [secret] }),
  ];
  for (const text of shown) assert.ok(text.includes('***') && !text.includes('hunter2'), text);
  assert.equal(secret.reveal(), 'hunter2');
});
