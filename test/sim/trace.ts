/** What happened in a run, as a hash that two runs of one seed must share (I-34), and its newest lines for people. */

/** Lines kept for the message of a failed run. */
const keptCount = 40;

/** Events by (time, cell, kind, number). */
export class Trace {
  /** Events so far. */
  count = 0;
  #a = 0x811c_9dc5;
  #b = 0x9747_b28c;
  readonly #lines: (readonly [at: number, cell: string, kind: string, number: number])[] = [];

  /** Adds one event. */
  note(at: number, cell: string, kind: string, number: number): void {
    this.#lines[this.count++ % keptCount] = [at, cell, kind, number];
    this.#mix(Math.round(at * 1_000));
    this.#text(cell);
    this.#text(kind);
    this.#mix(number);
  }

  /** The hash of everything noted, 16 hexadecimal digits. */
  get hash(): string {
    return [this.#a, this.#b].map((part) => part.toString(16).padStart(8, '0')).join('');
  }

  /** The newest events, oldest first, one line each. */
  newest(count: number): string[] {
    const from = Math.max(0, this.count - Math.min(count, keptCount));
    const lines: string[] = [];
    for (let i = from; i < this.count; i++) {
      const [at, cell, kind, number] = this.#lines[i % keptCount]!;
      lines.push(`${at.toFixed(3).padStart(12)}  ${cell}  ${kind}  ${number}`);
    }
    return lines;
  }

  #text(text: string): void {
    for (let i = 0; i < text.length; i++) this.#mix(text.charCodeAt(i));
    this.#mix(0x1_0001);
  }

  #mix(number: number): void {
    this.#a = Math.imul(this.#a ^ number, 0x0100_0193) >>> 0;
    this.#b = Math.imul(this.#b ^ (number + (this.#a >>> 7)), 0x85eb_ca6b) >>> 0;
  }
}
