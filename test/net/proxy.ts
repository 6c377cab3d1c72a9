/**
 * A TCP proxy on 127.0.0.1 for tests of connections: passes bytes, cuts the connection after so many of them, flips one
 * on the way, resets it, or stops passing without a word.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';

/** What happens to the bytes from the server to the client of the connections made from now on. */
export type ProxyFault =
  | { readonly kind: 'none' }
  /** After `byteCount` bytes both sides are reset. */
  | { readonly kind: 'cut'; readonly byteCount: number }
  /** Byte number `at` has its bits inverted. */
  | { readonly kind: 'flip'; readonly at: number };

/** A running proxy. */
export class Proxy {
  readonly #server: Server;
  #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  #fault: ProxyFault = { kind: 'none' };
  #frozen = false;
  /** Connections accepted so far. */
  connectionCount = 0;
  /** Bytes passed from the server to clients. */
  passedBytes = 0;

  private constructor(server: Server, target: { readonly host: string; readonly port: number }) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (client) => this.#join(client));
  }

  /** Starts a proxy to `port` of 127.0.0.1. */
  static async start(port: number): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server, { host: '127.0.0.1', port });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  /** Where to connect. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** The fault of connections made from now on. */
  set fault(fault: ProxyFault) {
    this.#fault = fault;
  }

  /** The port of 127.0.0.1 that connections made from now on lead to, as when an address moves to another server. */
  set target(port: number) {
    this.#target = { ...this.#target, port };
  }

  /** Stops or goes on passing bytes, on all connections. */
  set frozen(frozen: boolean) {
    this.#frozen = frozen;
    for (const socket of this.#sockets) {
      if (frozen) socket.pause();
      else socket.resume();
    }
  }

  /** Resets all connections; new ones are accepted. */
  reset(): void {
    for (const socket of this.#sockets) resetSocket(socket);
  }

  /** Ends all connections and the proxy. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #join(client: Socket): void {
    this.connectionCount++;
    const server = connect(this.#target.port, this.#target.host);
    const fault = this.#fault;
    let passed = 0;
    const end = (): void => {
      client.destroy();
      server.destroy();
      this.#sockets.delete(client);
      this.#sockets.delete(server);
    };
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', end);
      socket.on('close', end);
      if (this.#frozen) socket.pause();
    }
    client.on('data', (chunk) => server.write(chunk));
    server.on('data', (chunk: Buffer) => {
      const part = fault.kind === 'cut' ? chunk.subarray(0, fault.byteCount - passed) : chunk;
      if (fault.kind === 'flip' && fault.at >= passed && fault.at < passed + part.length) {
        part[fault.at - passed]! ^= 0xff;
      }
      passed += part.length;
      this.passedBytes += part.length;
      if (!client.write(part)) {
        server.pause();
        client.once('drain', () => {
          if (!this.#frozen) server.resume();
        });
      }
      if (fault.kind === 'cut' && passed >= fault.byteCount) client.end(end);
    });
  }
}

/** A socket whose end is already on its way is not reset: Node would never let go of it, nor of the process. */
function resetSocket(socket: Socket): void {
  if (socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}
