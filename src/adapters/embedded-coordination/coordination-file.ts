import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { fail } from '#src/base/failure.ts';
import type { KeyValue } from '#src/ports/coordination.ts';

const revisionShape = z.number().int().positive();

/** Version 2 added createRevision; a file of version 1 takes the last change for it. */
const storedShape = z.object({
  version: z.union([z.literal(1), z.literal(2)]),
  revision: z.number().int().nonnegative(),
  entries: z.array(
    z.object({
      key: z.string(),
      value: z.string(),
      revision: revisionShape,
      createRevision: revisionShape.optional(),
    }),
  ),
});

/** What the file holds: the keys that stay, none bound to a session. */
export interface CoordinationState {
  /** Number of transactions ever; the next gets the next number. */
  readonly revision: number;
  readonly entries: readonly KeyValue[];
}

/** Reads the state of `directory`; empty when there is none yet. COORDINATION_FAILED when the file is broken. */
export function readCoordinationFile(directory: string): CoordinationState {
  const path = join(directory, 'coordination.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as { readonly code?: string }).code === 'ENOENT') {
      return { revision: 0, entries: [] };
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
  return {
    revision,
    entries: entries.map((entry) => ({
      ...entry,
      createRevision: entry.createRevision ?? entry.revision,
      lease: '',
    })),
  };
}

/** Replaces the file at once and durably: after a crash it is the old one or the new one, never a part. */
export function writeCoordinationFile(directory: string, state: CoordinationState): void {
  const path = join(directory, 'coordination.json');
  const draft = `${path}.new`;
  const text = JSON.stringify({
    version: 2,
    revision: state.revision,
    entries: state.entries.map(({ key, value, revision, createRevision }) => ({
      key,
      value,
      revision,
      createRevision,
    })),
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
