/** A portion of what `npm run sim` runs: seeds in this process, mutants in processes of their own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { farm } from './farm.ts';
import { runCase } from './run.ts';
import { caseOf } from './sim-case.ts';

/** Other seeds than `npm run sim` begins with. */
const firstSeed = 100_001;
const seedCount = 200;

test('the main job holds under kills, pauses, takeovers, lost messages and failing servers', async () => {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const { problem } = await runCase(caseOf(seed));
    assert.equal(problem, null, `npm run sim -- --seeds ${seed}`);
  }
});

test('a seed gives the same run twice, and another seed another one', async () => {
  const hashes = new Set<string>();
  for (let seed = firstSeed; seed < firstSeed + 10; seed++) {
    const first = await runCase(caseOf(seed));
    const second = await runCase(caseOf(seed));
    assert.equal(second.hash, first.hash, `seed ${seed}`);
    hashes.add(first.hash);
  }
  assert.equal(hashes.size, 10);
});

test('a mistake in an actor is found', async () => {
  for (const mutant of ['M4', 'M11']) {
    let found = 0;
    await farm({
      from: 1,
      to: 100,
      jobs: 1,
      mutant,
      twiceEvery: Infinity,
      failureCountMax: 1,
      onResult: ({ problem }) => {
        if (problem !== null) found++;
      },
    });
    assert.equal(found, 1, mutant);
  }
});
