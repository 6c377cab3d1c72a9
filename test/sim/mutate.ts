/** Puts a mutant in place of the production file it changes, for everything that is imported afterwards. */
import assert from 'node:assert/strict';
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { mutants, type Mutant } from './mutants.ts';

const root = join(import.meta.dirname, '..', '..');

/** The mutant of this name; throws when there is none. */
export function mutantOf(name: string): Mutant {
  const mutant = mutants.find((one) => one.name === name);
  if (mutant !== undefined) return mutant;
  throw new Error(`no mutant ${name}; there are ${mutants.map((one) => one.name).join(', ')}`);
}

/** The source with the mistake in it; throws unless the snippet is there exactly once. */
export function mutated(mutant: Mutant, source: string): string {
  const { name, file, find, replace } = mutant;
  assert.equal(source.split(find).length, 2, `mutant ${name}: its snippet is not once in ${file}`);
  return source.replace(find, () => replace);
}

/** Installs the load hook. */
export function install(mutant: Mutant): void {
  const wanted = pathToFileURL(join(root, mutant.file)).href;
  registerHooks({
    load: (url, context, next) => {
      const loaded = next(url, context);
      if (url !== wanted) return loaded;
      const { source } = loaded;
      assert(source !== undefined && source !== null, `${url} has a source`);
      const text = typeof source === 'string' ? source : new TextDecoder().decode(source);
      return { ...loaded, source: mutated(mutant, text) };
    },
  });
}
