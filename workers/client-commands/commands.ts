/** The client commands of the command line (DESIGN §17) with their options. */
import { InvalidArgumentError, Option, type Command } from 'commander';
import { partCountMax } from '#src/model/span.ts';
import {
  actOnChangefeed,
  createChangefeed,
  listChangefeeds,
  listTables,
  mergeTable,
  moveChangefeed,
  moveTable,
  queryChangefeed,
  removeChangefeed,
  splitTable,
  updateChangefeed,
  type IdOptions,
} from './changefeed-command.ts';
import { drainCapture, listCaptures, resignCoordinator } from './node-command.ts';

type Finish = (status: number) => void;

const defaultServer = 'http://127.0.0.1:8300';

/** Adds `changefeed`, `capture` and `coordinator` to the program; `finish` gets the exit status. */
export function addClientCommands(program: Command, finish: Finish): void {
  const changefeed = program.command('changefeed').description('changefeeds of a server');
  addChangefeedCommands(changefeed, finish);
  addTableCommands(changefeed, finish);
  const capture = program.command('capture').description('nodes of a cluster');
  client(capture.command('list').description('list the nodes')).action(async (options) =>
    finish(await listCaptures(options)),
  );
  client(
    capture
      .command('drain')
      .description(
        'move everything away from a node, and place nothing there; waits until it is empty',
      ),
  )
    .requiredOption('--capture-id <id>', 'capture id of the node')
    .option('--no-wait', 'do not wait until it is empty')
    .option('--cancel', 'end the drain: the node is given work again')
    .action(async (options) => finish(await drainCapture(options)));
  const coordinator = program.command('coordinator').description('the coordinator of a cluster');
  client(coordinator.command('resign').description('let another node be coordinator')).action(
    async (options) => finish(await resignCoordinator(options)),
  );
}

function addChangefeedCommands(changefeed: Command, finish: Finish): void {
  client(changefeed.command('create').description('begin to replicate'))
    .option('-i, --changefeed-id <id>', 'its name; default: a random one')
    .requiredOption('--upstream <uri>', 'mysql://user:password@host:port/ or workload://')
    .requiredOption(
      '--sink-uri <uri>',
      'mysql://user:password@host:port/; without a cluster also sqlite:///path or blackhole://',
    )
    .option('--config <file>', 'changefeed configuration (TOML)')
    .option('--start <where>', 'now, oldest or a GTID', 'now')
    .option('--target-gtid <gtid>', 'copy up to it and nothing behind it; it may be yet to come')
    .option('--no-confirm', 'do not ask')
    .action(async (options) => finish(await createChangefeed(options)));
  client(changefeed.command('list').description('list changefeeds'))
    .option('--state <state>', 'only those of this state')
    .action(async (options) => finish(await listChangefeeds(options)));
  byId(changefeed.command('query').description('show one changefeed')).action(async (options) =>
    finish(await queryChangefeed(options)),
  );
  for (const action of ['pause', 'resume'] as const) {
    byId(changefeed.command(action).description(`${action} a changefeed`)).action(
      async (options: IdOptions) => finish(await actOnChangefeed(options, action)),
    );
  }
  byId(
    changefeed.command('move').description('move the maintainer of a changefeed to another node'),
  )
    .requiredOption('-d, --target-node-id <id>', 'capture id of the node')
    .action(async (options) => finish(await moveChangefeed(options)));
  byId(changefeed.command('update').description('change a stopped or failed changefeed'))
    .option('--sink-uri <uri>', 'another downstream')
    .option('--target-gtid <gtid>', 'another end; none: no end any more')
    .option('--config <file>', 'another configuration (TOML)')
    .action(async (options) => finish(await updateChangefeed(options)));
  byId(changefeed.command('remove').description('end and forget a changefeed'))
    .option('--no-confirm', 'do not ask')
    .action(async (options) => finish(await removeChangefeed(options)));
}

function addTableCommands(changefeed: Command, finish: Finish): void {
  byId(changefeed.command('tables').description('show where its tables are')).action(
    async (options) => finish(await listTables(options)),
  );
  byTable(changefeed.command('move-table').description('move a table to another node'))
    .requiredOption('-d, --target-node-id <id>', 'capture id of the node')
    .action(async (options) => finish(await moveTable(options)));
  byTable(changefeed.command('split-table').description('spread a table over several dispatchers'))
    .requiredOption('--parts <n>', `how many: 2 to ${partCountMax}`, partCount)
    .action(async (options) => finish(await splitTable(options)));
  byTable(changefeed.command('merge-table').description('put a split table together')).action(
    async (options) => finish(await mergeTable(options)),
  );
}

function client(command: Command): Command {
  return command
    .option(
      '--server <urls>',
      'API of any node, or of several, asked until one is reached',
      defaultServer,
    )
    .option('--token-file <file>', 'file with the API token')
    .addOption(new Option('--json', 'one JSON line on standard output'));
}

function byId(command: Command): Command {
  return client(command).requiredOption('-i, --changefeed-id <id>', 'its name');
}

function byTable(command: Command): Command {
  return byId(command).requiredOption('-t, --table <name>', 'schema.table');
}

function partCount(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 2 || value > partCountMax) {
    throw new InvalidArgumentError(`must be a whole number from 2 to ${partCountMax}.`);
  }
  return value;
}
