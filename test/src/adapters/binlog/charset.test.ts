import assert from 'node:assert/strict';
import { test } from 'node:test';
import { charsetOfCollation, decodeCharset } from '#src/adapters/binlog/charset.ts';

const decoded = (charset: string, ...bytes: number[]): string | null =>
  decodeCharset(charset, Uint8Array.from([1, ...bytes, 2]), 1, 1 + bytes.length);

test('collation ids of both servers name their character set', () => {
  const expected: Record<number, string | null> = {
    0: null,
    1: 'big5',
    8: 'latin1',
    28: 'gbk',
    33: 'utf8mb3',
    45: 'utf8mb4',
    63: 'binary',
    248: 'gb18030',
    255: 'utf8mb4',
    309: 'utf8mb4',
    323: 'utf8mb4',
    2048: 'utf8mb3',
    3271: 'utf32',
    99999: null,
  };
  for (const [id, charset] of Object.entries(expected)) {
    assert.equal(charsetOfCollation(Number(id)), charset, id);
  }
});

test('all bytes of latin1 are characters, as the servers have it', () => {
  assert.equal(
    decoded('latin1', 0x80, 0x81, 0x8d, 0x8f, 0x90, 0x9d, 0xe9),
    '€\u0081\u008D\u008F\u0090\u009Dé',
  );
});

test('a byte order mark is a character', () => {
  assert.equal(decoded('utf8mb4', 0xef, 0xbb, 0xbf, 0x61), '\uFEFFa');
  assert.equal(decoded('utf16', 0xfe, 0xff), '\uFEFF');
  assert.equal(decoded('utf16le', 0xff, 0xfe), '\uFEFF');
  assert.equal(decoded('utf32', 0, 0, 0xfe, 0xff, 0, 1, 0xf6, 0), '\uFEFF😀');
});

test('bytes that a character set does not define are left undecoded', () => {
  assert.equal(decoded('utf8mb4', 0xff), null);
  assert.equal(decoded('ascii', 0x80), null);
  assert.equal(decoded('ucs2', 0xd8, 0), null);
  assert.equal(decoded('utf32', 0, 0, 0xd8, 0), null);
  assert.equal(decoded('utf32', 0, 0x11, 0, 0), null);
  assert.equal(decoded('utf32', 0), null);
  assert.equal(decoded('gbk', 0xfe, 0xfe), null);
  assert.equal(decoded('gbk', 0xd5, 0x5c), '誠');
});

test('of character sets without an exact decoder only ASCII is decoded', () => {
  const charsets = 'big5 cp932 euckr eucjpms gb2312 gb18030 sjis ujis binary';
  for (const charset of charsets.split(' ')) {
    assert.equal(decoded(charset, 0x61, 0x5c), 'a\\', charset);
    assert.equal(decoded(charset, 0x61, 0xa1), null, charset);
  }
  assert.equal(decoded('no such charset', 0x61), null);
  assert.equal(decoded('swe7', 0x5b, 0x41), 'ÄA');
});
