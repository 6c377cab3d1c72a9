import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importsOf, readSource, undocumentedExports } from './source-text.ts';
import { importProblem } from './storeys.ts';

test('comments, strings, templates and regular expressions are not code', () => {
  const text = [
    "const a = 'Date'; // Date",
    'const b = `Date ${Math.min(1, `${Date}`.length)} Date`;',
    '/* Date */ const c = /[/"]Date/.test(x) / 2;',
    "const d = { e: '}' };",
  ].join('\n');
  const { code, uncommented } = readSource(text);
  assert.equal(code.length, text.length);
  assert.deepEqual(
    code.split('\n').map((line) => [...line.matchAll(/Date/g)].length),
    [0, 1, 0, 0],
  );
  assert.equal([...uncommented.matchAll(/Date/g)].length, 5);
  assert.match(code, /\.test\(x\) \/ 2/);
});

test('imports of every form are seen, in comments they are not', () => {
  const text = `import './a.ts';\nimport { b } from './b.ts';\nexport type { C } from '#src/c.ts';
    const d = await import('./d.ts'); // import 'no'\n`;
  assert.deepEqual(importsOf(readSource(text)), ['./a.ts', './b.ts', '#src/c.ts', './d.ts']);
});

test('an export without a doc comment is found, overloads are covered by the first', () => {
  const text = [
    '/** Said. */',
    'export const a = 1;',
    'export const b = 2;',
    '/** Said. */',
    'export function f(x: string): void;',
    'export function f(x: number): void;',
    'export { c };',
    '// Not a doc comment.',
    'export interface D {}',
  ].join('\n');
  assert.deepEqual(undocumentedExports(text), [
    '3: export const b = 2;',
    '9: export interface D {}',
  ]);
});

test('the import arrow points from actors and workers into src, never back', () => {
  const cases: [file: string, module: string, isRight: boolean][] = [
    ['src/model/a.ts', '../base/b.ts', true],
    ['src/base/a.ts', '../model/b.ts', false],
    ['src/kernel/a.ts', '#src/protocol/b.ts', false],
    ['src/adapters/x/a.ts', '../y/b.ts', true],
    ['src/adapters/x/a.ts', '#src/config/uri.ts', true],
    ['src/adapters/x/a.ts', '#src/kernel/b.ts', false],
    ['src/adapters/x/a.ts', 'mysql2', true],
    ['src/adapters/x/a.ts', 'node:worker_threads', false],
    ['src/ports/a.ts', 'node:fs', false],
    ['actors/x/a.ts', '#src/ports/b.ts', true],
    ['actors/x/a.ts', '#src/adapters/x/b.ts', false],
    ['actors/x/a.ts', 'node:assert', false],
    ['workers/a.ts', 'node:worker_threads', true],
    ['workers/a.ts', '#test/fakes/b.ts', false],
    ['test/a.test.ts', '#bench/b.ts', true],
  ];
  for (const [file, module, isRight] of cases) {
    assert.equal(importProblem(file, module) === null, isRight, `${file} → ${module}`);
  }
});
