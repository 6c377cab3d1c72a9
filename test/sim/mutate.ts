/** Puts a mutant in place of the production file it changes, for everything that is imported afterwards. */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { mutants, type Edit, type Mutant } from './mutants.ts';

const root = join(import.meta.dirname, '..', '..');

/** The mutant of this name; throws when there is none. */
export function mutantOf(name: string): Mutant {
  const mutant = mutants.find((one) => one.name === name);
  if (mutant !== undefined) return mutant;
  throw new Error(`no mutant ${name}; there are ${mutants.map((one) => one.name).join(', ')}`);
}

/** Everything a mutant changes. */
export function editsOf(mutant: Mutant): readonly Edit[] {
  return [mutant, ...(mutant.also ?? [])];
}

/** The source of `file` with the mistake in it; throws unless each snippet is there exactly once. */
export function mutated(mutant: Mutant, file: string, source: string): string {
  let text = source;
  for (const { find, replace } of editsOf(mutant).filter((edit) => edit.file === file)) {
    assert.equal(
      text.split(find).length,
      2,
      `mutant ${mutant.name}: its snippet is not once in ${file}`,
    );
    text = text.replace(find, () => replace);
  }
  return text;
}

/** Installs the load hook. */
export function install(mutant: Mutant): void {
  const wanted = new Map(
    editsOf(mutant).map(({ file }) => [pathToFileURL(join(root, file)).href, file]),
  );
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context);
      const file = wanted.get(url);
      if (file === undefined) return loaded;
      const { source } = loaded;
      assert(source !== undefined && source !== null, `${url} has a source`);
      const text = typeof source === 'string' ? source : new TextDecoder().decode(source);
      return { ...loaded, source: mutated(mutant, file, text) };
    },
  });
}
