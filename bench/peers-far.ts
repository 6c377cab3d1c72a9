/** The other process of the bench of peers: counts data frames, sends control frames back, and does the same on a plain socket. */
import { createServer } from 'node:net';
import { openGrpcPeers } from '#src/adapters/grpc-peers/grpc-peers.ts';

/** What this process tells at its start. */
export interface FarReady {
  readonly peers: string;
  readonly plainPort: number;
}

let received = 0;
const peers = await openGrpcPeers(
  { clusterId: 'bench', captureId: 'far', listen: '127.0.0.1:0', tls: null },
  {
    frame: (from, peerClass, bytes) => {
      if (peerClass === 'data') {
        received++;
        return;
      }
      // An empty control frame asks how many data frames have come.
      const answer = bytes.byteLength > 0 ? bytes : Buffer.from(String(received));
      peers.send(from, 'control', answer);
    },
  },
);

/** Swallows everything; an 'E' at the end of what came is answered with one. */
const plain = createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => socket.destroy());
  socket.on('data', (bytes) => {
    if (bytes.at(-1) === 0x45) socket.write('E');
  });
});
await new Promise<void>((resolve) => {
  plain.listen(0, '127.0.0.1', resolve);
});

process.on('message', (near: string) => {
  peers.setMembers([{ captureId: 'near', address: near }]);
});
process.on('disconnect', () => process.exit(0));
const address = plain.address();
const plainPort = typeof address === 'object' && address !== null ? address.port : 0;
process.send?.({ peers: peers.address, plainPort } satisfies FarReady);
