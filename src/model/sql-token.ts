/**
 * Splits SQL of the MySQL family into tokens, as far as naming the tables of a statement needs: words, quoted names,
 * texts, signs. Comments vanish; executable comments (`/*! … *\/`, `/*M! … *\/`) give their content. Total: any text gives
 * tokens, in time linear in its length.
 */

/** One token and where it stood. */
export interface SqlToken {
  /** `word`: unquoted; `name`: in backquotes; `text`: in single or double quotes; `sign`: one other character. */
  readonly kind: 'word' | 'name' | 'text' | 'sign';
  /** Words as written, names and texts without quotes. */
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** How quotes are to be read. */
export interface SqlQuoting {
  /** sql_mode ANSI_QUOTES: double quotes hold names. */
  readonly ansiQuotes?: boolean;
  /** sql_mode NO_BACKSLASH_ESCAPES: a backslash in a text is only itself. */
  readonly noBackslashEscapes?: boolean;
}

const space = /\s/;
const wordStart = /[\p{L}\p{N}_$@\u0080-\uffff]/u;

/** The tokens of `sql`, lazily: a caller that has seen enough stops. */
export function* sqlTokens(sql: string, quoting: SqlQuoting = {}): Generator<SqlToken> {
  let at = 0;
  let insideExecutable = false;
  while (at < sql.length) {
    const sign = sql[at]!;
    if (space.test(sign)) {
      at++;
    } else if (insideExecutable && sign === '*' && sql[at + 1] === '/') {
      insideExecutable = false;
      at += 2;
    } else if (isLineComment(sql, at)) {
      const end = sql.indexOf('\n', at);
      at = end < 0 ? sql.length : end + 1;
    } else if (sign === '/' && sql[at + 1] === '*') {
      const content = executableContent(sql, at);
      if (content < 0) {
        const end = sql.indexOf('*/', at + 2);
        at = end < 0 ? sql.length : end + 2;
      } else {
        insideExecutable = true;
        at = content;
      }
    } else {
      const token = readToken(sql, at, quoting);
      yield token;
      at = token.end;
    }
  }
}

function isLineComment(sql: string, at: number): boolean {
  if (sql[at] === '#') return true;
  if (sql[at] !== '-' || sql[at + 1] !== '-') return false;
  const after = sql[at + 2];
  return after === undefined || space.test(after);
}

/** Offset of the content of an executable comment, behind its version; −1 for a plain comment. */
function executableContent(sql: string, at: number): number {
  let content = at + 2;
  if (sql[content] === 'M' && sql[content + 1] === '!') content += 2;
  else if (sql[content] === '!') content += 1;
  else return -1;
  while (content < sql.length && sql[content]! >= '0' && sql[content]! <= '9') content++;
  return content;
}

function readToken(sql: string, at: number, quoting: SqlQuoting): SqlToken {
  const sign = sql[at]!;
  if (sign === '`') return readQuoted(sql, at, 'name', false);
  if (sign === '"' && quoting.ansiQuotes === true) return readQuoted(sql, at, 'name', false);
  if (sign === '"' || sign === "'") {
    return readQuoted(sql, at, 'text', quoting.noBackslashEscapes !== true);
  }
  if (!wordStart.test(sign)) return { kind: 'sign', value: sign, start: at, end: at + 1 };
  let end = at + 1;
  while (end < sql.length && wordStart.test(sql[end]!)) end++;
  return { kind: 'word', value: sql.slice(at, end), start: at, end };
}

function readQuoted(sql: string, at: number, kind: 'name' | 'text', escapes: boolean): SqlToken {
  const quote = sql[at]!;
  let value = '';
  let from = at + 1;
  let i = from;
  for (; i < sql.length; i++) {
    if (escapes && sql[i] === '\\') {
      i++;
    } else if (sql[i] === quote) {
      if (sql[i + 1] !== quote) break;
      value += sql.slice(from, i + 1);
      i++;
      from = i + 1;
    }
  }
  const close = Math.min(i, sql.length);
  return {
    kind,
    value: value + sql.slice(from, close),
    start: at,
    end: Math.min(close + 1, sql.length),
  };
}
