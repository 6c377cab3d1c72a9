/** The key that seals passwords (see uri-seal.ts): a file that only its owner reads. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, messageOf } from '#src/base/failure.ts';
import { sealKeyDigits, UriSeal } from './uri-seal.ts';

const form = new RegExp(`^[0-9a-f]{${sealKeyDigits}}$`, 'i');

/** The key of a data directory, made at its first start; CONFIG_INVALID when what stands there is none. */
export function keyOfDirectory(dataDirectory: string): string {
  const path = join(dataDirectory, 'secret.key');
  if (!existsSync(path)) {
    // Whole or not at all, whatever dies in between.
    const draft = `${path}.${process.pid}`;
    try {
      writeFileSync(draft, `${UriSeal.newKey()}\n`, { mode: 0o600 });
      renameSync(draft, path);
    } catch (error) {
      fail('CONFIG_INVALID', `--data-dir: ${path} cannot be made`, { cause: messageOf(error) });
    }
  }
  return readKey(path, '--data-dir');
}

/** The key in `path`; CONFIG_INVALID, beginning with `option`, when there is none. */
export function readKey(path: string, option: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    return fail('CONFIG_INVALID', `${option}: ${path} cannot be read`, { cause: messageOf(error) });
  }
  if (!form.test(text))
    fail('CONFIG_INVALID', `${option}: ${path} does not hold ${sealKeyDigits} hexadecimal digits`);
  return text;
}
