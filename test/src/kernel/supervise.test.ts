import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Exit } from '#src/kernel/exit.ts';
import type { Restart, Strategy } from '#src/kernel/plan.ts';
import { supervise, type TeamFacts } from '#src/kernel/supervise.ts';

const normal: Exit = { kind: 'normal' };
const killed: Exit = { kind: 'killed' };

function team(
  strategy: Strategy,
  restarts: readonly Restart[],
  more: Partial<TeamFacts> = {},
): TeamFacts {
  const children = restarts.map((restart, i) => ({ id: `c${i}`, restart, running: i !== 1 }));
  return { strategy, intensity: 3, periodMs: 1000, children, restarts: [], ...more };
}

const three: readonly Restart[] = ['permanent', 'permanent', 'permanent'];

test('one_for_one starts the child again and touches nobody else', () => {
  const { stop, start, restarts } = supervise(team('one_for_one', three), 'c1', killed, 5);
  assert.deepEqual({ stop, start, restarts }, { stop: [], start: ['c1'], restarts: [5] });
});

test('rest_for_one stops those started later from the right, then starts from the left', () => {
  const facts = team('rest_for_one', ['permanent', 'permanent', 'permanent', 'permanent']);
  const { stop, start } = supervise(facts, 'c1', killed, 5);
  assert.deepEqual({ stop, start }, { stop: ['c3', 'c2'], start: ['c1', 'c2', 'c3'] });
});

test('one_for_all stops and starts all', () => {
  const { stop, start } = supervise(team('one_for_all', three), 'c1', killed, 5);
  assert.deepEqual({ stop, start }, { stop: ['c2', 'c0'], start: ['c0', 'c1', 'c2'] });
});

test('restart types follow the exit', () => {
  const failed: Exit = { kind: 'fault', message: 'm', stack: '' };
  const table: readonly (readonly [Restart, Exit, boolean])[] = [
    ['permanent', normal, true],
    ['permanent', killed, true],
    ['transient', normal, false],
    ['transient', { kind: 'shutdown' }, false],
    ['transient', killed, true],
    ['transient', failed, true],
    ['temporary', normal, false],
    ['temporary', failed, false],
  ];
  for (const [restart, exit, isRestarted] of table) {
    const decision = supervise(team('one_for_one', [restart]), 'c0', exit, 0);
    assert.deepEqual(decision.start, isRestarted ? ['c0'] : [], `${restart} ${exit.kind}`);
  }
});

test('a temporary child beside a restarted one is stopped, never started', () => {
  const facts = team('rest_for_one', ['permanent', 'permanent', 'temporary']);
  const { stop, start } = supervise(facts, 'c0', killed, 0);
  assert.deepEqual({ stop, start }, { stop: ['c2'], start: ['c0', 'c1'] });
});

test('more restarts than the intensity within the period give up; older ones do not count', () => {
  const busy = team('one_for_one', three, { restarts: [100, 200, 300] });
  assert.equal(supervise(busy, 'c0', killed, 1100).giveUp, true);
  const later = supervise(busy, 'c0', killed, 1101);
  assert.deepEqual([later.giveUp, later.restarts], [false, [200, 300, 1101]]);
  const zero = team('one_for_one', three, { intensity: 0 });
  assert.equal(supervise(zero, 'c0', killed, 0).giveUp, true);
});

test('an unknown child changes nothing', () => {
  const facts = team('one_for_all', three, { restarts: [1] });
  const decision = supervise(facts, 'nobody', killed, 2);
  assert.deepEqual([decision.stop, decision.start, decision.restarts], [[], [], [1]]);
});

test('of any team: nobody is stopped who does not run, and everyone stopped is started or temporary', () => {
  const child = fc.record({
    restart: fc.constantFrom<Restart>('permanent', 'transient', 'temporary'),
    running: fc.boolean(),
  });
  const strategies = fc.constantFrom<Strategy>('one_for_one', 'one_for_all', 'rest_for_one');
  fc.assert(
    fc.property(
      fc.array(child, { minLength: 1, maxLength: 8 }),
      strategies,
      fc.nat(),
      (made, strategy, at) => {
        const children = made.map((one, i) => ({ ...one, id: `c${i}` }));
        const id = `c${at % children.length}`;
        const facts: TeamFacts = { strategy, intensity: 9, periodMs: 1, children, restarts: [] };
        const { stop, start } = supervise(facts, id, killed, 0);
        const find = (name: string): (typeof children)[number] =>
          children.find((one) => one.id === name)!;
        assert.ok(stop.every((name) => find(name).running && name !== id));
        assert.ok(stop.every((name) => start.includes(name) || find(name).restart === 'temporary'));
        assert.ok(start.every((name) => find(name).restart !== 'temporary'));
        assert.deepEqual(start, [...start].sort());
        assert.deepEqual(stop, [...stop].sort().toReversed());
        assert.equal(start.includes(id), find(id).restart !== 'temporary');
      },
    ),
  );
});
