const masked = '***';

/**
 * A text that must not be seen: a password, a key. Printing, JSON, inspection and string joining all give `***`;
 * only `reveal` gives the text, and only the code that opens a connection calls it.
 */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The text itself. Never log, store or send what comes out, except to the server it opens. */
  reveal(): string {
    return this.#text;
  }

  /** True when there is nothing to hide. */
  get isEmpty(): boolean {
    return this.#text.length === 0;
  }

  toString(): string {
    return masked;
  }

  toJSON(): string {
    return masked;
  }

  /** What node's inspection (console, assertion messages) shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return masked;
  }
}
