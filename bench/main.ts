/** `npm run bench -- NAME [--json]`: runs one bench; with `--json` the last line is one JSON object. */
import { apply } from './apply.ts';
import { decode } from './decode.ts';
import { failover } from './failover.ts';
import { fence } from './fence.ts';
import { latency } from './latency.ts';
import { messages } from './messages.ts';
import { move } from './move.ts';
import { peers } from './peers.ts';
import { replicate } from './replicate.ts';
import { sim } from './sim.ts';
import { spawn } from './spawn.ts';
import { unpack } from './unpack.ts';

/** A bench: prints what a person reads unless `json`, and answers the figures. */
type Bench = (options: { readonly json: boolean }) => Promise<object>;

const benches: Readonly<Record<string, Bench>> = {
  decode,
  apply,
  replicate,
  latency,
  messages,
  peers,
  fence,
  spawn,
  sim,
  unpack,
  failover,
  move,
};

async function main(args: readonly string[]): Promise<number> {
  const name = args.find((arg) => !arg.startsWith('--')) ?? '';
  const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (bench === undefined) {
    process.stderr.write(`usage: npm run bench -- ${Object.keys(benches).join('|')} [--json]\n`);
    return 2;
  }
  const json = args.includes('--json');
  const result = await bench({ json });
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  return 0;
}

process.exitCode = await main(process.argv.slice(2));
