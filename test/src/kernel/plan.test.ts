import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { plan } from '#actors/plan.ts';
import { roles } from '#actors/roles.ts';
import { checkPlan, printPlan, type CellPlan, type TeamPlan } from '#src/kernel/plan.ts';

const cell: CellPlan = {
  kind: 'cell',
  id: 'one',
  role: 'r',
  thread: 'main',
  restart: 'permanent',
  stopWithinMs: 100,
  mailbox: 10,
  why: 'because',
};
const team: TeamPlan = {
  kind: 'team',
  id: 'root',
  strategy: 'one_for_one',
  intensity: 1,
  periodMs: 1000,
  children: [cell],
  why: 'because',
};

test('the house plan is sound', () => {
  assert.deepEqual(checkPlan(plan, Object.keys(roles)), []);
});

test('the README shows the plan as it is printed', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  const drawings = [...readme.matchAll(/```text\n([\s\S]*?)\n```/g)].map((match) => match[1]!);
  assert.ok(drawings.some((drawing) => drawing.trim() === printPlan(plan).trim()));
});

test('every fault of a plan is named with its place', () => {
  const table: readonly (readonly [TeamPlan, RegExp])[] = [
    [{ ...team, id: 'Root' }, /^Root: id must be/],
    [{ ...team, why: '' }, /^root: say why/],
    [{ ...team, intensity: -1 }, /^root: intensity/],
    [{ ...team, periodMs: 0 }, /^root: period/],
    [{ ...team, children: [] }, /^root: a team needs children/],
    [{ ...team, children: [cell, cell] }, /^root: two children called one/],
    [{ ...team, children: [{ ...cell, role: 'x' }] }, /^root\/one: unknown role x/],
    [{ ...team, children: [{ ...cell, mailbox: 0 }] }, /^root\/one: mailbox/],
    [{ ...team, children: [{ ...cell, stopWithinMs: 0 }] }, /^root\/one: shutdown time/],
    [
      { ...team, children: [{ ...cell, many: { per: 'x', dynamic: true } }] },
      /^root\/one: a dynamic child/,
    ],
  ];
  for (const [faulty, message] of table) {
    const faults = checkPlan(faulty, ['r']);
    assert.equal(faults.length, 1);
    assert.match(faults[0]!, message);
  }
  assert.deepEqual(checkPlan(team, ['r']), []);
});

test('a plan prints one line a node, with branches', () => {
  const nested: TeamPlan = {
    ...team,
    children: [cell, { ...team, id: 'sub' }, { ...cell, id: 'two' }],
  };
  assert.deepEqual(
    printPlan(nested)
      .split('\n')
      .map((line) => line.slice(0, 16).trimEnd()),
    ['root', '├─ one [main]', '├─ sub', '│  └─ one [main]', '└─ two [main]'],
  );
});
