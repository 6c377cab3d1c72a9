/** The style guide, executed (STYLE §14): only what protects correctness or a reader. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { failureCatalogue } from '#src/base/failures.ts';
import { importsOf, readSource, undocumentedExports } from './tidy/source-text.ts';
import { importProblem } from './tidy/storeys.ts';

const root = join(import.meta.dirname, '..');
const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((path) => path !== '' && existsSync(join(root, path)));
const sources = tracked.filter((path) => /\.(ts|mts|js)$/.test(path));
const product = sources.filter((path) => /^(src|actors|workers)\//.test(path));

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** What a pure core must not name: it would run differently the second time, or not at all in the simulator. */
const nondeterministic =
  /\b(Date|performance|setTimeout|setInterval|setImmediate|queueMicrotask|Promise|async|await|Math\.random|crypto|process|fetch|Atomics|SharedArrayBuffer|WeakRef|FinalizationRegistry|Intl|localeCompare)\b/;

test('there are sources to look at', () => {
  assert.ok(product.length > 50, `${product.length} files`);
});

test('every export of the product has a doc comment', () => {
  const missing = product.flatMap((path) =>
    undocumentedExports(read(path)).map((line) => `${path}:${line}`),
  );
  assert.deepEqual(missing, []);
});

test('imports go one way only', () => {
  const wrong = sources.flatMap((path) =>
    importsOf(readSource(read(path))).flatMap((module) => {
      const problem = importProblem(path, module);
      return problem === null ? [] : [`${path} → ${module}: ${problem}`];
    }),
  );
  assert.deepEqual(wrong, []);
});

test('actors, kernel, protocol and model have no clock, timer, randomness or promise', () => {
  const pure = product.filter((path) => /^(actors|src\/(kernel|protocol|model|base))\//.test(path));
  const found = pure.flatMap((path) =>
    readSource(read(path))
      .code.split('\n')
      .flatMap((line, index) => {
        const name = nondeterministic.exec(line)?.[0];
        return name === undefined ? [] : [`${path}:${index + 1}: ${name}`];
      }),
  );
  assert.deepEqual(found, []);
});

test('every failure code is raised somewhere', () => {
  const text = product
    .filter((path) => path !== 'src/base/failures.ts')
    .map((path) => readSource(read(path)).uncommented)
    .join('\n');
  const silent = Object.keys(failureCatalogue).filter((code) => !text.includes(`'${code}'`));
  assert.deepEqual(silent, []);
});

test('no tracked file names a machine of ours or where packages came from', () => {
  const forbidden = [
    /\/wor[k]\/|\/hom[e]\/\w|\/Use[r]s\/\w|\/roo[t]\//,
    /registr[y]\.\w+\.\w+|artifactor[y]|\bverdacci[o]\b/i,
    /"resolve[d]":\s*"(?!https:\/\/registr[y]\.npmjs\.org\/)/,
  ];
  const found = tracked.flatMap((path) =>
    read(path)
      .split('\n')
      .flatMap((line, index) => {
        const match = forbidden.map((pattern) => pattern.exec(line)?.[0]).find(Boolean);
        return match === undefined ? [] : [`${path}:${index + 1}: ${match}`];
      }),
  );
  assert.deepEqual(found, []);
});

test('no test is skipped for good or runs alone', () => {
  const tests = sources.filter((path) => path.endsWith('.test.ts'));
  const wrong = tests.filter((path) =>
    /\b(test|it|describe|suite|t)\.(skip|only|todo)\(|\b(only|todo):\s*true/.test(
      readSource(read(path)).code,
    ),
  );
  assert.deepEqual(wrong, []);
});
