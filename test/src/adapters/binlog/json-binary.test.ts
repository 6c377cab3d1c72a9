/** Documents of a test encoder: their text must mean the same, and damaged structures must be refused in bounded work. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { encodeJson, RawJson, type EncodedJson } from './json-encode.ts';
import { writeJsonText } from '#src/adapters/binlog/json-binary.ts';
import { isPlainJson, writeJsonExpression } from '#src/adapters/binlog/json-expression.ts';
import { ByteWriter } from '#src/base/byte-writer.ts';

const corrupt = /SOURCE_CORRUPT/;

function textOf(bytes: Uint8Array): string {
  const out = new ByteWriter(8);
  writeJsonText(out, bytes, 0, bytes.byteLength);
  return Buffer.from(out.bytes()).toString();
}

function expressionOf(bytes: Uint8Array): string {
  const out = new ByteWriter(8);
  writeJsonExpression(out, bytes, 0, bytes.byteLength);
  return Buffer.from(out.bytes()).toString();
}

test('any JSON value has a text that means the same', () => {
  const key = fc.string({ unit: 'grapheme' }).filter((name) => name !== '__proto__');
  const { value } = fc.letrec<{ value: EncodedJson }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(null, true, false),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'binary-ascii', minLength: 130, maxLength: 300 }),
      fc.array(tie('value')),
      fc.dictionary(key, tie('value'), { noNullPrototype: true }),
    ),
  }));
  fc.assert(
    fc.property(value, (document) => {
      const bytes = encodeJson(document);
      // The encoder writes an empty array as an empty object.
      const expected = JSON.parse(
        JSON.stringify(document, (_, each: unknown) =>
          Array.isArray(each) && each.length === 0 ? {} : each,
        ),
      ) as unknown;
      assert.deepEqual(withoutZeroSigns(JSON.parse(textOf(bytes))), expected);
      assert.equal(isPlainJson(bytes, 0, bytes.byteLength), true);
    }),
    { numRuns: 500 },
  );
});

/** JSON.stringify drops the sign of zero; the server does not. */
function withoutZeroSigns(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

test('the text is written as MySQL writes it', () => {
  assert.equal(
    textOf(encodeJson({ a: [1, 'x"\\\n\u0001é'], b: null })),
    '{"a": [1, "x\\"\\\\\\n\\u0001é"], "b": null}',
  );
  assert.equal(textOf(new Uint8Array(0)), 'null');
  const doubles: Record<string, number> = {
    '1.0': 1,
    '-0.0': -0,
    '0.1': 0.1,
    '1.5e300': 1.5e300,
    '123456789012345.0': 123456789012345,
    '1e15': 1e15,
    '1.2345678901234568e16': 12345678901234568,
    '0.00000000000001': 1e-14,
    '0.000000000000001': 1e-15,
    '1e-16': 1e-16,
    '5e-324': 5e-324,
  };
  for (const [text, value] of Object.entries(doubles)) {
    const data = [...new Uint8Array(new Float64Array([value]).buffer)];
    assert.equal(textOf(encodeJson(new RawJson(11, data))), text);
  }
});

test('integers of every width and sign', () => {
  assert.equal(textOf(Uint8Array.of(5, 0xff, 0xff)), '-1');
  assert.equal(textOf(Uint8Array.of(6, 0xff, 0xff)), '65535');
  assert.equal(textOf(Uint8Array.of(7, 0, 0, 0, 0x80)), '-2147483648');
  assert.equal(textOf(Uint8Array.of(8, 0, 0, 0, 0x80)), '2147483648');
  assert.equal(textOf(Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 0x80)), '-9223372036854775808');
  assert.equal(
    textOf(Uint8Array.of(10, 255, 255, 255, 255, 255, 255, 255, 255)),
    '18446744073709551615',
  );
});

test('typed values are rebuilt by expressions, plain ones by text', () => {
  const decimal = new RawJson(15, [246, 4, 3, 2, 0x81, 0x32]);
  const date = new RawJson(15, [10, 8, 0, 0, 0, 0, 0, 0xba, 0xb2, 0x19]);
  const blob = new RawJson(15, [15, 2, 0xff, 0]);
  const unsigned = new RawJson(8, [5, 0, 0, 0]);
  const bytes = encodeJson({ a: decimal, b: [date, blob, { c: 1 }], d: unsigned });
  assert.equal(
    textOf(bytes),
    '{"a": 1.50, "b": ["2024-13-26", "base64:type15:/wA=", {"c": 1}], "d": 5}'.replace(
      '2024-13-26',
      textOf(encodeJson(date)).slice(1, -1),
    ),
  );
  assert.equal(isPlainJson(bytes, 0, bytes.byteLength), false);
  assert.match(
    expressionOf(bytes),
    /^JSON_OBJECT\(_utf8mb4 x'61',1\.50,_utf8mb4 x'62',JSON_ARRAY\(CAST\('\d{4}-\d\d-\d\d' AS DATE\),x'FF00',CAST\(_utf8mb4 x'7B2263223A20317D' AS JSON\)\),_utf8mb4 x'64',CAST\(5 AS UNSIGNED\)\)$/,
  );
  assert.equal(expressionOf(encodeJson(decimal)), "JSON_EXTRACT(JSON_ARRAY(1.50),_utf8mb4'$[0]')");
  assert.equal(expressionOf(encodeJson([true])), "CAST(_utf8mb4 x'5B747275655D' AS JSON)");
});

test('long opaque values break their lines as the server does', () => {
  const data = Array<number>(60).fill(0);
  const text = textOf(encodeJson(new RawJson(15, [15, 60, ...data])));
  assert.equal(text, `"base64:type15:${'A'.repeat(76)}\\nAAAA"`);
});

test('nesting is followed to a bound', () => {
  let document: EncodedJson = 1;
  for (let i = 0; i < 100; i++) document = [document];
  assert.equal(textOf(encodeJson(document)), `${'['.repeat(100)}1${']'.repeat(100)}`);
  for (let i = 0; i < 29; i++) document = [document];
  assert.throws(() => textOf(encodeJson(document)), corrupt);
  assert.throws(() => expressionOf(encodeJson(document)), corrupt);
});

test('elements that share their bytes are refused before they multiply', () => {
  // Every level has many elements that all point at the next level.
  let inner: number[] = [12, 1, 0x78];
  for (let level = 0; level < 8; level++) {
    const count = 40;
    const head = 8 + count * 5;
    const entries = Array.from({ length: count }, () => [inner[0]!, head, 0, 0, 0]).flat();
    const size = head + inner.length - 1;
    inner = [3, count, 0, 0, 0, size & 255, size >> 8, 0, 0, ...entries, ...inner.slice(1)];
  }
  const bytes = Uint8Array.from(inner);
  assert.throws(() => textOf(bytes), corrupt);
  assert.throws(() => isPlainJson(bytes, 0, bytes.byteLength), corrupt);
  assert.throws(() => expressionOf(bytes), corrupt);
});

test('a failed document leaves nothing behind in the writer', () => {
  const out = new ByteWriter();
  out.ascii('before');
  const bytes = encodeJson(['fine', new RawJson(13, [])]);
  assert.throws(() => writeJsonText(out, bytes, 0, bytes.byteLength), corrupt);
  assert.throws(() => writeJsonExpression(out, bytes, 0, bytes.byteLength), corrupt);
  assert.equal(Buffer.from(out.bytes()).toString(), 'before');
});
