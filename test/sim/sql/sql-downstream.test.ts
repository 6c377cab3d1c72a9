/**
 * The real sink over the simulated server under everything that goes wrong between them: cut connections, killed sessions,
 * restarts, lock waits, owners that die, and owners that are paused while their successors work, with their packets under
 * way. Each seed is one history; the server's log is judged at each commit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from '../world.ts';
import { Drain } from './drain.ts';
import { ownSpan, randomHistory, versionsOf } from './owner.ts';
import { SqlDownstream } from './sql-downstream.ts';
import { hostIn } from './virtual-host.ts';

const seedCount = Number(process.env['SLUICE_SIM_SQL_SEEDS'] ?? 40);
const firstSeed = Number(process.env['SLUICE_SIM_SEED'] ?? 1);

const spans = ['d.t0', 'd.t1'];

/** What happened in all runs together: a fault that never came to pass proves nothing. */
const seen = new Map<string, number>();

function see(what: string): void {
  seen.set(what, (seen.get(what) ?? 0) + 1);
}

/** One process that owns one span; paused, it keeps what comes. */
class Holder {
  isPaused = false;
  isDead = false;
  readonly #held: (() => void)[] = [];

  readonly enter = (run: () => void): void => {
    if (this.isDead) return;
    if (this.isPaused) this.#held.push(run);
    else run();
  };

  resume(): void {
    this.isPaused = false;
    for (const run of this.#held.splice(0)) this.enter(run);
  }
}

async function runSeed(seed: number): Promise<void> {
  const world = new World(seed);
  const host = hostIn(world);
  const drain = new Drain();
  const { random } = host;
  const speed = {
    latencyMs: 3,
    commitMs: 8,
    definitionMs: 10,
    statementMs: 4,
    killMs: 30,
    lateMs: 3_000,
  };
  const downstream = new SqlDownstream({ host, drain, tables: spans, speed });
  const histories = spans.map((span) => randomHistory(random, span));
  let doneCount = 0;
  let lifeCount = 0;
  const chaosUntil = 4_000 + random() * 8_000;
  const live = (at: number): void => {
    const holder = new Holder();
    const { enter } = holder;
    const life = ++lifeCount;
    // As epochs do: no token of a life is above one of the next.
    let token = life * 2 ** 20;
    const sink = downstream.open({
      name: `life-${life}`,
      mayWrite: () => true,
      isShut: () => false,
      enter,
    });
    const parts = {
      host,
      sink,
      nextToken: () => ++token,
      later: (ms: number, run: () => void) => {
        host.after(ms, () => {
          drain.mark();
          run();
        });
      },
      failed: see,
    };
    const succeed = (): void => {
      if (holder.isDead) return;
      holder.isDead = true;
      sink.close();
      live(at);
    };
    void ownSpan(parts, histories[at]!).then((isDone) => {
      if (isDone && !holder.isDead) doneCount++;
      // Fenced by a successor: nothing more to do here.
    });
    drain.mark();
    const meddle = (): void => {
      if (holder.isDead || host.now() > chaosUntil) return;
      const dice = random();
      if (dice < 0.25) {
        see('owner died');
        return succeed();
      }
      if (dice < 0.6) {
        see('owner paused');
        holder.isPaused = true;
        host.after(random() * 3_000, () => holder.resume());
        // The successor works while the old owner sleeps, or wakes up.
        return live(at);
      }
      host.after(random() * 1_500, meddle);
    };
    host.after(random() * 1_500, meddle);
  };
  for (const at of histories.keys()) live(at);
  const trouble = (): void => {
    if (host.now() > chaosUntil) return;
    const dice = random();
    const ids = downstream.server.sessionIds;
    if (dice < 0.35) downstream.server.cut();
    else if (dice < 0.6) downstream.server.kill(ids[Math.floor(random() * ids.length)] ?? 0);
    else if (dice < 0.7) downstream.restart(random() * 500);
    if (downstream.server.blockedIds.length > 0) see('lock wait');
    host.after(random() * 400, trouble);
  };
  host.after(random() * 400, trouble);
  const wanted = new Map(histories.flatMap((history) => [...versionsOf(history)]));
  const { check } = downstream;
  const isCopied = (): boolean =>
    [...wanted].every(([row, version]) => downstream.versions.get(row) === version);
  while (
    check.violation === null &&
    !(host.now() > chaosUntil && isCopied() && doneCount >= spans.length)
  ) {
    assert.ok(host.now() < 600_000, `not done after 10 minutes: ${doneCount} spans`);
    assert.ok(world.step(), 'something is due');
    await drain.settleIfNeeded();
  }
  assert.equal(check.violation, null);
  assert.deepEqual(new Map([...downstream.versions].sort()), new Map([...wanted].sort()));
}

test('owners that die, sleep and are cut off neither lose nor repeat a change, and none writes after its successor', async () => {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    try {
      await runSeed(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
    }
  }
  if (seedCount < 40) return;
  for (const what of [
    'owner died',
    'owner paused',
    'lock wait',
    'SINK_FENCED',
    'SINK_DISCONNECTED',
  ]) {
    assert.ok((seen.get(what) ?? 0) > 0, `never seen: ${what}`);
  }
});
