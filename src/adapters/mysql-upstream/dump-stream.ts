import type { Socket } from 'node:net';
import { failure, type Failure } from '../../base/failure.ts';
import { PacketFraming } from '../binlog/stream/packet-framing.ts';
import { eventBytesMax } from '../binlog/stream/log-reader.ts';
import { failureOfError } from './source-failure.ts';

/** Silence that is allowed while the server searches the position in its log, which it does without a word. */
const searchMs = 120_000;
/** Heartbeat periods of silence after which a server counts as frozen. */
const silentPeriods = 3;

/**
 * The socket of a dump with its framing. Reads while somebody wants bytes or little is buffered, and pauses otherwise, so
 * that back-pressure reaches the server. Notices the end of the connection and a server that falls silent; the clock
 * stands still while we ourselves do not read. Holds at most about `bufferBytesMax` plus one event.
 */
export class DumpStream {
  readonly framing = new PacketFraming(eventBytesMax + 1);
  readonly #socket: Socket;
  readonly #heartbeatMs: number;
  readonly #onNews: () => void;
  readonly #timer: NodeJS.Timeout;
  #bufferBytesMax = 1 << 20;
  #wanted = true;
  #paused = false;
  /** Milliseconds of silence that are allowed. */
  #patienceMs: number;
  #heardAt = performance.now();
  #strikes = 0;
  #failure: Failure | undefined;

  /** `onNews` is called after bytes have come and after `failure` was set. Commands must be answered in `timeoutMs`. */
  constructor(
    socket: Socket,
    times: { readonly heartbeatMs: number; readonly timeoutMs: number },
    onNews: () => void,
  ) {
    const { heartbeatMs } = times;
    this.#socket = socket;
    this.#heartbeatMs = heartbeatMs;
    this.#patienceMs = times.timeoutMs;
    this.#onNews = onNews;
    socket.on('data', (chunk: Uint8Array) => this.#take(chunk));
    socket.on('error', (error) => this.#fail(failureOfError(error, true)));
    socket.on('end', () => this.#lose());
    socket.on('close', () => this.#lose());
    socket.setTimeout(0);
    this.#timer = setInterval(() => this.#listen(), Math.max(25, heartbeatMs / 2));
    this.#timer.unref();
    socket.resume();
  }

  /** Why no more bytes will come; those buffered are still good. */
  get failure(): Failure | undefined {
    return this.#failure;
  }

  /** Writes a command and expects its reply. */
  send(packet: Uint8Array): void {
    this.framing.expectReply();
    this.#socket.write(packet);
  }

  /** The server begins to search the position in its log. */
  setSearching(): void {
    this.#patienceMs = Math.max(searchMs, this.#heartbeatMs * silentPeriods);
  }

  /** The server has found the position: from now on it must send heartbeats. */
  setLive(): void {
    this.#patienceMs = this.#heartbeatMs * silentPeriods;
  }

  /** Somebody waits for bytes, or nobody does and at most `bufferBytesMax` may be buffered. */
  want(wanted: boolean, bufferBytesMax: number): void {
    this.#wanted = wanted;
    this.#bufferBytesMax = bufferBytesMax;
    this.#regulate();
  }

  /** Destroys the socket. */
  close(): void {
    clearInterval(this.#timer);
    this.#failure ??= failure('INTERNAL_STOPPED', 'the stream was closed');
    this.#socket.destroy();
  }

  #take(chunk: Uint8Array): void {
    this.#heardAt = performance.now();
    this.#strikes = 0;
    // A plain view: cutting packets out of a Buffer costs several times as much, for every event of the log.
    this.framing.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    this.#onNews();
    this.#regulate();
  }

  #regulate(): void {
    const pause = !this.#wanted && this.framing.bufferedBytes >= this.#bufferBytesMax;
    if (pause === this.#paused || this.#failure !== undefined) return;
    this.#paused = pause;
    if (pause) {
      this.#socket.pause();
      return;
    }
    this.#heardAt = performance.now();
    this.#strikes = 0;
    this.#socket.resume();
  }

  #listen(): void {
    if (this.#paused) return;
    const silence = performance.now() - this.#heardAt;
    // Two looks in a row: after a stall of our own thread the bytes are there, only not read yet.
    this.#strikes = silence > this.#patienceMs ? this.#strikes + 1 : 0;
    if (this.#strikes < 2) return;
    const message = `the upstream sent nothing for ${Math.round(silence)} ms`;
    this.#fail(failure('SOURCE_FROZEN', message, { retry: 'Reconnect' }));
  }

  #lose(): void {
    const message = 'the upstream closed the connection';
    this.#fail(failure('SOURCE_DISCONNECTED', message, { retry: 'Reconnect' }));
  }

  #fail(reason: Failure): void {
    if (this.#failure !== undefined) return;
    this.#failure = reason;
    clearInterval(this.#timer);
    this.#socket.destroy();
    this.#onNews();
  }
}
