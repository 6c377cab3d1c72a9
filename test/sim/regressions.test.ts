/** Cases made small are kept for ever: correct code holds in each, and the mutant it was found with still fails it. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CaseRunner, readRegression, regressionsPath } from './regression.ts';
import { runCase } from './run.ts';
import { kindOf, minimized, shrink, type Shrunk } from './shrink.ts';
import { caseOf, type SimCase } from './sim-case.ts';

const files = readdirSync(regressionsPath).filter((name) => name.endsWith('.json'));

for (const file of files) {
  const { mutant, problem, why, simCase } = readRegression(join(regressionsPath, file));

  test(`${file} holds: ${why}`, async () => {
    assert.equal((await runCase(simCase)).problem, null);
  });

  if (mutant === '') continue;
  test(`${file} kills ${mutant}`, async () => {
    const runner = new CaseRunner(mutant);
    try {
      assert.equal(kindOf((await runner.judge(simCase)) ?? 'all held'), kindOf(problem));
    } finally {
      runner.stop();
    }
  });
}

test('there are regressions', () => {
  assert(files.length > 0);
});

test('a failing seed becomes a much smaller case that fails only under the mutant', async () => {
  const runner = new CaseRunner('M11');
  try {
    // What a seed draws may change: the first one that the mutant fails will do.
    let shrunk: Shrunk | null = null;
    let whole = caseOf(1);
    for (let seed = 1; shrunk === null && seed <= 300; seed++) {
      whole = caseOf(seed);
      shrunk = await shrink(whole, runner.judge);
    }
    assert(shrunk !== null);
    const { simCase, problem } = shrunk;
    const sizeOf = (some: SimCase): number => some.faults.length + some.workload.length;
    assert(sizeOf(simCase) * 2 <= sizeOf(whole), `${sizeOf(simCase)} of ${sizeOf(whole)}`);
    assert.equal(await runner.judge(simCase), problem);
    assert.equal((await runCase(simCase)).problem, null);
  } finally {
    runner.stop();
  }
});

test('a seed that fails only because two runs of it differ is shrunk too', async () => {
  const once = new CaseRunner('own-chance');
  const twice = new CaseRunner('own-chance', true);
  try {
    let shrunk: Shrunk | null = null;
    for (let seed = 1; shrunk === null && seed <= 300; seed++) {
      const whole = caseOf(seed);
      // The mistake is in how long a reader waits after trouble; quick cases will do.
      const isCut = whole.faults.some(({ kind }) => kind === 'upstream-cut');
      const isQuick = whole.options.downstream === 'model' && whole.nodes === undefined;
      if (isCut && isQuick) shrunk = await shrink(whole, twice.judge, 60);
    }
    assert(shrunk !== null);
    assert.match(shrunk.problem, /two runs differ/);
    assert(shrunk.simCase.faults.length + shrunk.simCase.workload.length < 40);
    assert.equal(await once.judge(shrunk.simCase), null);
  } finally {
    once.stop();
    twice.stop();
  }
});

test('a case that holds is not shrunk', async () => {
  assert.equal(await shrink(caseOf(1), async () => Promise.resolve(null)), null);
});

test('a list is left with the items that it takes to fail', async () => {
  const items = Array.from({ length: 40 }, (_, i) => i);
  const kept = await minimized(items, async (some) =>
    Promise.resolve(some.includes(3) && some.includes(31)),
  );
  assert.deepEqual(kept, [3, 31]);
});

test('problems that differ in figures and in a state are of one kind', () => {
  assert.equal(kindOf('two runs differ: {a3} and {b}'), kindOf('two runs differ: {4} and {c}'));
  const kind = kindOf('a checkpoint at 270 passes d.t2 1: {"ts":1}\n  at here');
  assert.equal(kind, kindOf('a checkpoint at 9 passes d.t0 12: {"ts":2}'));
  assert.notEqual(kind, kindOf('not copied: {"ts":1}'));
});
