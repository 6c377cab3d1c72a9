/**
 * Damages real events in every way and decodes them: whatever the bytes, decoding ends with values or with a failure of
 * the catalogue. The seed is printed; SLUICE_FUZZ_SEED runs one again, SLUICE_FUZZ_COUNT sets how many events.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { encodeRows, encodeTableMap } from './encode.ts';
import { decodeAll, mutate, type Specimen } from './fuzz.ts';
import { readLogFile } from './log-file.ts';
import { isRowEventType } from '#src/adapters/binlog/row-event.ts';
import { readTableMap } from '#src/adapters/binlog/table-map.ts';
import { TestRandom } from '#test/fixtures/random.ts';
import { changeTypeTables, createTypeTables } from '#test/fixtures/types.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { mysqlMissing, startMysql } from '#test/servers/mysql.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

const count = Number(process.env['SLUICE_FUZZ_COUNT'] ?? 240_000);
const seed = Number(process.env['SLUICE_FUZZ_SEED'] ?? Date.now() % 1_000_000);

/** Larger events take longer and reach nothing that smaller ones do not. */
const specimenBytesMax = 8192;

test('decoding damaged events gives values or failures, nothing else', async (t) => {
  t.diagnostic(`seed ${seed}`);
  const specimens = [...ownSpecimens(), ...(await serverSpecimens(startMariadb, {}))];
  specimens.push(
    ...(await serverSpecimens(startMariadb, {
      log_bin_compress: 'ON',
      log_bin_compress_min_len: '10',
      mysql56_temporal_format: 'OFF',
    })),
  );
  if ((await mysqlMissing()) === false) specimens.push(...(await serverSpecimens(startMysql, {})));
  t.diagnostic(`${specimens.length} specimens, ${count} damaged events`);
  for (const specimen of specimens) decodeAll(specimen);
  const withJson = specimens.filter(hasJson);
  let failed = 0;
  let rows = 0;
  for (let i = 0; i < count; i++) {
    const random = new TestRandom(seed * 1_000_003 + i);
    const damaged = damagedSpecimen(specimens, withJson, random);
    try {
      const result = decodeAll(damaged);
      if (result.failed) failed++;
      rows += result.rows;
    } catch (error) {
      throw new Error(
        `seed ${seed}, event ${i}, type ${damaged.type}, table map ${hex(damaged.map)}, body ${hex(damaged.body)}`,
        { cause: error },
      );
    }
  }
  t.diagnostic(`${failed} failures, ${rows} rows`);
  // Both outcomes must be common, or the damage is too coarse or too fine to test anything.
  assert.ok(failed > count / 10 && failed < count * 0.95, String(failed));
  assert.ok(rows > count / 10, String(rows));
});

function damagedSpecimen(
  specimens: readonly Specimen[],
  withJson: readonly Specimen[],
  random: TestRandom,
): Specimen {
  // JSON is the deepest format and few tables have it.
  const specimen = random.pick(random.chance(20) ? withJson : specimens);
  const other = random.pick(specimens);
  const which = random.below(10);
  const map = which < 3 ? mutate(specimen.map, other.map, random) : specimen.map;
  const body = which > 1 ? mutate(specimen.body, other.body, random) : specimen.body;
  const flavor = random.chance(5) ? other.flavor : specimen.flavor;
  return { flavor, map, type: random.chance(5) ? other.type : specimen.type, body };
}

function hasJson({ map, flavor }: Specimen): boolean {
  return readTableMap(map, flavor).layout.jsonCount > 0;
}

async function serverSpecimens(
  start: (options: { config: Record<string, string> }) => Promise<SqlServer>,
  config: Record<string, string>,
): Promise<Specimen[]> {
  const server = await start({ config });
  try {
    const isMysql = server.flavor === 'mysql';
    await createTypeTables(server);
    await changeTypeTables(server, 1, { partialJson: isMysql });
    const specimens: Specimen[] = [];
    const maps = new Map<number, Uint8Array>();
    for (const file of server.binlogFiles()) {
      for (const { type, body } of readLogFile(readFileSync(file))) {
        const id = body[0]! | (body[1]! << 8) | (body[2]! << 16);
        if (type === 19) maps.set(id, body);
        if (!isRowEventType(type) || body.byteLength > specimenBytesMax) continue;
        specimens.push({ flavor: server.flavor, map: maps.get(id)!, type, body });
      }
    }
    return specimens;
  } finally {
    await server.stop();
  }
}

/** Events that the servers above do not write: every event type over a table of every fixed and sized type. */
function ownSpecimens(): Specimen[] {
  const columns = [
    { type: 3 },
    { type: 246, meta: [20, 5] },
    { type: 18, meta: [6] },
    { type: 245, meta: [4] },
    { type: 140, meta: [2] },
    { type: 254, meta: [254, 16] },
    { type: 254, meta: [248, 8] },
  ];
  const map = encodeTableMap(columns);
  const json = [0, 1, 0, 14, 0, 11, 0, 1, 0, 12, 12, 0, 0x61, 1, 0x62];
  const row = [
    [0],
    [1, 2, 3, 4],
    [0x80, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    [0x99, 0xb2, 0x44, 0x31, 0x05, 1, 2, 3],
    [json.length, 0, 0, 0, ...json],
    [3, 0, 0, 1, 2],
    [2, 9, 9],
    [1, 2, 3, 4, 5, 6, 7, 8],
  ].flat();
  const partial = [1, 1, ...row];
  return [23, 24, 25, 30, 31, 32, 39, 166, 167, 168, 169, 170, 171].map((type) => ({
    flavor: 'mysql',
    map,
    type,
    body: encodeRows(type, columns.length, type === 39 ? [row, partial] : [row, row]),
  }));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
