/** SQL bytes to tokens, for sessions with NO_BACKSLASH_ESCAPES. */
import { UnknownSql } from './value.ts';

/** What a token is. `name` is a word in backticks, `system` a word behind `@@`, `user` one behind `@`. */
export type TokenKind =
  | 'word'
  | 'name'
  | 'text'
  | 'number'
  | 'operator'
  | 'user'
  | 'system'
  | 'end';

/** One token. */
export interface Token {
  readonly kind: TokenKind;
  /** Words in capitals; everything else as it means. */
  readonly text: string;
  /** Words as written. */
  readonly raw: string;
  readonly start: number;
  readonly end: number;
}

const space = /(?:\s|#[^\n]*|--\s[^\n]*)*/y;
const word = /[A-Za-z_$][\w$]*/y;
const name = /`((?:[^`]|``)*)`/y;
const text = /'((?:[^']|'')*)'/y;
const hex = /[xX]'([0-9a-fA-F]*)'/y;
const number = /\d+(?:\.\d+)?/y;
const variable = /@(@?)(?:(?:session|global|local)\.)?([\w$]+)/iy;
const operator = /<=>|<=|>=|<>|!=|:=|\|\||&&|[-+*/%=<>(),.;!]/y;
/** 10.11: comments for newer versions are comments. */
const versionMax = 101_199;
const executable = /\/\*M?!(\d+)?/y;

/** Reads the tokens of one command, one ahead. */
export class Tokens {
  readonly sql: string;
  #at: number;
  #isExecutable = false;
  /** The next token. */
  next: Token;

  constructor(sql: string) {
    this.sql = sql;
    this.#at = 0;
    this.next = this.#read();
  }

  /** Takes the next token. */
  take(): Token {
    const taken = this.next;
    this.next = this.#read();
    return taken;
  }

  /** Refuses the command. */
  unknown(): never {
    throw new UnknownSql(`"${this.next.raw}"`, this.sql.slice(Math.max(0, this.next.start - 200)));
  }

  #read(): Token {
    this.#skip();
    const start = this.#at;
    if (start >= this.sql.length) return token('end', '', '', start, start);
    const first = this.sql[start]!;
    if (first === '`') return this.#match('name', name, (raw) => raw.replaceAll('``', '`'));
    if (first === "'") return this.#match('text', text, (raw) => raw.replaceAll("''", "'"));
    if (first === '@') {
      const found = this.#run(variable);
      return token(
        found[1] === '@' ? 'system' : 'user',
        found[2]!.toLowerCase(),
        found[0],
        start,
        this.#at,
      );
    }
    if (first >= '0' && first <= '9') return this.#match('number', number, (raw) => raw);
    if ((first === 'x' || first === 'X') && this.sql[start + 1] === "'") {
      return this.#match('text', hex, (raw) => Buffer.from(raw, 'hex').toString('latin1'));
    }
    if (/[A-Za-z_$]/.test(first)) return this.#match('word', word, (raw) => raw.toUpperCase());
    return this.#match('operator', operator, (raw) => raw);
  }

  #match(kind: TokenKind, pattern: RegExp, mean: (raw: string) => string): Token {
    const start = this.#at;
    const found = this.#run(pattern);
    return token(kind, mean(found[1] ?? found[0]), found[1] ?? found[0], start, this.#at);
  }

  #run(pattern: RegExp): RegExpExecArray {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.sql);
    if (found === null) throw new UnknownSql('a character', this.sql.slice(this.#at));
    this.#at = pattern.lastIndex;
    return found;
  }

  #skip(): void {
    for (;;) {
      this.#run(space);
      if (this.sql.startsWith('/*', this.#at)) {
        executable.lastIndex = this.#at;
        const found = executable.exec(this.sql);
        if (found !== null && Number(found[1] ?? 0) <= versionMax) {
          this.#isExecutable = true;
          this.#at = executable.lastIndex;
        } else {
          const end = this.sql.indexOf('*/', this.#at);
          this.#at = end < 0 ? this.sql.length : end + 2;
        }
      } else if (this.#isExecutable && this.sql.startsWith('*/', this.#at)) {
        this.#isExecutable = false;
        this.#at += 2;
      } else return;
    }
  }
}

function token(kind: TokenKind, text: string, raw: string, start: number, end: number): Token {
  return { kind, text, raw, start, end };
}
