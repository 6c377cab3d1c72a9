/** The configuration of a changefeed as it comes in a request. */
import { parseChangefeedConfig, type ChangefeedFile } from '#src/config/changefeed-file.ts';

/** Checks it as the file is checked; CONFIG_INVALID lists every problem with its key. */
export function configOf(value: unknown): ChangefeedFile {
  return parseChangefeedConfig(withDashes(value, 0), 'replica_config', 'server');
}

/** TiCDC's JSON writes keys with underscores, its files with dashes; both are taken. */
function withDashes(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || depth > 4)
    return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replaceAll('_', '-'),
      withDashes(inner, depth + 1),
    ]),
  );
}
