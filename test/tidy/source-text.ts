/** A source file with the places of its comments and strings known. */
export interface SourceText {
  /** Comments, strings and regular expressions replaced by blanks; lines and columns stay. */
  readonly code: string;
  /** Only comments replaced by blanks. */
  readonly uncommented: string;
}

/** Characters after which a slash begins a regular expression, not a division. */
const beforeRegExp = new Set(['', ...'(,=:[!&|?{};+-*%~^<>\n']);

/**
 * Splits TypeScript text roughly but safely: enough to tell code from words about code. Template literals count as
 * strings as a whole, except for what stands in `${…}`.
 */
export function readSource(text: string): SourceText {
  const code = text.split('');
  const uncommented = text.split('');
  const blank = (from: number, to: number, target: string[]): void => {
    for (let at = from; at < to && at < text.length; at += 1) {
      if (text[at] !== '\n') target[at] = ' ';
    }
  };
  const templates: number[] = [];
  let depth = 0;
  let at = 0;
  while (at < text.length) {
    const start = at;
    const sign = text[at]!;
    const pair = text.slice(at, at + 2);
    if (pair === '//' || pair === '/*') {
      const found = text.indexOf(pair === '//' ? '\n' : '*/', at + 2);
      at = found < 0 ? text.length : found + (pair === '//' ? 0 : 2);
      blank(start, at, code);
      blank(start, at, uncommented);
    } else if (sign === "'" || sign === '"') {
      at = endOfQuoted(text, at, sign);
      blank(start, at, code);
    } else if (sign === '`' || (sign === '}' && templates.at(-1) === depth)) {
      if (sign === '}') templates.pop();
      at = endOfTemplatePart(text, at + 1);
      blank(start, at, code);
      if (text.slice(at - 2, at) === '${') templates.push(depth);
    } else if (sign === '/' && beginsRegExp(text, at)) {
      at = endOfRegExp(text, at);
      blank(start, at, code);
    } else {
      if (sign === '{') depth += 1;
      if (sign === '}') depth -= 1;
      at += 1;
    }
  }
  return { code: code.join(''), uncommented: uncommented.join('') };
}

function endOfQuoted(text: string, start: number, quote: string): number {
  for (let at = start + 1; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === quote || text[at] === '\n') return at + 1;
  }
  return text.length;
}

/** Behind the closing backquote or behind the next `${`. */
function endOfTemplatePart(text: string, start: number): number {
  for (let at = start; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '`') return at + 1;
    else if (text[at] === '$' && text[at + 1] === '{') return at + 2;
  }
  return text.length;
}

function beginsRegExp(text: string, at: number): boolean {
  const before = text.slice(Math.max(0, at - 80), at).replace(/[ \t]+$/, '');
  return beforeRegExp.has(before.slice(-1)) || /\b(return|typeof|case|of|in)$/.test(before);
}

function endOfRegExp(text: string, start: number): number {
  let inClass = false;
  for (let at = start + 1; at < text.length; at += 1) {
    const sign = text[at];
    if (sign === '\\') at += 1;
    else if (sign === '\n') return at;
    else if (sign === '[') inClass = true;
    else if (sign === ']') inClass = false;
    else if (sign === '/' && !inClass) return at + 1;
  }
  return text.length;
}

/** Modules that a file imports, statically or by `import(…)`, in order. */
export function importsOf(source: SourceText): string[] {
  const pattern = /(?:\bfrom\s*|\bimport\s*\(?\s*)'([^'\n]+)'/g;
  return [...source.uncommented.matchAll(pattern)].map((match) => match[1]!);
}

/** Exported declarations without a doc comment right above, as `line: declaration`. */
export function undocumentedExports(text: string): string[] {
  const lines = text.split('\n');
  const found: string[] = [];
  for (const [index, line] of lines.entries()) {
    if (!/^export (?!(?:type )?[{*])/.test(line)) continue;
    const above = lines[index - 1]?.trim() ?? '';
    // The later signatures of an overloaded function are covered by the first one's comment.
    const name = /^export (?:async )?function (\w+)/.exec(line)?.[1];
    const isOverload =
      name !== undefined && new RegExp(`^export (?:async )?function ${name}\\b`).test(above);
    if (!above.endsWith('*/') && !isOverload) found.push(`${index + 1}: ${line.slice(0, 80)}`);
  }
  return found;
}
