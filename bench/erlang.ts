/** The peer of the actor benches: Erlang/OTP on the same machine, two schedulers, when it is installed. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Said in the figures when there is no Erlang. */
export const noErlang = 'erl is not installed (Debian: erlang-base)';

const millisecondsMax = 300_000;

/**
 * Runs function `main/0` of an Erlang module, whose printed lines are JSON, and answers them; null when Erlang is not
 * installed.
 */
export function runErlang(name: string, source: string): readonly unknown[] | null {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-erlang-'));
  try {
    writeFileSync(join(directory, `${name}.erl`), source);
    const options = { cwd: directory, encoding: 'utf8', timeout: millisecondsMax } as const;
    const compiled = spawnSync('erlc', [`${name}.erl`], options);
    if (compiled.error !== undefined) return null;
    if (compiled.status !== 0) throw new Error(`erlc: ${compiled.stdout}${compiled.stderr}`);
    const args = ['+S', '2:2', '-noshell', '-s', name, 'main', '-s', 'init', 'stop'];
    const ran = spawnSync('erl', args, options);
    if (ran.status !== 0) throw new Error(`erl: ${ran.stdout}${ran.stderr}`);
    return ran.stdout
      .split('\n')
      .filter((line) => line.startsWith('{') || line.startsWith('['))
      .map((line): unknown => JSON.parse(line));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
