/** The command line (DESIGN §17): reads options, runs one command, ends with its exit status. */
import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { plan } from '#actors/plan.ts';
import { fail, FailureError } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';
import { printPlan } from '#src/kernel/plan.ts';
import { addClientCommands } from './client-commands/commands.ts';
import { printInspection, readInspection } from './inspect-socket.ts';
import { workThreadCountMax } from './shared-memory.ts';

// Each command is loaded when it is called: what the server needs takes memory and time that a copy does not.

/** Exit statuses of DESIGN §17. */
const exitStatus = { done: 0, failed: 1, usage: 2 } as const;

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as {
  readonly version: string;
};

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError('must be a whole number from 1.');
  return value;
}

function workerCount(text: string): number {
  const value = wholeNumber(text);
  if (value > workThreadCountMax)
    throw new InvalidArgumentError(`must be at most ${workThreadCountMax}.`);
  return value;
}

const logLevel = (): Option =>
  new Option('--log-level <level>', 'how much is logged on standard error')
    .choices(['debug', 'info', 'warn', 'error', 'silent'])
    .default('warn');
const json = (): Option =>
  new Option('--json', 'JSON lines on standard output; the last line is the result');

function build(finish: (status: number) => void): Command {
  const program = new Command('sluice')
    .description('Change data capture for MariaDB and MySQL')
    .version(version)
    .exitOverride()
    .showHelpAfterError();
  program
    .command('demo')
    .description('replicate a generated workload into SQLite and prove the copy')
    .option('--seconds <n>', 'how long to run', wholeNumber, 10)
    .option('--workload <kind>', 'bank, insert, hot, or a workload:// URI', 'bank')
    .addOption(json())
    .addOption(logLevel())
    .action(async (options) => {
      const { demo } = await import('./demo.ts');
      finish(await demo(options));
    });
  program
    .command('replicate')
    .description('copy every committed change of one database server to another')
    .requiredOption('--upstream <uri>', 'mysql://user:password@host:port/ or workload://')
    .requiredOption(
      '--sink-uri <uri>',
      'mysql://user:password@host:port/, sqlite:///path or blackhole://',
    )
    .option('-i, --changefeed-id <id>', 'name under which the downstream keeps the position')
    .option('--config <file>', 'changefeed configuration (TOML)')
    .option(
      '--start <where>',
      'now, oldest or a GTID; a stored position of the same changefeed wins',
      'now',
    )
    .option('--until-caught-up', 'end when the position that is newest now is applied', false)
    .option('--workers <n>', 'work threads; default: cores - 1', workerCount)
    .option('--data-dir <dir>', 'event store and epochs; default: a temporary directory')
    .addOption(json())
    .addOption(logLevel())
    .action(async (options) => {
      const { replicate } = await import('./replicate-command.ts');
      finish(await replicate(options));
    });
  program
    .command('server')
    .description('run a node with its HTTP API')
    .option('--addr <host:port>', 'where the API listens', '127.0.0.1:8300')
    .option(
      '--peer-addr <host:port>',
      'where other nodes are listened to, and reach this one',
      '127.0.0.1:8301',
    )
    .requiredOption(
      '--data-dir <dir>',
      'event store, secret key, and the state of a node without --etcd',
    )
    .option(
      '--etcd <urls>',
      'etcd of the cluster, URL,URL, with TLS https://HOST:PORT?ca=FILE&cert=FILE&key=FILE; absent: a node of its own',
    )
    .option('--cluster-id <id>', 'name of the cluster', 'default')
    .option('--config <file>', 'server configuration (TOML)')
    .option('--workers <n>', 'work threads; default: cores - 1', workerCount)
    .option(
      '--lease-ttl <seconds>',
      'how long a node that says nothing is waited for',
      wholeNumber,
      10,
    )
    .addOption(
      new Option(
        '--on-fence <what>',
        'what a node does that lost its session: come back as another capture, or end with status 3',
      )
        .choices(['rejoin', 'exit'])
        .default('rejoin'),
    )
    .addOption(logLevel())
    .action(async (options) => {
      const { server } = await import('./server-command.ts');
      finish(await server(options, version));
    });
  addClientCommands(program, finish);
  program
    .command('diff')
    .description('compare upstream and downstream, row by row, by checksums')
    .requiredOption('--upstream <uri>', 'mysql://user:password@host:port/')
    .requiredOption('--sink-uri <uri>', 'mysql://user:password@host:port/')
    .option('--config <file>', 'changefeed configuration (TOML): its filter rules apply')
    .addOption(json())
    .action(async (options) => {
      const { diff } = await import('./diff-command.ts');
      finish(await diff(options));
    });
  program
    .command('plan')
    .description('print the supervision tree')
    .option('--live', 'of the process that runs over --data-dir: what lives, waits, was restarted')
    .option('--data-dir <dir>', 'with --live: the data directory of that process')
    .addOption(json())
    .action(async (options: PlanOptions) => finish(await printTree(options)));
  program
    .command('version')
    .description('print the version')
    .action(() => {
      process.stdout.write(`${version}\n`);
      finish(exitStatus.done);
    });
  return program;
}

async function main(): Promise<void> {
  let status: number = exitStatus.done;
  try {
    await build((given) => (status = given)).parseAsync();
  } catch (error) {
    status = statusOf(error);
  }
  process.exitCode = status;
}

function statusOf(error: unknown): number {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) return exitStatus.done;
    if (isJson()) writeError('CONFIG_INVALID', error.message.replace(/^error: /, ''));
    return exitStatus.usage;
  }
  if (!(error instanceof FailureError)) throw error;
  const { code, message } = error.failure;
  if (isJson()) writeError(code, message);
  else process.stderr.write(`sluice: ${code}: ${message}\n`);
  return code === 'CONFIG_INVALID' ? exitStatus.usage : exitStatus.failed;
}

interface PlanOptions {
  readonly live?: boolean;
  readonly dataDir?: string;
  readonly json?: boolean;
}

async function printTree(options: PlanOptions): Promise<number> {
  if (options.live !== true) {
    process.stdout.write(`${printPlan(plan)}\n`);
    return exitStatus.done;
  }
  if (options.dataDir === undefined) fail('CONFIG_INVALID', '--live needs --data-dir');
  const inspection = await readInspection(options.dataDir);
  const text = options.json === true ? JSON.stringify(inspection) : printInspection(inspection);
  process.stdout.write(`${text}\n`);
  return exitStatus.done;
}

function isJson(): boolean {
  return process.argv.includes('--json');
}

/** The result line of a failure (DESIGN §17). */
function writeError(code: FailureCode, message: string): void {
  process.stdout.write(`${JSON.stringify({ ok: false, error: { code, message } })}\n`);
}

await main();
