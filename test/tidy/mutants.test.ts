/** Mutants are edits of the product's source: one whose place has changed would end a proof, long after the change. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { editsOf, mutated } from '#test/sim/mutate.ts';
import { mutants } from '#test/sim/mutants.ts';

const root = join(import.meta.dirname, '..', '..');

for (const mutant of mutants) {
  test(`mutant ${mutant.name} has its places in the source`, () => {
    for (const { file } of editsOf(mutant)) {
      const source = readFileSync(join(root, file), 'utf8');
      assert.notEqual(mutated(mutant, file, source), source);
    }
  });
}
