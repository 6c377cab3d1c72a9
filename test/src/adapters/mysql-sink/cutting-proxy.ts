import { connect, createServer } from 'node:net';

import type { AddressInfo, Server, Socket } from 'node:net';

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  readonly held: { toServer: Buffer[]; toClient: Buffer[] };
}

/**
 * A TCP proxy in front of a server that can behave like a bad network: hold bytes of either direction, or lose the client's side
 * while the server still serves it.
 */
export class CuttingProxy {
  readonly #listener: Server;
  readonly #pairs = new Set<Pair>();
  readonly #held = new Set<'toServer' | 'toClient'>();

  private constructor(listener: Server) {
    this.#listener = listener;
  }

  /** Listens on a free port of 127.0.0.1 and forwards to `port`. */
  static async start(port: number): Promise<CuttingProxy> {
    const listener = createServer();
    const proxy = new CuttingProxy(listener);
    listener.on('connection', (client) => {
      proxy.#join(client, connect(port, '127.0.0.1'));
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** A sink URI that goes through this proxy. */
  uri(): string {
    return `mysql://root@127.0.0.1:${(this.#listener.address() as AddressInfo).port}/`;
  }

  /** Keeps bytes of one direction back until `release`. */
  hold(direction: 'toServer' | 'toClient'): void {
    this.#held.add(direction);
  }

  /** How many bytes are kept back. */
  heldBytes(direction: 'toServer' | 'toClient'): number {
    let count = 0;
    for (const { held } of this.#pairs) {
      for (const chunk of held[direction]) count += chunk.byteLength;
    }
    return count;
  }

  /** Lets bytes of one direction pass, kept ones first. */
  release(direction: 'toServer' | 'toClient'): void {
    this.#held.delete(direction);
    for (const { client, server, held } of this.#pairs) {
      const target = direction === 'toServer' ? server : client;
      for (const chunk of held[direction].splice(0)) if (!target.destroyed) target.write(chunk);
    }
  }

  /** Cuts every client off; the server's side stays connected and gets what was sent. */
  loseClients(): void {
    for (const { client } of this.#pairs) client.destroy();
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
    await new Promise<void>((resolve) => {
      this.#listener.close(() => {
        resolve();
      });
    });
  }

  #join(client: Socket, server: Socket): void {
    const pair: Pair = { client, server, held: { toServer: [], toClient: [] } };
    this.#pairs.add(pair);
    client.on('data', (chunk) => {
      this.#pass(pair, 'toServer', chunk);
    });
    server.on('data', (chunk) => {
      this.#pass(pair, 'toClient', chunk);
    });
    client.on('error', () => {});
    server.on('error', () => {});
    server.on('close', () => {
      client.destroy();
      this.#pairs.delete(pair);
    });
  }

  #pass(pair: Pair, direction: 'toServer' | 'toClient', chunk: Buffer): void {
    if (this.#held.has(direction)) {
      pair.held[direction].push(chunk);
      return;
    }
    const target = direction === 'toServer' ? pair.server : pair.client;
    if (!target.destroyed) target.write(chunk);
  }
}
