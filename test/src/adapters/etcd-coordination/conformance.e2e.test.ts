/** What every coordination store promises, by a real etcd. */
import { after, before } from 'node:test';
import { openEtcdCoordination } from '#src/adapters/etcd-coordination/etcd-coordination.ts';
import type { CoordinationPort } from '#src/ports/coordination.ts';
import { startEtcd, type EtcdServer } from '#test/servers/etcd.ts';
import { testCoordinationConformance } from '../coordination-conformance.ts';

let server: EtcdServer;
before(async () => {
  server = await startEtcd();
});
after(() => server.stop());

testCoordinationConformance('etcd', () => {
  const ports: CoordinationPort[] = [];
  return Promise.resolve({
    open: () => {
      const port = openEtcdCoordination({ urls: server.endpoint });
      ports.push(port);
      return port;
    },
    compact: async () => {
      const { header } = (await server.call('kv/range', { key: 'AA==' })) as {
        readonly header: { readonly revision: string };
      };
      await server.call('kv/compaction', { revision: header.revision, physical: true });
    },
    revoke: async (lease) => {
      await server.call('lease/revoke', { ID: lease });
    },
    // etcd raises what is below one and a half election times.
    expiryMs: 2_000,
    stop: async () => {
      await Promise.all(ports.map((port) => port.close()));
    },
  });
});
