// Rules against names, and the matcher against the plainest recursive definition of wildcards.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { FailureError } from '#src/base/failure.ts';
import { compileTableFilter } from '#src/model/table-filter.ts';

const cases: readonly (readonly [readonly string[], string, string, boolean])[] = [
  [['*.*'], 'shop', 'item', true],
  [['shop.*'], 'shop', 'item', true],
  [['shop.*'], 'shop2', 'item', false],
  [['*.*', '!shop.*'], 'shop', 'item', false],
  [['*.*', '!shop.*', 'shop.item'], 'shop', 'item', true],
  [['!shop.*', '*.*'], 'shop', 'item', true],
  [[], 'shop', 'item', false],
  [['!shop.item'], 'shop', 'other', false],
  [['SHOP.Item'], 'shop', 'iTEM', true],
  [['shop.item_?'], 'shop', 'item_1', true],
  [['shop.item_?'], 'shop', 'item_12', false],
  [['s*p.*_*_log'], 'shop', 'a_b_log', true],
  [['s*p.*_*_log'], 'shop', 'a_log', false],
  [['`a.b`.`c*`'], 'a.b', 'c*', true],
  [['`a.b`.`c*`'], 'a.b', 'cx', false],
  [['a.b\\*'], 'a', 'b*', true],
  [['a.b\\*'], 'a', 'bc', false],
  [['`a``b`.x'], 'a`b', 'x', true],
  [['日本.*'], '日本', '表', true],
  [['*.*'], 'mysql', 'user', false],
  [['mysql.*'], 'MySQL', 'user', false],
  [['*.*'], 'sluice_meta', 'slot', false],
  [['*.*'], 'information_schema', 'tables', false],
];

for (const [rules, schema, table, expected] of cases) {
  test(`rules ${JSON.stringify(rules)} ${expected ? 'take' : 'leave'} ${schema}.${table}`, () => {
    assert.equal(compileTableFilter(rules).matchesTable(schema, table), expected);
  });
}

test('case decides when it is asked to', () => {
  const filter = compileTableFilter(['Shop.*'], { caseSensitive: true });
  assert.equal(filter.matchesTable('Shop', 'x'), true);
  assert.equal(filter.matchesTable('shop', 'x'), false);
});

test('a schema is taken when some table of it could be', () => {
  const filter = compileTableFilter(['*.*', '!a.*', '!b.x', 'c.y']);
  assert.equal(filter.matchesSchema('a'), false);
  assert.equal(filter.matchesSchema('b'), true);
  assert.equal(filter.matchesSchema('c'), true);
  assert.equal(filter.matchesSchema('mysql'), false);
  assert.equal(compileTableFilter(['c.y']).matchesSchema('d'), false);
});

test('all wrong rules are named at once', () => {
  assert.throws(
    () => compileTableFilter(['shop', 'a.b', 'x.y.z', '.t', '`a.b', 'a.']),
    (error) =>
      error instanceof FailureError &&
      error.failure.code === 'CONFIG_INVALID' &&
      ['"shop"', '"x.y.z"', '".t"', '"`a.b"', '"a."'].every((rule) =>
        error.failure.message.includes(rule),
      ) &&
      !error.failure.message.includes('"a.b"'),
  );
});

function matchesPlainly(pattern: string, name: string): boolean {
  if (pattern === '') return name === '';
  const rest = pattern.slice(1);
  if (pattern[0] === '*') {
    return matchesPlainly(rest, name) || (name !== '' && matchesPlainly(pattern, name.slice(1)));
  }
  return (
    name !== '' &&
    (pattern[0] === '?' || pattern[0] === name[0]) &&
    matchesPlainly(rest, name.slice(1))
  );
}

test('wildcards match as their definition says', () => {
  const letters = fc.constantFrom('a', 'b', '*', '?');
  const pattern = fc.string({ unit: letters, minLength: 1, maxLength: 8 });
  const name = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(pattern, name, (rule, table) => {
      const filter = compileTableFilter([`s.${rule}`]);
      assert.equal(filter.matchesTable('s', table), matchesPlainly(rule, table));
    }),
    { numRuns: 2000 },
  );
});

test('many stars against a long name take no exponential time', () => {
  const filter = compileTableFilter([`s.${'*a'.repeat(30)}b`]);
  assert.equal(filter.matchesTable('s', 'a'.repeat(20_000)), false);
});
