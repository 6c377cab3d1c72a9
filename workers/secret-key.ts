/** The key that seals passwords (see uri-seal.ts): a file that only its owner reads. */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, FailureError, messageOf } from '#src/base/failure.ts';
import { secretKeyKey } from '#src/model/coordination-key.ts';
import type { CoordinationPort } from '#src/ports/coordination.ts';
import { sealKeyDigits, UriSeal } from './uri-seal.ts';

/** Between two tries to reach a store that does not answer. */
const againMs = 500;

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

/**
 * The key of a cluster whose nodes were given none: made by the first node, kept in the store beside what it seals. It keeps
 * passwords from whoever reads a record, not from whoever reads the whole store. COORDINATION_FAILED and the like when the
 * store has shown none after `withinMs`.
 */
export async function keyOfCluster(
  store: CoordinationPort,
  clusterId: string,
  withinMs: number,
): Promise<string> {
  const key = secretKeyKey(clusterId);
  const compares = [{ key, target: 'revision', equals: 0 }] as const;
  const deadline = performance.now() + withinMs;
  for (;;) {
    const outcome = await store.call({
      kind: 'Transact',
      compares,
      puts: [{ key, value: UriSeal.newKey() }],
    });
    const entry =
      outcome.ok && outcome.value.kind === 'Transacted' ? outcome.value.entries[0] : null;
    if (entry?.value != null) {
      if (form.test(entry.value)) return entry.value;
      fail('COORDINATION_FAILED', `the value of ${key} is damaged`);
    }
    if (performance.now() > deadline) {
      if (!outcome.ok) throw new FailureError(outcome.failure);
      fail('COORDINATION_FAILED', `the store shows no value of ${key}`);
    }
    await new Promise((resolve) => setTimeout(resolve, againMs));
  }
}
