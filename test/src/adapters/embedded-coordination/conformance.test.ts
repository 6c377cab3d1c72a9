/** What every coordination store promises, by the one of a single process: in memory, and in a directory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openEmbeddedCoordination } from '#src/adapters/embedded-coordination/embedded-coordination.ts';
import { CoordinationClient } from '../coordination-client.ts';
import { testCoordinationConformance } from '../coordination-conformance.ts';

for (const kind of ['memory', 'a directory']) {
  testCoordinationConformance(`embedded coordination in ${kind}`, () => {
    const directory =
      kind === 'memory' ? null : mkdtempSync(join(tmpdir(), 'sluice-coordination-'));
    const port = openEmbeddedCoordination({ directory });
    return Promise.resolve({
      // One process has one: all its cells share it.
      open: () => port,
      compact: async () => {
        const client = new CoordinationClient(port);
        for (let round = 0; round < 70; round++) {
          await client.transact({
            compares: [{ key: '/none', target: 'createRevision', equals: 0 }],
            puts: Array.from({ length: 64 }, (_, index) => ({ key: `/other/${index}`, value: '' })),
          });
        }
      },
      revoke: async (lease) => {
        await port.call({ kind: 'CloseSession', lease });
      },
      expiryMs: null,
      stop: async () => {
        await port.close();
        if (directory !== null) rmSync(directory, { recursive: true, force: true });
      },
    });
  });
}
