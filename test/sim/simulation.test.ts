import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Downstream } from './downstream.ts';
import { History } from './history.ts';
import { SimCoordination } from './sim-coordination.ts';
import { Simulation, type Disk } from './simulation.ts';
import { World } from './world.ts';

const seedCount = Number(process.env['SLUICE_SIM_SEEDS'] ?? 150);
const firstSeed = Number(process.env['SLUICE_SIM_SEED'] ?? 1);

function seeds(): number[] {
  return Array.from({ length: seedCount }, (_, i) => firstSeed + i);
}

/** Half of the runs have so little memory that most events go by way of the store. */
function quota(world: World): { readonly memoryQuota: number } {
  return { memoryQuota: world.chance(0.5) ? 1 << 11 : 8 << 20 };
}

function newDisk(world: World): Disk {
  const history = new History(world, 20 + world.pick(60));
  return { history, downstream: new Downstream(history), coordination: new SimCoordination(world) };
}

/** Runs `body` with the seed in the message of whatever fails. */
function seeded(seed: number, body: (world: World) => void): void {
  try {
    body(new World(seed));
  } catch (error) {
    throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

function assertCopied(simulation: Simulation, disk: Disk): void {
  const { history, downstream } = disk;
  assert.deepEqual(
    Object.fromEntries([...downstream.versions].sort()),
    Object.fromEntries([...history.versionsAt(Infinity)].sort()),
  );
  const ddls = history.items.filter((item) => item.ddl !== null).map((item) => item.ts);
  assert.deepEqual([...downstream.ddlDone], ddls);
  assert.equal(downstream.checkpoint?.position.ts, history.newestTs);
  assert.deepEqual(simulation.faults, []);
}

function assertRuns(simulation: Simulation, done: () => boolean, virtualMs: number): void {
  if (simulation.run(done, virtualMs)) return;
  assert.fail(
    `not done at ${simulation.world.now}: ${JSON.stringify(simulation.status)} ${JSON.stringify(simulation.overview())}`,
  );
}

test('a history without trouble is copied, in order and once', () => {
  for (const seed of seeds().slice(0, 30)) {
    seeded(seed, (world) => {
      const disk = newDisk(world);
      const simulation = new Simulation(world, disk, quota(world));
      simulation.start();
      assertRuns(simulation, () => simulation.status?.state === 'finished', 60_000);
      assertCopied(simulation, disk);
    });
  }
});

test('failing ports and crashing actors neither lose nor repeat a change, and the checkpoint never passes one', () => {
  for (const seed of seeds()) {
    seeded(seed, (world) => {
      const disk = newDisk(world);
      const simulation = new Simulation(world, disk, quota(world));
      simulation.trouble.port = world.random() * 0.05;
      simulation.start();
      let crashCount = world.pick(6);
      const roles = [
        'dispatcher',
        'dispatcher',
        'dispatcher-manager',
        'maintainer',
        'log-puller',
        'event-service',
      ];
      const crash = (): void => {
        if (crashCount-- <= 0) return;
        simulation.crash(roles[world.pick(roles.length)]!);
        world.after(world.random() * 600, crash);
      };
      world.after(world.random() * 400, crash);
      world.after(6_000, () => {
        simulation.trouble.port = 0;
      });
      assertRuns(simulation, () => simulation.status?.state === 'finished', 300_000);
      assertCopied(simulation, disk);
    });
  }
});

test('a process that is killed is followed by one that goes on from what it left', () => {
  for (const seed of seeds()) {
    seeded(seed, (world) => {
      const disk = newDisk(world);
      for (let life = 0; life < 3; life++) {
        const dying = new Simulation(new World(seed * 10 + life), disk, quota(world));
        dying.trouble.port = world.random() * 0.03;
        dying.start();
        dying.run(() => dying.status?.state === 'finished', 20 + world.random() * 400);
        assert.deepEqual(dying.faults, []);
        if (world.chance(0.2)) disk.coordination = new SimCoordination(world);
      }
      const last = new Simulation(new World(seed * 10 + 9), disk, quota(world));
      last.start();
      assertRuns(last, () => last.status?.state === 'finished', 60_000);
      assertCopied(last, disk);
    });
  }
});

test('a changefeed that is asked to stop ends at one position in all tables', () => {
  for (const seed of seeds()) {
    seeded(seed, (world) => {
      const disk = newDisk(world);
      const simulation = new Simulation(world, disk, { untilCaughtUp: false, ...quota(world) });
      simulation.start();
      world.after(15 + world.random() * 600, () => simulation.stop());
      assertRuns(simulation, () => simulation.status?.state === 'stopped', 60_000);
      const ts = disk.downstream.checkpoint?.position.ts ?? 0;
      assert.deepEqual(
        Object.fromEntries([...disk.downstream.versions].sort()),
        Object.fromEntries([...disk.history.versionsAt(ts)].sort()),
      );
      simulation.shutdown();
      assertRuns(simulation, () => simulation.over?.kind === 'shutdown', 60_000);
      assert.deepEqual(simulation.faults, []);
      assert.deepEqual(simulation.overview(), []);
    });
  }
});
