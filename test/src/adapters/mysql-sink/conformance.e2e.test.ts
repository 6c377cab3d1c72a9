/** What every sink promises, on a real MariaDB and, where it can be had, a real MySQL. */
import { after, before, describe } from 'node:test';
import { openMysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { testSinkConformance, type SinkUnderTest } from '../sink-conformance.ts';
import { testSplitConformance } from '../split-conformance.ts';
import { makes } from './hand-made-sink.ts';

import type { SinkPort } from '#src/ports/sink.ts';
import type { SqlServer } from '#test/servers/sql-server.ts';

for (const { make, start, skip } of makes) {
  describe(make, { skip }, () => {
    let server: SqlServer;
    before(async () => {
      server = await start();
    });
    after(async () => {
      await server.stop();
    });
    for (const suite of [testSinkConformance, testSplitConformance])
      suite(`the fenced sink on ${make}`, startOne);

    async function startOne(): Promise<SinkUnderTest> {
      await server.script(
        'DROP DATABASE IF EXISTS sluice_meta; DROP DATABASE IF EXISTS conformance',
      );
      const sinks: SinkPort[] = [];
      return {
        open: () => {
          const sink = openMysqlSink({ uri: server.uri(), log: () => {}, owner: 'node' });
          sinks.push(sink);
          return sink;
        },
        readRows: async () => {
          const rows = await server.query<{ id: number; name: string | null }>(
            'SELECT id,name FROM conformance.item ORDER BY id',
          );
          return rows.map(({ id, name }) => [id, name] as const);
        },
        stop: async () => {
          await Promise.all(sinks.map((sink) => sink.close()));
        },
      };
    }
  });
}
