/**
 * The same random script on the simulated server and on a real MariaDB: the same answers, the same errors, the same sessions
 * blocked after each step, the same rows at the end. The simulated server says after each command who is answered and who
 * waits; the real one must come to the same before the next command is sent, so that its concurrency has one outcome.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { machine } from '#src/adapters/mysql-sink/machine.ts';
import { startMariadb } from '#test/servers/mariadb.ts';
import { TestRandom } from '../../fixtures/random.ts';
import { finalQueries, nextCommand, tablesSql } from './differential-script.ts';
import { Side } from './differential-side.ts';
import { SimMachine } from './sim-machine.ts';
import { SinkWorld } from './sim-sink-driver.ts';

import type { MariadbServer } from '#test/servers/mariadb.ts';
import type { Told } from './differential-side.ts';

const seedCount = Number(process.env['SLUICE_DIFFERENTIAL_SEEDS'] ?? 60);
const firstSeed = Number(process.env['SLUICE_SIM_SEED'] ?? 1);
const sessionCount = 3;
const stepCount = 40;
const patienceMs = 5_000;

/** The script has come to where its outcome is open. */
class Race extends Error {}

/** What came to pass in all scripts together. */
const seen = new Map<string, number>();

class Script {
  readonly #seed: number;
  readonly #dice: TestRandom;
  readonly #server: MariadbServer;
  readonly #schema: string;
  readonly #world: SinkWorld;
  readonly #sim: Side;
  readonly #real: Side;
  readonly #steps: string[] = [];
  readonly #slots = new Map([1, 2, 3, 4].map((slot) => [slot, { token: 5, seq: 0 }]));

  constructor(seed: number, server: MariadbServer) {
    this.#seed = seed;
    this.#dice = new TestRandom(seed);
    this.#server = server;
    this.#schema = `s${seed}`;
    this.#world = new SinkWorld(seed);
    const { host, server: simulated, drain } = this.#world;
    const { surroundings } = new SimMachine({ host, server: simulated, drain });
    this.#sim = new Side(surroundings, 'mysql://root@simulated/');
    this.#real = new Side(machine, server.uri());
  }

  async run(): Promise<void> {
    await this.#server.script(`DROP DATABASE IF EXISTS ${this.#schema};${tablesSql(this.#schema)}`);
    this.#world.server.run(tablesSql(this.#schema));
    try {
      for (let at = 0; at < sessionCount; at++) await this.#open(at);
      for (let step = 0; step < stepCount; step++) await this.#step();
      await this.#end();
    } catch (error) {
      if (error instanceof Race) return note('race');
      const { uncertain } = this.#world.server;
      if (uncertain !== null) return note(uncertain);
      const script = this.#steps.join('\n');
      throw new Error(`seed ${this.#seed}: ${String(error)}\n${script}`, { cause: error });
    } finally {
      this.#sim.close();
      this.#real.close();
      await this.#server.script(`DROP DATABASE IF EXISTS ${this.#schema}`);
    }
  }

  async #open(at: number): Promise<void> {
    await this.#world.run(this.#sim.open(at, this.#schema));
    await this.#real.open(at, this.#schema);
  }

  async #step(): Promise<void> {
    const free = this.#sessions().filter((at) => !this.#sim.isPending(at));
    if (free.length === 0) return;
    const at = this.#dice.pick(free);
    if (this.#dice.chance(3)) return this.#kill(at);
    const open = this.#openSessions();
    const command = nextCommand(this.#dice, {
      schema: this.#schema,
      isOpen: open.has(at),
      isAlone: [...open].every((other) => other === at) && free.length === sessionCount,
      slots: this.#slots,
    });
    await this.#send(at, command);
    this.#readSlots();
  }

  async #send(at: number, command: string): Promise<void> {
    this.#steps.push(`${at}: ${command}`);
    const endsAndGoesOn = command.startsWith('BEGIN;') && this.#openSessions().has(at);
    this.#sim.send(at, command);
    this.#real.send(at, command);
    await this.#meet(endsAndGoesOn ? 1 : 0);
  }

  /** One session ends another. */
  async #kill(at: number): Promise<void> {
    const victim = (at + 1 + this.#dice.below(sessionCount - 1)) % sessionCount;
    this.#steps.push(`${at}: KILL ${victim}`);
    const realId = this.#real.idOf(victim);
    this.#sim.send(at, `KILL CONNECTION ${this.#sim.idOf(victim)}`);
    this.#real.send(at, `KILL CONNECTION ${realId}`);
    note('killed');
    await this.#bury(victim, realId);
  }

  /** Sessions wait for each other over locks of several kinds, which no server notices: one is ended from outside. */
  async #untie(victim: number): Promise<void> {
    this.#steps.push(`KILL ${victim} from outside`);
    const realId = this.#real.idOf(victim);
    this.#world.server.kill(this.#sim.idOf(victim));
    await this.#server.query(`KILL CONNECTION ${realId}`);
    await this.#bury(victim, realId);
  }

  async #bury(victim: number, realId: number): Promise<void> {
    await this.#pass();
    await until(() => this.#real.isClosed(victim), 'the killed session has not ended');
    await until(async () => {
      const sql = 'SELECT COUNT(*) AS count FROM information_schema.PROCESSLIST WHERE ID=?';
      return Number((await this.#server.query<{ count: number }>(sql, [realId]))[0]!.count) === 0;
    }, 'the killed session is still listed');
    await this.#meet();
    await this.#open(victim);
  }

  /** Lets both servers come to rest, and compares what they told; `runnerCount` = sessions that go on by themselves. */
  async #meet(runnerCount = 0): Promise<void> {
    await this.#pass();
    const { resumedIds } = this.#world.server;
    // Several that go on at once run a race, whose end is the real server's own affair.
    if (resumedIds.size > 0 && resumedIds.size + runnerCount > 1) throw new Race();
    resumedIds.clear();
    for (const at of this.#sessions()) {
      if (this.#sim.isPending(at)) continue;
      await until(() => !this.#real.isPending(at), `session ${at} waits on the real server only`);
    }
    const waiting = this.#sessions().filter((at) => this.#sim.isPending(at));
    if (waiting.length > 0) {
      note('blocked');
      await until(
        async () => (await this.#blockedCount()) === waiting.length,
        () =>
          `sessions ${waiting.join()} wait on the simulated server, ${this.#sessions()
            .filter((at) => this.#real.isPending(at))
            .join()} on the real one`,
      );
    }
    for (const at of this.#sessions()) {
      assert.equal(this.#real.isPending(at), this.#sim.isPending(at), `session ${at} waits`);
      const told = this.#sim.take(at);
      const tells = this.#real.take(at);
      assert.deepEqual(plain(told), plain(tells), `session ${at}: simulated, then real`);
      if (told !== null && told !== 'closed' && told.error !== null)
        note(told.error.split(' ')[0]!);
    }
  }

  /** Does what is due at this moment of virtual time. */
  async #pass(): Promise<void> {
    const { world, drain } = this.#world;
    do {
      await drain.settle();
      while (world.step(world.now));
    } while (drain.isNeeded);
  }

  async #blockedCount(): Promise<number> {
    const [row] = await this.#server.query<{ count: number | string }>(
      `SELECT (SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME='INNODB_ROW_LOCK_CURRENT_WAITS')+(SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE IN ('Waiting for table metadata lock','User lock')) AS count`,
    );
    return Number(row!.count);
  }

  /** Ends all transactions, one after the other, and compares what is left. */
  async #end(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      const free = this.#sessions().filter((at) => !this.#sim.isPending(at));
      for (const at of free)
        if (!this.#sim.isPending(at))
          await this.#send(at, "ROLLBACK;DO RELEASE_LOCK('a'),RELEASE_LOCK('b')");
      if (free.length === sessionCount) break;
      const stuck = this.#sessions().find((at) => this.#sim.isPending(at));
      if (stuck !== undefined && round > 2) await this.#untie(stuck);
    }
    for (const query of finalQueries) {
      const isNames = query.endsWith('=');
      await this.#send(0, isNames ? `${query}'${this.#schema}' ORDER BY TABLE_NAME` : query);
    }
  }

  #sessions(): number[] {
    return Array.from({ length: sessionCount }, (_, at) => at);
  }

  #openSessions(): Set<number> {
    const open = this.#world.server.openIds;
    return new Set(this.#sessions().filter((at) => open.includes(this.#sim.idOf(at))));
  }

  /** What the script may believe of the slots: as committed. */
  #readSlots(): void {
    for (const [, slot, token, , seq] of this.#world.server.rows(this.#schema, 'slot')!) {
      this.#slots.set(Number(slot), { token: Number(token), seq: Number(seq) });
    }
  }
}

function note(what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

/** Signed and unsigned together are a decimal to MariaDB, which arrives as text: these columns compare by value. */
const decimals = new Set(['top', 'r']);

/** Answers without prototypes. */
function plain(told: Told | null): unknown {
  return JSON.parse(JSON.stringify(told), (name, value) =>
    decimals.has(name) ? Number(value) : value,
  );
}

async function until(
  isSo: () => boolean | Promise<boolean>,
  otherwise: string | (() => string),
): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await isSo())) {
    if (performance.now() > end)
      assert.fail(typeof otherwise === 'string' ? otherwise : otherwise());
    await sleep(1);
  }
}

describe('the simulated server and a real MariaDB', () => {
  let server: MariadbServer;
  before(async () => {
    server = await startMariadb();
  });
  after(async () => {
    await server.stop();
  });

  it('answer random scripts of several sessions alike', async (t) => {
    for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
      await new Script(seed, server).run();
    }
    t.diagnostic(`seen: ${JSON.stringify(Object.fromEntries(seen))}`);
    if (seedCount < 60) return;
    for (const what of [
      'blocked',
      'killed',
      '1062',
      '1205',
      '1213',
      '1242',
      '1690',
      '1050',
      '1146',
    ]) {
      assert.ok((seen.get(what) ?? 0) > 0, `never seen: ${what}`);
    }
  });
});
