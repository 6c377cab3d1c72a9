/** Names, texts and labels: what goes into SQL as text or is read from it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  quoteIdentifier,
  quoteTable,
  quoteText,
} from '#src/adapters/mysql-sink/batch/identifier.ts';
import { writeQuoted } from '#src/adapters/mysql-sink/batch/literal.ts';
import { typeLabels } from '#src/adapters/mysql-sink/batch/table-definition.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';

describe('a quoted name', () => {
  it('doubles backticks and keeps everything else', () => {
    assert.equal(quoteIdentifier('a`b"c\'名'), '`a``b"c\'名`');
    assert.equal(quoteTable('s.x', 't'), '`s.x`.`t`');
  });

  it('may not hold a NUL', () => {
    assert.throws(() => quoteIdentifier('a\0b'), /SINK_UNSUPPORTED/);
  });
});

describe('a quoted value', () => {
  it('reads back as the bytes it was made of, whatever they are', () => {
    assert.equal(quoteText("é'"), "_utf8mb4 x'c3a927'");
    const content = fc
      .uint8Array({ maxLength: 200 })
      .map((bytes) => bytes.map((value) => (value < 60 ? 0x27 : value)));
    fc.assert(
      fc.property(content, fc.nat(5), (bytes, start) => {
        const from = Math.min(start, bytes.length);
        const out = new ByteWriter(4);
        out.ascii('x=');
        writeQuoted(out, bytes, from, bytes.length);
        const sql = Buffer.from(out.bytes()).toString('latin1');
        assert.match(sql, /^x='(?:[^']|'')*'$/s);
        const read = sql.slice(3, -1).replaceAll("''", "'");
        assert.equal(read, Buffer.from(bytes.subarray(from)).toString('latin1'));
      }),
    );
  });
});

describe('labels', () => {
  it('are read from the declared type', () => {
    assert.deepEqual(typeLabels("enum('a','it''s','c,d','')"), ['a', "it's", 'c,d', '']);
    assert.deepEqual(typeLabels("set('x')"), ['x']);
    assert.equal(typeLabels('varchar(20)'), null);
  });
});
