import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fail } from '#src/base/failure.ts';
import type { KeyValue } from '#src/ports/coordination.ts';

const storedShape = z.object({
  version: z.literal(1),
  /** Number of puts ever. */
  revision: z.number().int().nonnegative(),
  entries: z.array(
    z.object({ key: z.string(), value: z.string(), revision: z.number().int().positive() }),
  ),
});

/** What the file holds. */
export interface CoordinationState {
  /** Number of puts ever; the next put gets the next number. */
  readonly revision: number;
  readonly entries: ReadonlyMap<string, KeyValue>;
}

/** Reads the state of `directory`; empty when there is none yet. COORDINATION_FAILED when the file is broken. */
export function readCoordinationFile(directory: string): CoordinationState {
  const path = join(directory, 'coordination.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as { readonly code?: string }).code === 'ENOENT') {
      return { revision: 0, entries: new Map() };
    }
    throw error;
  }
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    data = undefined;
  }
  const parsed = storedShape.safeParse(data);
  if (!parsed.success) {
    return fail('COORDINATION_FAILED', `${path} is damaged; move it away to start anew`, {
      scope: 'Node',
    });
  }
  const { revision, entries } = parsed.data;
  return { revision, entries: new Map(entries.map((entry) => [entry.key, entry])) };
}

/** Replaces the file at once and durably: after a crash it is the old one or the new one, never a part. */
export function writeCoordinationFile(directory: string, state: CoordinationState): void {
  const path = join(directory, 'coordination.json');
  const draft = `${path}.new`;
  const text = JSON.stringify({
    version: 1,
    revision: state.revision,
    entries: [...state.entries.values()],
  });
  const descriptor = openSync(draft, 'w', 0o600);
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(draft, path);
  syncDirectory(directory);
}

/** Makes a rename in `directory` durable; where directories can't be opened the file system sees to it itself. */
function syncDirectory(directory: string): void {
  let descriptor: number;
  try {
    descriptor = openSync(directory, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
