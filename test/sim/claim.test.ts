/**
 * Sessions and memberships of a small cluster in virtual time, under lost messages, pauses, cuts, crashes, revoked leases, lost
 * leaders and compactions. Checked after every step: who may write holds its lease; nobody leaves a view while it may write,
 * nor before its delay; in the end everybody sees the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { captureKey, captureRecordKey } from '#src/model/coordination-key.ts';
import { removalDelayMs } from '#src/model/session-deadline.ts';
import { ClaimNode } from './claim-node.ts';
import { SimCoordination } from './sim-coordination.ts';
import { World } from './world.ts';

const seedCount = Number(process.env['SLUICE_SIM_SEEDS'] ?? 60);
const firstSeed = Number(process.env['SLUICE_SIM_SEED'] ?? 1);

/** One run. */
class Cluster {
  readonly world: World;
  readonly store: SimCoordination;
  readonly nodes: ClaimNode[] = [];
  readonly ttlMs: number;
  /** When the key of a capture was seen to be gone. */
  readonly #endedAt = new Map<string, number>();
  readonly #views = new Map<ClaimNode, ReadonlySet<string>>();

  constructor(seed: number) {
    this.world = new World(seed);
    this.store = new SimCoordination(this.world);
    this.ttlMs = this.world.dice('claims').chance(0.5) ? 10_000 : 5_000;
  }

  add(): void {
    const id = `n${this.nodes.length + 1}`;
    this.nodes.push(new ClaimNode(this.world, this.store, id, this.ttlMs));
  }

  /** Nodes that run and were not asked to leave. */
  get running(): readonly ClaimNode[] {
    return this.nodes.filter((node) => !node.isGone && !node.isLeaving);
  }

  /** Runs for `virtualMs`, checking after every step. */
  run(virtualMs: number): void {
    const until = this.world.now + virtualMs;
    this.world.after(virtualMs, () => {});
    while (this.world.now < until && this.world.step()) this.check();
  }

  fault(): void {
    const { world } = this;
    const dice = world.dice('claims');
    const node = this.running[dice.pick(this.running.length)];
    switch (dice.pick(8)) {
      case 0:
        if (node !== undefined) node.pausedUntilMs = world.now + dice.next() * 20_000;
        break;
      case 1:
        if (node !== undefined) node.cutUntilMs = world.now + dice.next() * 20_000;
        break;
      case 2:
        node?.crash();
        break;
      case 3:
        node?.leave();
        break;
      case 4:
        if (node === undefined || node.lease === '') break;
        node.isRevoked = true;
        this.store.revoke(node.lease);
        break;
      case 5:
        this.store.loseLeader();
        world.after(dice.next() * 15_000, () => this.store.gainLeader());
        break;
      case 6:
        this.store.compact();
        this.store.dropWatches();
        break;
      default:
        if (this.nodes.length < 8) this.add();
    }
  }

  check(): void {
    for (const node of this.nodes) {
      assert.deepEqual(node.faults, []);
      this.#checkWriter(node);
      const value = this.store.store.get(captureKey('c', node.captureId)).value;
      if (value !== null) this.#endedAt.set(node.captureId, Infinity);
      else if (this.#endedAt.get(node.captureId) === Infinity)
        this.#endedAt.set(node.captureId, this.world.now);
    }
    for (const node of this.running) this.#checkView(node);
  }

  #checkWriter(node: ClaimNode): void {
    if (!node.mayWrite) return;
    const { captureId, lease } = node;
    const record = this.store.store.get(captureRecordKey('c', captureId)).value;
    assert.notEqual(record, null, `${captureId} may write without its record`);
    if (node.isRevoked) return;
    assert.ok(this.store.leases.includes(lease), `${captureId} may write without its lease`);
    assert.equal(this.store.store.get(captureKey('c', captureId)).lease, lease);
  }

  #checkView(observer: ClaimNode): void {
    const { view } = observer;
    if (view === null) return;
    const now = new Set(view.map((line) => line.split(' ')[0]!));
    for (const gone of this.#views.get(observer) ?? []) {
      if (!now.has(gone)) this.#checkRemoval(observer, gone);
    }
    this.#views.set(observer, now);
  }

  #checkRemoval(observer: ClaimNode, id: string): void {
    const node = this.nodes.find((one) => one.captureId === id)!;
    const what = `${observer.captureId} removed ${id}`;
    assert.equal(node.mayWrite, false, `${what}, which may write`);
    if (node.isLeaving) return;
    const waitedMs = this.world.now - (this.#endedAt.get(id) ?? 0);
    assert.ok(waitedMs >= removalDelayMs(this.ttlMs) - 1, `${what} after ${waitedMs} ms`);
  }
}

function seeded(run: (cluster: Cluster) => void): void {
  for (let seed = firstSeed; seed < firstSeed + seedCount; seed++) {
    const cluster = new Cluster(seed);
    try {
      run(cluster);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new Error(`seed ${seed} at ${cluster.world.now}: ${text}`, { cause: error });
    }
  }
}

test('whatever happens, writers hold their claim, nobody is given up early, and in the end all see the same', () => {
  const seen = { lost: 0, left: 0, crashed: 0, views: 0 };
  seeded((cluster) => {
    for (let i = 0; i < 3; i++) cluster.add();
    for (let round = 0; round < 12; round++) {
      cluster.run(cluster.world.dice('claims').next() * 6_000);
      cluster.fault();
    }
    // A leader that was lost is back, pauses and cuts are over, all delays have passed.
    cluster.run(40_000);
    cluster.add();
    for (const node of cluster.nodes) node.isFoul = false;
    cluster.run(60_000);
    const members = cluster.running.filter((node) => node.phase === 'member');
    const alive = members.map((node) => `${node.captureId} alive`).sort();
    for (const node of cluster.running) {
      assert.ok(['member', 'lost'].includes(node.phase), `${node.captureId} is ${node.phase}`);
      assert.equal(node.mayWrite, node.phase === 'member');
      assert.deepEqual(node.view, alive);
      seen.views++;
    }
    const keys = cluster.store.store.list('/sluice/c/').map((entry) => entry.key);
    assert.equal(keys.length, 2 * members.length, keys.join(' '));
    seen.lost += cluster.running.length - members.length;
    seen.left += cluster.nodes.filter((node) => node.isLeaving).length;
    seen.crashed += cluster.nodes.filter((node) => node.isGone).length;
  });
  // The runs are no runs of fair weather.
  assert.ok(
    Object.values(seen).every((count) => count > 0),
    JSON.stringify(seen),
  );
});
