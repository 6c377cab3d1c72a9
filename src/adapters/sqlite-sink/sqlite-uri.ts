import { fail } from '#src/base/failure.ts';

/** The file of `sqlite:///path` (absolute) or `sqlite://path` (relative); CONFIG_INVALID when there is none. */
export function parseSqliteUri(uri: string): string {
  const match = /^sqlite:\/\/([^?#]+)$/i.exec(uri);
  const path = match === null ? '' : decode(match[1]!);
  if (path === '' || path === '/' || path.startsWith(':')) {
    return fail('CONFIG_INVALID', 'the sink is not sqlite:///path/to/file');
  }
  return path;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
