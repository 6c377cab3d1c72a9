/**
 * Folds against the server they are for: random strings of a nasty alphabet, all pairs that the server holds equal under
 * a collation must have one hash. The seed is printed on failure by fast-check.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as fc from 'fast-check';
import { wildHash } from '#src/adapters/mysql-sink/batch/collation-fold.ts';
import { TableCatalog } from '#src/adapters/mysql-sink/batch/table-catalog.ts';
import { startMariadb } from '#test/servers/mariadb.ts';

import type { MariadbServer } from '#test/servers/mariadb.ts';

let server: MariadbServer;

before(async () => {
  server = await startMariadb();
});

after(() => server.stop());

const nasty = [
  ...' aAbBeEsSzZ09_-.@\t\u0000\u00a0\u00adßẞäÄåÅáàâãæÆœŒøØđĐðÐþÞłŁıİiIéÉèêëüÜyÿÿöÖoñçÇ',
  ...'аАяЯёЁеЕйЙиИΑαάΆΣσςΩωΩKÅ①１ＡａＺ２½ﬀﬁ',
  ...'あアァぁかガｶヵー一丁中国國表金가각나',
  'ss',
  'ae',
  'oe',
  'aa',
  'ch',
  'll',
  'th',
  'ij',
  'l·',
  'e\u0301',
  'a\u030a',
  'и\u0306',
  '\u200b',
  '\u200d',
  '🙂',
  '🙃',
  '𝐀',
];

const collations: readonly (readonly [string, string])[] = [
  'utf8mb4_general_ci',
  'utf8mb4_unicode_ci',
  'utf8mb4_unicode_520_ci',
  'utf8mb4_bin',
  'utf8mb4_nopad_bin',
  'utf8mb4_general_nopad_ci',
  'utf8mb4_uca1400_ai_ci',
  'utf8mb4_uca1400_as_cs',
  'utf8mb4_uca1400_as_ci',
  'utf8mb4_uca1400_nopad_as_cs',
  'utf8mb4_uca1400_danish_ai_ci',
  'utf8mb4_danish_ci',
  'utf8mb4_swedish_ci',
  'utf8mb4_german2_ci',
  'utf8mb4_czech_ci',
  'utf8mb4_turkish_ci',
  'utf8mb3_general_ci',
  'utf8mb3_unicode_ci',
  'utf8mb3_general_mysql500_ci',
  'latin1_swedish_ci',
  'latin1_german1_ci',
  'latin1_german2_ci',
  'latin1_danish_ci',
  'latin1_general_ci',
  'latin1_general_cs',
  'latin1_spanish_ci',
  'latin1_bin',
  'latin2_general_ci',
  'latin2_czech_cs',
  'latin2_hungarian_ci',
  'cp1250_czech_cs',
  'cp1250_general_ci',
  'cp1251_general_ci',
  'koi8r_general_ci',
  'greek_general_ci',
  'cp850_general_ci',
  'gbk_chinese_ci',
  'gbk_bin',
  'gb2312_chinese_ci',
  'big5_chinese_ci',
  'sjis_japanese_ci',
  'cp932_japanese_ci',
  'ujis_japanese_ci',
  'eucjpms_japanese_ci',
  'euckr_korean_ci',
  'ucs2_general_ci',
  'ucs2_unicode_ci',
  'utf16_general_ci',
  'utf16_unicode_ci',
  'utf16le_general_ci',
  'utf32_unicode_ci',
  'utf16_bin',
  'ucs2_bin',
  'tis620_thai_ci',
  'ascii_general_ci',
].map((collation) => [collation.split('_')[0]!, collation] as const);

/** Raw bytes of each text in `charset`, each equivalence class of the server under `collation` as a number. */
async function classes(
  charset: string,
  collation: string,
  texts: readonly string[],
): Promise<readonly { bytes: Uint8Array; rank: number }[]> {
  const rows = texts.map(
    (text) =>
      `SELECT CONVERT(_utf8mb4 x'${Buffer.from(text).toString('hex')}' USING ${charset}) AS v`,
  );
  const found = await server.query<{ hex: string; rank: number }>(
    `SELECT HEX(v) AS hex, DENSE_RANK() OVER (ORDER BY v COLLATE ${collation}) AS \`rank\` FROM (${rows.join(' UNION ALL ')}) t`,
  );
  return found.map(({ hex, rank }) => ({ bytes: Buffer.from(hex, 'hex'), rank: Number(rank) }));
}

describe('a collation fold', () => {
  for (const [charset, collation] of collations) {
    it(`gives equal values of ${collation} one hash`, async () => {
      const fold = await new TableCatalog((sql) => server.query(sql)).fold(charset, collation);
      const word = fc
        .array(fc.constantFrom(...nasty), { maxLength: 4 })
        .map((parts) => parts.join(''));
      const texts = fc.array(word, { minLength: 250, maxLength: 250 });
      await fc.assert(
        fc.asyncProperty(texts, async (words) => {
          const all = [...new Set([...words, ...nasty, ...nasty.map((text) => `x${text} `)])];
          const hashes = new Map<number, number>();
          let joined = 0;
          let folded = 0;
          for (const { bytes, rank } of await classes(charset, collation, all)) {
            const hash = fold(bytes, 0, bytes.byteLength, 0);
            if (hash === wildHash) continue;
            const known = hashes.get(rank);
            folded++;
            if (known !== undefined) joined++;
            assert.ok(
              known === undefined || known === hash,
              `${collation}: ${Buffer.from(bytes).toString('hex')}`,
            );
            hashes.set(rank, hash);
          }
          // Values that differ and are equal must have been among them, or nothing was tried.
          const isExact = collation.endsWith('_nopad_bin');
          assert.ok(isExact || folded === 0 || joined > 0, `${joined} of ${folded}`);
        }),
        { numRuns: 5, endOnFailure: true },
      );
    });
  }

  it('tells ordinary words apart, so that lanes are used', async () => {
    const catalog = new TableCatalog((sql) => server.query(sql));
    for (const [charset, collation] of [
      ['utf8mb4', 'utf8mb4_general_ci'],
      ['utf8mb4', 'utf8mb4_uca1400_ai_ci'],
      ['latin1', 'latin1_swedish_ci'],
    ] as const) {
      const fold = await catalog.fold(charset, collation);
      const hashes = new Set<number>();
      for (let i = 0; i < 1000; i++) {
        const bytes = Buffer.from(`user-${i}@example.org`);
        hashes.add(fold(bytes, 0, bytes.byteLength, 0));
      }
      assert.ok(!hashes.has(wildHash));
      assert.ok(hashes.size > 990, `${hashes.size} of 1000`);
    }
  });

  it('counts characters, not bytes, of a prefix', async () => {
    const fold = await new TableCatalog((sql) => server.query(sql)).fold(
      'utf8mb4',
      'utf8mb4_unicode_ci',
    );
    const a = Buffer.from('ééé1');
    const b = Buffer.from('EEE2');
    assert.equal(fold(a, 0, a.byteLength, 3), fold(b, 0, b.byteLength, 3));
    assert.notEqual(fold(a, 0, a.byteLength, 4), fold(b, 0, b.byteLength, 4));
  });
});
