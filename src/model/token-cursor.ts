import { sqlTokens, type SqlQuoting, type SqlToken } from './sql-token.ts';

/** A reader of SQL tokens that looks ahead by need and takes keywords in any case. */
export class TokenCursor {
  readonly #tokens: Generator<SqlToken>;
  readonly #ahead: SqlToken[] = [];

  constructor(sql: string, quoting: SqlQuoting = {}) {
    this.#tokens = sqlTokens(sql, quoting);
  }

  /** The token `distance` ahead (0: the next), or undefined behind the end. */
  peek(distance = 0): SqlToken | undefined {
    while (this.#ahead.length <= distance) {
      const { value, done } = this.#tokens.next();
      if (done === true) return undefined;
      this.#ahead.push(value);
    }
    return this.#ahead[distance];
  }

  /** Takes the next token. */
  take(): SqlToken | undefined {
    const token = this.peek();
    this.#ahead.shift();
    return token;
  }

  /** The next token as an upper-case keyword; empty when it is none. */
  word(distance = 0): string {
    const token = this.peek(distance);
    return token?.kind === 'word' ? token.value.toUpperCase() : '';
  }

  /** Takes the next token when it is one of `words`. */
  takeWord(...words: readonly string[]): boolean {
    const found = words.includes(this.word());
    if (found) this.take();
    return found;
  }

  /** Takes the next token when it is the sign. */
  takeSign(sign: string): boolean {
    const token = this.peek();
    const found = token?.kind === 'sign' && token.value === sign;
    if (found) this.take();
    return found;
  }

  /** Takes a name, quoted or not; empty when there is none. */
  takeName(): string {
    const token = this.peek();
    if (token?.kind !== 'word' && token?.kind !== 'name') return '';
    this.take();
    return token.value;
  }

  /** Takes `[schema.]table`; the schema is `defaultSchema` when not written. Undefined when there is no name. */
  takeTable(
    defaultSchema: string,
  ): { readonly schema: string; readonly table: string } | undefined {
    const first = this.takeName();
    if (first === '') return undefined;
    if (!this.takeSign('.')) return { schema: defaultSchema, table: first };
    return { schema: first, table: this.takeName() };
  }

  /** Takes a parenthesis with all inside it; the opening sign is the next token. */
  skipParentheses(): void {
    let depth = 0;
    for (let token = this.take(); token !== undefined; token = this.take()) {
      if (token.kind !== 'sign') continue;
      if (token.value === '(') depth++;
      else if (token.value === ')' && --depth <= 0) return;
    }
  }
}
