/**
 * A Unix socket in the data directory that answers each connection with the inspection of the running capture, one JSON
 * document, for `sluice plan --live`. Only who may enter the directory reaches it; nothing is read from it.
 */
import { rmSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { fail } from '#src/base/failure.ts';
import type { Log } from '#src/ports/log.ts';
import type { Inspection, LiveNode } from './inspection.ts';

const fileName = 'inspect.sock';
/** Longer paths are cut by the operating system. */
const pathBytesMax = 100;
const connectionCountMax = 8;
const answerWithinMs = 5_000;
const answerBytesMax = 64 << 20;

/** Serves `inspect` in `directory` until it is closed; null, with a line in the log, when that is not possible. */
export async function serveInspection(
  directory: string,
  inspect: () => Promise<Inspection>,
  log: Log,
): Promise<Server | null> {
  const path = join(directory, fileName);
  if (Buffer.byteLength(path) > pathBytesMax) {
    log('info', 'inspection-off', { reason: 'the path of the data directory is too long' });
    return null;
  }
  if (await isAnswered(path)) {
    log('warn', 'inspection-off', { reason: 'another process answers in the data directory' });
    return null;
  }
  // A killed process leaves its socket behind.
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.setTimeout(answerWithinMs, () => socket.destroy());
    // Who hangs up early wanted no answer.
    socket.on('error', () => socket.destroy());
    inspect().then(
      (inspection) => socket.end(JSON.stringify(inspection)),
      () => socket.destroy(),
    );
  });
  server.maxConnections = connectionCountMax;
  server.unref();
  return await new Promise((resolve) => {
    server.once('error', (error) => {
      log('warn', 'inspection-off', { reason: error.message });
      resolve(null);
    });
    server.listen(path, () => resolve(server));
  });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** The inspection of the capture that runs over `directory`; FailureError CONFIG_INVALID when none answers. */
export async function readInspection(directory: string): Promise<Inspection> {
  const text = await new Promise<string | null>((resolve) => {
    const socket = connect(join(directory, fileName));
    const parts: Buffer[] = [];
    let byteCount = 0;
    socket.setTimeout(answerWithinMs, () => socket.destroy());
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      byteCount += part.byteLength;
      if (byteCount > answerBytesMax) socket.destroy();
    });
    socket.on('error', () => resolve(null));
    socket.on('end', () => resolve(Buffer.concat(parts).toString()));
    socket.on('close', () => resolve(null));
  });
  if (text === null || text === '')
    return fail('CONFIG_INVALID', `--data-dir: no running sluice answers in ${directory}`);
  return JSON.parse(text) as Inspection;
}

/** The live tree as a drawing, one line a node. */
export function printInspection(inspection: Inspection): string {
  const rows: { readonly tree: string; readonly note: string }[] = [];
  const visit = (node: LiveNode, lead: string, branch: string): void => {
    const thread = node.thread === undefined ? '' : ` [${node.thread}]`;
    rows.push({ tree: `${lead}${branch}${node.id}${thread}`, note: noteOf(node) });
    const children = node.children ?? [];
    const below = branch === '' ? '' : `${lead}${branch === '└─ ' ? '   ' : '│  '}`;
    for (const [index, child] of children.entries())
      visit(child, below, index === children.length - 1 ? '└─ ' : '├─ ');
  };
  visit(inspection.tree, '', '');
  const width = Math.max(...rows.map((row) => row.tree.length)) + 2;
  return rows.map((row) => `${row.tree.padEnd(width)}${row.note}`).join('\n');
}

function noteOf(node: LiveNode): string {
  const notes = [node.fenced === true ? 'fenced' : node.status];
  if (node.restarts > 0) notes.push(`${node.restarts} restarts`);
  if (node.epoch !== undefined && node.epoch > 0) notes.push(`epoch ${node.epoch}`);
  if (node.mailbox !== undefined && node.mailbox > 0) notes.push(`${node.mailbox} waiting`);
  if (node.refusals !== undefined && node.refusals > 0) notes.push(`${node.refusals} refused`);
  return notes.join(', ');
}
