/** What to do with a DDL that was cut: a table of cases over how its objects looked before and look now. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tableKey, withoutName } from '#src/adapters/mysql-sink/ddl-fingerprint.ts';
import { judge } from '#src/adapters/mysql-sink/ddl-verdict.ts';
import { classifyStatement } from '#src/model/ddl-statement.ts';

import type { Fingerprint, ObjectLook } from '#src/adapters/mysql-sink/ddl-fingerprint.ts';
import type { Verdict } from '#src/adapters/mysql-sink/ddl-verdict.ts';

/** A look by `definition#identity`, null for nothing there. */
function look(text: string | null): ObjectLook | null {
  if (text === null) return null;
  const [definition = '', identity = ''] = text.split('#');
  return { definition, identity };
}

function looks(tables: Readonly<Record<string, string | null>>): Fingerprint {
  return Object.fromEntries(
    Object.entries(tables).map(([table, text]) => [tableKey({ schema: 'd', table }), look(text)]),
  );
}

type Tables = Readonly<Record<string, string | null>>;

const cases: readonly (readonly [string, Tables, Tables, Verdict])[] = [
  ['CREATE TABLE a(id INT)', { a: null }, { a: null }, 'run'],
  ['CREATE TABLE a(id INT)', { a: null }, { a: 'x' }, 'done'],
  ['ALTER TABLE a ADD b INT', { a: 'x#1' }, { a: 'x#1' }, 'run'],
  ['ALTER TABLE a ADD b INT', { a: 'x#1' }, { a: 'y#1' }, 'done'],
  ['ALTER TABLE a FORCE', { a: 'x#1' }, { a: 'x#2' }, 'run'],
  ['TRUNCATE a', { a: 'x#1' }, { a: 'x#2' }, 'run'],
  ['DROP TABLE a, b', { a: 'x', b: 'x' }, { a: 'x', b: 'x' }, 'run'],
  ['DROP TABLE a, b', { a: 'x', b: 'x' }, { a: null, b: 'x' }, 'finish'],
  ['DROP TABLE a, b', { a: 'x', b: 'x' }, { a: null, b: null }, 'done'],
  ['DROP TABLE IF EXISTS a', { a: null }, { a: null }, 'run'],
  ['DROP TABLE IF EXISTS a, b', { a: null, b: 'x' }, { a: null, b: 'x' }, 'run'],
  ['DROP INDEX i ON a', { a: 'x' }, { a: 'y' }, 'done'],
  ['RENAME TABLE a TO b', { a: 'x', b: null }, { a: 'x', b: null }, 'run'],
  ['RENAME TABLE a TO b', { a: 'x', b: null }, { a: null, b: 'x' }, 'done'],
  ['RENAME TABLE a TO b', { a: 'x', b: null }, { a: null, b: null }, 'uncertain'],
  [
    'RENAME TABLE a TO t, b TO a, t TO b',
    { a: 'x#1', t: null, b: 'x#2' },
    { a: 'x#2', t: null, b: 'x#1' },
    'done',
  ],
  [
    'RENAME TABLE a TO t, b TO a, t TO b',
    { a: 'x#1', t: null, b: 'x#2' },
    { a: 'x#1', t: null, b: 'x#2' },
    'run',
  ],
  [
    'RENAME TABLE a TO t, b TO a, t TO b',
    { a: 'x', t: null, b: 'x' },
    { a: 'x', t: null, b: 'x' },
    'uncertain',
  ],
  [
    'RENAME TABLE a TO t, b TO a, t TO b',
    { a: 'x', t: null, b: 'y' },
    { a: 'y', t: null, b: 'x' },
    'done',
  ],
  [
    'RENAME TABLE a TO b, c TO e',
    { a: 'x', b: null, c: 'y', e: null },
    { a: null, b: 'x', c: 'y', e: null },
    'uncertain',
  ],
  ['ALTER TABLE a ADD c INT, RENAME TO b', { a: 'x', b: null }, { a: null, b: 'y' }, 'done'],
  ['ALTER TABLE a ADD c INT, RENAME TO b', { a: 'x', b: null }, { a: 'x', b: null }, 'run'],
  ['ALTER TABLE a ADD c INT, RENAME TO b', { a: 'x', b: null }, { a: null, b: null }, 'uncertain'],
  [
    'ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b',
    { a: 'x#1', b: 'y#2' },
    { a: 'x#2', b: 'y#1' },
    'done',
  ],
  [
    'ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b',
    { a: 'x#1', b: 'y#2' },
    { a: 'x#1', b: 'y#2' },
    'run',
  ],
  [
    'ALTER TABLE a EXCHANGE PARTITION p WITH TABLE b',
    { a: 'x', b: 'y' },
    { a: 'x', b: 'y' },
    'uncertain',
  ],
];

describe('a cut DDL', () => {
  for (const [sql, before, now, verdict] of cases) {
    it(`${sql}: ${JSON.stringify(before)} → ${JSON.stringify(now)} is ${verdict}`, () => {
      const statement = classifyStatement(sql, 'd');
      assert.ok(statement.kind === 'ddl');
      assert.equal(judge(statement, sql, { before: looks(before), now: looks(now) }), verdict);
    });
  }

  it('is judged by definitions that do not depend on the name of the table or its next number', () => {
    const of = (name: string, next: string): string =>
      `CREATE TABLE \`${name}\` (\n \`id\` int,\n CONSTRAINT \`${name}_ibfk_1\` FOREIGN KEY (\`id\`) REFERENCES \`p\` (\`id\`)\n) ENGINE=InnoDB${next} DEFAULT CHARSET=latin1`;
    assert.equal(
      withoutName(of('a', ' AUTO_INCREMENT=5'), 'a'),
      withoutName(of('b``$&', ''), 'b`$&'),
    );
  });
});
