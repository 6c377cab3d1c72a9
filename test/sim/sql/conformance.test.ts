/** What every sink promises, kept by the real one over the simulated server. */
import { openMysqlSink } from '#src/adapters/mysql-sink/sink.ts';
import { testSinkConformance, type SinkUnderTest } from '#test/src/adapters/sink-conformance.ts';
import { testSplitConformance } from '#test/src/adapters/split-conformance.ts';
import { SimMachine } from './sim-machine.ts';
import { SinkWorld } from './sim-sink-driver.ts';

import type { SinkPort } from '#src/ports/sink.ts';

let seed = 0;

for (const suite of [testSinkConformance, testSplitConformance])
  suite('the fenced sink on a simulated server', start);

function start(): Promise<SinkUnderTest> {
  const speed = { latencyMs: 2, commitMs: 3, definitionMs: 20, statementMs: 1, killMs: 5 };
  const at = new SinkWorld(++seed, speed);
  const { server, host, drain } = at;
  const sinks: SinkPort[] = [];
  return Promise.resolve({
    open: () => {
      const { surroundings } = new SimMachine({ host, server, drain });
      const sink = openMysqlSink({
        uri: 'mysql://root@simulated/',
        log: () => {},
        owner: 'node',
        surroundings,
      });
      sinks.push(sink);
      return {
        call: (request) => at.run(sink.call(request)),
        close: () => sink.close(),
      };
    },
    readRows: () => {
      const { rows } = server.run('SELECT id,name FROM conformance.item ORDER BY id');
      return Promise.resolve(
        rows.map(([id, name]) => [Number(id), name as string | null] as const),
      );
    },
    stop: async () => {
      await Promise.all(sinks.map((sink) => sink.close()));
    },
  });
}
