/**
 * Supervision as a table: strategy × restart kind × exit, each line with what OTP's `supervisor` does, written out, and
 * smaller tables for what one line cannot say. Each line is played by the real tree over threads that obey; orders are
 * those in which cells are asked, one after the other.
 *
 * Where the kernel is not OTP, on purpose:
 * - every restart but the first of a period waits a little (restart-pause.ts); OTP restarts at once.
 * - a cell whose start fails has exited like any other; OTP's supervisor does not come up when that happens in its own start.
 * - the root gives up by telling its owner, who ends the process; nothing is stopped before that.
 * - teams are always permanent; what reaches their own supervisor is the exit that was too much, not `shutdown`.
 * - threads and fences: OTP has neither. A lost thread is an abnormal exit of each of its cells, all of them down before the
 *   first decision. A fence is no exit: no strategy applies, and only a new life starts its subtree again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failure } from '#src/base/failure.ts';
import type { Exit } from '#src/kernel/exit.ts';
import type { CellPlan, Restart, Strategy, TeamPlan } from '#src/kernel/plan.ts';
import { cell, Stage, team } from './stage.ts';

/**
 * Team t has children a, b, n and c; n is a team of x and y. Whoever a line does not name is permanent. `without restarts
 * left` is the same exit at intensity 0: `-` when it asks for no restart, else what t, giving up, stops of itself before its
 * own supervisor starts it again whole: a, b, x, y, c.
 */
const table = `
strategy     | child       | exit        | stopped   | started     | without restarts left
one_for_one  | b permanent | normal      | -         | b           | c y x a
one_for_one  | b permanent | shutdown    | -         | b           | c y x a
one_for_one  | b permanent | failure     | -         | b           | c y x a
one_for_one  | b permanent | fault       | -         | b           | c y x a
one_for_one  | b permanent | killed      | -         | b           | c y x a
one_for_one  | b permanent | thread-lost | -         | b           | c y x a
one_for_one  | b transient | normal      | -         | -           | -
one_for_one  | b transient | shutdown    | -         | -           | -
one_for_one  | b transient | failure     | -         | b           | c y x a
one_for_one  | b transient | fault       | -         | b           | c y x a
one_for_one  | b transient | killed      | -         | b           | c y x a
one_for_one  | b transient | thread-lost | -         | b           | c y x a
one_for_one  | b temporary | normal      | -         | -           | -
one_for_one  | b temporary | shutdown    | -         | -           | -
one_for_one  | b temporary | failure     | -         | -           | -
one_for_one  | b temporary | fault       | -         | -           | -
one_for_one  | b temporary | killed      | -         | -           | -
one_for_one  | b temporary | thread-lost | -         | -           | -
one_for_one  | a permanent | normal      | -         | a           | c y x b
one_for_one  | a permanent | failure     | -         | a           | c y x b
one_for_one  | a transient | normal      | -         | -           | -
one_for_one  | a transient | failure     | -         | a           | c y x b
one_for_one  | a temporary | failure     | -         | -           | -
one_for_one  | c permanent | normal      | -         | c           | y x b a
one_for_one  | c permanent | failure     | -         | c           | y x b a
one_for_one  | c transient | normal      | -         | -           | -
one_for_one  | c transient | failure     | -         | c           | y x b a
one_for_one  | c temporary | failure     | -         | -           | -

rest_for_one | b permanent | normal      | c y x     | b x y c     | c y x a
rest_for_one | b permanent | shutdown    | c y x     | b x y c     | c y x a
rest_for_one | b permanent | failure     | c y x     | b x y c     | c y x a
rest_for_one | b permanent | fault       | c y x     | b x y c     | c y x a
rest_for_one | b permanent | killed      | c y x     | b x y c     | c y x a
rest_for_one | b permanent | thread-lost | c y x     | b x y c     | c y x a
rest_for_one | b transient | normal      | -         | -           | -
rest_for_one | b transient | shutdown    | -         | -           | -
rest_for_one | b transient | failure     | c y x     | b x y c     | c y x a
rest_for_one | b transient | fault       | c y x     | b x y c     | c y x a
rest_for_one | b transient | killed      | c y x     | b x y c     | c y x a
rest_for_one | b transient | thread-lost | c y x     | b x y c     | c y x a
rest_for_one | b temporary | normal      | -         | -           | -
rest_for_one | b temporary | shutdown    | -         | -           | -
rest_for_one | b temporary | failure     | -         | -           | -
rest_for_one | b temporary | fault       | -         | -           | -
rest_for_one | b temporary | killed      | -         | -           | -
rest_for_one | b temporary | thread-lost | -         | -           | -
rest_for_one | a permanent | normal      | c y x b   | a b x y c   | c y x b
rest_for_one | a permanent | failure     | c y x b   | a b x y c   | c y x b
rest_for_one | a transient | normal      | -         | -           | -
rest_for_one | a transient | failure     | c y x b   | a b x y c   | c y x b
rest_for_one | a temporary | failure     | -         | -           | -
rest_for_one | c permanent | normal      | -         | c           | y x b a
rest_for_one | c permanent | failure     | -         | c           | y x b a
rest_for_one | c transient | normal      | -         | -           | -
rest_for_one | c transient | failure     | -         | c           | y x b a
rest_for_one | c temporary | failure     | -         | -           | -

one_for_all  | b permanent | normal      | c y x a   | a b x y c   | c y x a
one_for_all  | b permanent | shutdown    | c y x a   | a b x y c   | c y x a
one_for_all  | b permanent | failure     | c y x a   | a b x y c   | c y x a
one_for_all  | b permanent | fault       | c y x a   | a b x y c   | c y x a
one_for_all  | b permanent | killed      | c y x a   | a b x y c   | c y x a
one_for_all  | b permanent | thread-lost | c y x a   | a b x y c   | c y x a
one_for_all  | b transient | normal      | -         | -           | -
one_for_all  | b transient | shutdown    | -         | -           | -
one_for_all  | b transient | failure     | c y x a   | a b x y c   | c y x a
one_for_all  | b transient | fault       | c y x a   | a b x y c   | c y x a
one_for_all  | b transient | killed      | c y x a   | a b x y c   | c y x a
one_for_all  | b transient | thread-lost | c y x a   | a b x y c   | c y x a
one_for_all  | b temporary | normal      | -         | -           | -
one_for_all  | b temporary | shutdown    | -         | -           | -
one_for_all  | b temporary | failure     | -         | -           | -
one_for_all  | b temporary | fault       | -         | -           | -
one_for_all  | b temporary | killed      | -         | -           | -
one_for_all  | b temporary | thread-lost | -         | -           | -
one_for_all  | a permanent | normal      | c y x b   | a b x y c   | c y x b
one_for_all  | a permanent | failure     | c y x b   | a b x y c   | c y x b
one_for_all  | a transient | normal      | -         | -           | -
one_for_all  | a transient | failure     | c y x b   | a b x y c   | c y x b
one_for_all  | a temporary | failure     | -         | -           | -
one_for_all  | c permanent | normal      | y x b a   | a b x y c   | y x b a
one_for_all  | c permanent | failure     | y x b a   | a b x y c   | y x b a
one_for_all  | c transient | normal      | -         | -           | -
one_for_all  | c transient | failure     | y x b a   | a b x y c   | y x b a
one_for_all  | c temporary | failure     | -         | -           | -
`;

/**
 * Exits one after the other, each with `who is stopped / who is started`. Team t stands between cells p and q under a root
 * that never gives up; numbers are intensities.
 */
const stories = `
root         | t              | children of t             | exits

a temporary child is dropped, also when a group it stands in is started again; only a new life of the team has it again
one_for_one  | rest_for_one 9 | a b c:temporary d         | a failure: d c b / a b d; a failure: d b / a b d
one_for_one  | one_for_all 9  | a:temporary b c           | b failure: c a / b c; c failure: b / b c
one_for_one  | one_for_all 1  | a:temporary b c           | b failure: c a / b c; c failure: b / a b c
one_for_one  | rest_for_one 0 | a b:temporary             | b failure: -; a failure: - / a b

a transient child that ended by itself is started again with its group, and only with it
one_for_one  | one_for_one 9  | a b:transient c           | b normal: -; c failure: - / c; a failure: - / a
one_for_one  | rest_for_one 9 | a b:transient c           | b normal: -; c failure: - / c; a failure: c / a b c
one_for_one  | one_for_all 9  | a b:transient c           | b shutdown: -; c failure: a / a b c
one_for_one  | one_for_all 9  | a b:temporary c           | b normal: -; c failure: a / a c

a team that gives up is a child that exited, to its own supervisor
one_for_one  | one_for_one 0  | a b c                     | b failure: c a / a b c
rest_for_one | one_for_one 0  | a b c                     | b failure: c a q / a b c q
one_for_all  | one_for_one 0  | a b c                     | b failure: c a q p / p a b c q
one_for_one  | rest_for_one 0 | a b c                     | b failure: c a / a b c
rest_for_one | rest_for_one 0 | a b c                     | b failure: c a q / a b c q
one_for_all  | rest_for_one 0 | a b c                     | b failure: c a q p / p a b c q
one_for_one  | one_for_all 0  | a b c                     | b failure: c a / a b c
rest_for_one | one_for_all 0  | a b c                     | b failure: c a q / a b c q
one_for_all  | one_for_all 0  | a b c                     | b failure: c a q p / p a b c q
rest_for_one | one_for_all 1  | a b                       | a failure: b / a b; b failure: a q / a b q
rest_for_one | one_for_one 0  | a b:transient c:temporary | b normal: -; c failure: -; a normal: q / a b c q

a new life of a team has all its restarts again
one_for_one  | one_for_one 1  | a b                       | a failure: - / a; b failure: a / a b; b failure: - / b; a failure: b / a b
`;

/** The thread of the cells named dies with them; `restarts` is what t counts. Children of t are a, b, c, d. */
const lostThreads = `
t            | lost            | stopped | started | restarts
one_for_one  | b c             | -       | b c     | 2
one_for_one  | b:temporary c   | -       | c       | 1
one_for_one  | b:temporary     | -       | -       | 0
one_for_one  | a b c d         | -       | a b c d | 4
rest_for_one | b c             | d       | b c d   | 1
rest_for_one | a c             | d b     | a b c d | 1
rest_for_one | c d             | -       | c d     | 1
rest_for_one | b:temporary c   | d       | c d     | 1
rest_for_one | b c:temporary   | d       | b d     | 1
rest_for_one | a:transient b d | c       | a b c d | 1
rest_for_one | a b c d         | -       | a b c d | 1
one_for_all  | b c             | d a     | a b c d | 1
one_for_all  | b:temporary c   | d a     | a c d   | 1
one_for_all  | b:temporary     | -       | -       | 0
one_for_all  | a b c d         | -       | a b c d | 1
`;

/** Failures of a, beside b in t, at these milliseconds: `a` it is started again, `t` that was too much and t is. */
const intensities = `
intensity | period | failures at    | restarts
0         | 1000   | 0              | t
0         | 1000   | 0 5000         | t t
1         | 1000   | 0 999          | a t
1         | 1000   | 0 1000         | a t
1         | 1000   | 0 1001         | a a
2         | 1000   | 0 0 0          | a a t
2         | 1000   | 0 500 1000     | a a t
2         | 1000   | 0 500 1000 1500| a a t a
2         | 1000   | 0 600 1200 1800| a a a a
2         | 1000   | 0 600 1200 1500| a a a t
`;

/**
 * How b, after a, is ended: for good with everything, with its group when a has failed (rest_for_one), or because another cell
 * asks for it. `silent`: it never says that it ended.
 */
const ends = `
shutdown time | b      | why      | what is asked
100           | obeys  | shutdown | stop b, stop a
100           | silent | shutdown | stop b, 100 ms, kill b, stop a
brutal        | obeys  | shutdown | kill b, stop a
brutal        | silent | shutdown | kill b, 1000 ms, kill b, stop a
100           | obeys  | restart  | stop b, start a, start b
100           | silent | restart  | stop b, 100 ms, kill b, start a, start b
brutal        | obeys  | restart  | kill b, start a, start b
brutal        | silent | restart  | kill b, 1000 ms, kill b, start a, start b
100           | obeys  | asked    | stop b
100           | silent | asked    | stop b, 100 ms, kill b
brutal        | obeys  | asked    | kill b
brutal        | silent | asked    | kill b, 1000 ms, kill b
`;

/**
 * Cell d, started on demand in a one_for_one team, ends as the line says. `dropped`: its name is free again, and its successor
 * is a new cell. At intensity 0 the team gives up over it, and lives again without it.
 */
const onDemand = `
d         | intensity | ends                    | then
temporary | 9         | normal                  | dropped
temporary | 9         | shutdown                | dropped
temporary | 9         | failure                 | dropped
temporary | 9         | asked                   | dropped
temporary | 0         | failure                 | dropped
transient | 9         | normal                  | dropped
transient | 9         | shutdown                | dropped
transient | 9         | failure                 | started again
transient | 9         | asked                   | dropped
transient | 9         | failure, failure        | started again
transient | 9         | failure, failure, asked | dropped
transient | 9         | failure, normal         | dropped
transient | 0         | normal                  | dropped
transient | 0         | failure                 | dropped, team again
transient | 1         | failure, failure        | dropped, team again
`;

/** The same beside a and b in a team of another strategy: a group restart takes d with it, or drops it when it is temporary. */
const onDemandInGroup = `
t            | d         | exits, with their outcome
rest_for_one | transient | a failure: d b / a b d
rest_for_one | transient | b failure: d / b d
rest_for_one | transient | d failure: - / d
rest_for_one | transient | d normal: -; a failure: b / a b
rest_for_one | temporary | a failure: d b / a b; a failure: b / a b
rest_for_one | temporary | d failure: -; a failure: b / a b
one_for_all  | transient | b failure: d a / a b d
one_for_all  | transient | d failure: b a / a b d
one_for_all  | transient | d shutdown: -; b failure: a / a b
one_for_all  | temporary | b failure: d a / a b; b failure: a / a b
one_for_all  | temporary | d failure: -; b failure: a / a b
`;

/**
 * Team t, of a, b and c, all of the restart kind named, stands between p and q and is fenced: all three are down, and nobody is
 * asked anything. Then p fails; then t lives again.
 */
const fences = `
root         | a b c     | fenced | p failure   | new life
one_for_one  | permanent | -      | - / p       | - / a b c
one_for_one  | transient | -      | - / p       | - / a b c
one_for_one  | temporary | -      | - / p       | - / a b c
rest_for_one | permanent | -      | q / p q     | - / a b c
rest_for_one | transient | -      | q / p q     | - / a b c
rest_for_one | temporary | -      | q / p q     | - / a b c
one_for_all  | permanent | -      | q / p q     | - / a b c
one_for_all  | transient | -      | q / p q     | - / a b c
one_for_all  | temporary | -      | q / p q     | - / a b c
`;

const exits: Readonly<Record<string, Exit>> = {
  normal: { kind: 'normal' },
  shutdown: { kind: 'shutdown' },
  failure: { kind: 'failure', failure: failure('SINK_DISCONNECTED', 'gone') },
  fault: { kind: 'fault', message: 'broken', stack: '' },
  killed: { kind: 'killed' },
};

/** Cells of each line of a table after its first, which names the columns; lines without columns are headings. */
function linesOf(text: string): string[][] {
  const lines = text.split('\n').map((line) => line.split('|').map((part) => part.trim()));
  return lines.filter((line) => line.length > 1).slice(1);
}

/** `id` or `id:restart`, each on a thread of its own. */
function cellOf(named: string, more: Partial<CellPlan> = {}): CellPlan {
  const [id, restart = 'permanent'] = named.split(':') as [string, Restart?];
  return cell(id, { restart, thread: id, ...more });
}

function cellsOf(names: string): CellPlan[] {
  return names.split(' ').map((name) => cellOf(name));
}

/**
 * Obeys until nothing is asked any more and no restart waits, and answers `who is stopped / who is started`. Nobody is
 * asked before the one before has answered, unless `atOnce` says so.
 */
function outcome(stage: Stage, atOnce = 1): string {
  const groups: string[][] = [[]];
  for (;;) {
    assert.ok(stage.calls.length <= atOnce, 'one after the other');
    const call = stage.calls.shift();
    if (call !== undefined) {
      const [verb, path] = call.split(' ') as [string, string];
      if ((verb === 'start') !== (groups.length % 2 === 0)) groups.push([]);
      groups.at(-1)!.push(path.slice(path.lastIndexOf('/') + 1));
      stage.answer(call);
    } else if (stage.timers.size > 0) stage.fireTimers();
    else break;
  }
  if (groups.length === 1 && groups[0]!.length === 0) return '-';
  return groups.map((group) => (group.length === 0 ? '-' : group.join(' '))).join(' / ');
}

function pathOf(stage: Stage, id: string): string {
  const path = [...stage.refs.keys()].find((known) => known.endsWith(`/${id}`));
  return path!;
}

function end(stage: Stage, id: string, exit: string): void {
  if (exit === 'thread-lost') stage.tree.threadLost(id);
  else stage.exit(pathOf(stage, id), exits[exit]!);
}

/** Ids of the cells that run. */
function running(stage: Stage): string[] {
  return stage
    .pictures()
    .flatMap((node) => (node.role !== undefined && node.status === 'running' ? [node.id] : []));
}

const strategies = ['one_for_one', 'rest_for_one', 'one_for_all'] as const;

for (const [strategy, child, exit, stopped, started, withoutRestarts] of linesOf(table) as [
  Strategy,
  string,
  string,
  string,
  string,
  string,
][]) {
  const [id, restart] = child.split(' ') as [string, Restart];
  const plan = (intensity: number): TeamPlan => {
    const inner = team('n', cellsOf('x y'));
    const cells = cellsOf('a b c').map((one) => (one.id === id ? { ...one, restart } : one));
    const children = [...cells.slice(0, 2), inner, cells[2]!];
    return team('root', [team('t', children, { strategy, intensity })]);
  };

  test(`${strategy}: ${child}, ${exit}`, () => {
    const stage = new Stage(plan(1));
    stage.boot();
    end(stage, id, exit);
    assert.equal(outcome(stage), started === '-' ? '-' : `${stopped} / ${started}`);
    const isBack = started.split(' ').includes(id);
    assert.deepEqual(
      running(stage),
      ['a', 'b', 'x', 'y', 'c'].filter((one) => one !== id || isBack),
    );
    assert.equal(stage.picture('root/t').restarts, isBack ? 1 : 0);
    assert.equal(stage.picture('root').restarts, 0);
  });

  test(`${strategy} without restarts left: ${child}, ${exit}`, () => {
    const stage = new Stage(plan(0));
    stage.boot();
    end(stage, id, exit);
    const isEnough = withoutRestarts === '-';
    assert.equal(outcome(stage), isEnough ? '-' : `${withoutRestarts} / a b x y c`);
    assert.equal(stage.picture('root').restarts, isEnough ? 0 : 1);
    assert.deepEqual(stage.overs, []);
  });
}

test('the table has a line for every strategy, restart kind and exit', () => {
  const lines = linesOf(table).map(([strategy, child, exit]) => `${strategy} ${child} ${exit}`);
  assert.equal(new Set(lines).size, lines.length);
  for (const strategy of strategies)
    for (const restart of ['permanent', 'transient', 'temporary'])
      for (const exit of [...Object.keys(exits), 'thread-lost'])
        assert.ok(
          lines.includes(`${strategy} b ${restart} ${exit}`),
          `${strategy} ${restart} ${exit}`,
        );
});

/** p, t, q under a root that never gives up. */
function between(root: string, t: TeamPlan): Stage {
  const strategy = root as Strategy;
  const stage = new Stage(team('root', [cellOf('p'), t, cellOf('q')], { strategy, intensity: 99 }));
  stage.boot();
  return stage;
}

for (const [root, who, children, happened] of linesOf(stories) as [
  string,
  string,
  string,
  string,
][]) {
  test(`${who}, ${children}, under ${root}: ${happened}`, () => {
    const [strategy, intensity] = who.split(' ') as [Strategy, string];
    const t = team('t', cellsOf(children), { strategy, intensity: Number(intensity) });
    const stage = between(root, t);
    for (const part of happened.split('; ')) {
      const [what, expected] = part.split(': ') as [string, string];
      const [id, exit] = what.split(' ') as [string, string];
      end(stage, id, exit);
      assert.equal(outcome(stage), expected, what);
    }
  });
}

for (const [strategy, lost, stopped, started, restarts] of linesOf(lostThreads) as [
  Strategy,
  string,
  string,
  string,
  string,
][]) {
  test(`${strategy}: the thread of ${lost} is lost`, () => {
    const named = new Map(lost.split(' ').map((one) => [one.split(':')[0]!, one]));
    const children = ['a', 'b', 'c', 'd'].map((id) =>
      named.has(id) ? cellOf(named.get(id)!, { thread: 'lost' }) : cellOf(id),
    );
    const stage = new Stage(team('root', [team('t', children, { strategy, intensity: 9 })]));
    stage.boot();
    stage.tree.threadLost('lost');
    // Under one_for_one nobody waits for a neighbour.
    const atOnce = strategy === 'one_for_one' ? 4 : 1;
    assert.equal(outcome(stage, atOnce), started === '-' ? '-' : `${stopped} / ${started}`);
    assert.equal(stage.picture('root/t').restarts, Number(restarts));
  });
}

for (const [intensity, period, times, restarts] of linesOf(intensities) as [
  string,
  string,
  string,
  string,
][]) {
  test(`intensity ${intensity} in ${period} ms: failures at ${times}`, () => {
    const more = { intensity: Number(intensity), periodMs: Number(period) };
    const stage = between('one_for_one', team('t', cellsOf('a b'), more));
    const seen = times.split(' ').map((at) => {
      stage.now = Number(at);
      end(stage, 'a', 'failure');
      const what = outcome(stage);
      return { '- / a': 'a', 'b / a b': 't' }[what] ?? what;
    });
    assert.equal(seen.join(' '), restarts);
  });
}

test('a root without restarts left gives up with the four facts, and stops nothing by itself', () => {
  for (const strategy of strategies) {
    const stage = new Stage(team('root', cellsOf('a b c'), { strategy, intensity: 0 }));
    stage.boot();
    end(stage, 'b', 'failure');
    assert.equal(outcome(stage), '-');
    assert.deepEqual(stage.overs, [
      {
        kind: 'gave-up',
        supervisor: 'root',
        context: 'intensity exceeded',
        reason: 'failure SINK_DISCONNECTED: gone',
        offender: 'root/b',
      },
    ]);
    stage.tree.shutdown();
    assert.equal(outcome(stage), 'c a');
  }
});

for (const [time, manner, why, asked] of linesOf(ends) as [string, string, string, string][]) {
  test(`${why} of a cell that ${manner === 'obeys' ? 'obeys' : 'is silent'}, shutdown time ${time}`, () => {
    const stopWithinMs = time === 'brutal' ? time : Number(time);
    const children = [cellOf('a'), cellOf('b', { stopWithinMs })];
    const stage = new Stage(team('root', children, { strategy: 'rest_for_one' }));
    stage.boot();
    if (why === 'shutdown') stage.tree.shutdown();
    if (why === 'restart') end(stage, 'a', 'failure');
    if (why === 'asked') stage.tree.request({ kind: 'StopCell', target: stage.ref('root/b') });
    const seen: string[] = [];
    for (;;) {
      const call = stage.calls.shift();
      if (call !== undefined) {
        seen.push(call.replace('root/', ''));
        if (manner === 'obeys' || !/^(stop|kill) root\/b$/.test(call)) stage.answer(call);
      } else if (stage.timers.size > 0) {
        seen.push(`${stage.timeouts.at(-1)} ms`);
        stage.fireTimers();
      } else break;
    }
    assert.equal(seen.join(', '), asked);
    assert.deepEqual(stage.overs, why === 'shutdown' ? [{ kind: 'shutdown' }] : []);
    assert.deepEqual(running(stage), { shutdown: [], restart: ['a', 'b'], asked: ['a'] }[why]);
  });
}

for (const [restart, intensity, happened, then] of linesOf(onDemand) as [
  Restart,
  string,
  string,
  string,
][]) {
  test(`a ${restart} child on demand, intensity ${intensity}: ${happened}`, () => {
    const job = cell('job', { restart, thread: 'work', many: { per: 'job', dynamic: true } });
    const pool = team('pool', [job], { intensity: Number(intensity) });
    const stage = new Stage(team('root', [cell('a'), pool]));
    stage.boot();
    stage.spawn('d');
    outcome(stage);
    const first = stage.ref('root/pool/d');
    const parts = happened.split(', ');
    for (const [i, part] of parts.entries()) {
      if (part === 'asked')
        stage.tree.request({ kind: 'StopCell', target: stage.ref('root/pool/d') });
      else end(stage, 'd', part);
      // The second failure leaves it waiting: there it is asked to stop.
      if (parts[i + 1] !== 'asked') outcome(stage);
    }
    outcome(stage);
    const isDropped = then.startsWith('dropped');
    assert.deepEqual(running(stage), isDropped ? ['a'] : ['a', 'd']);
    assert.equal(stage.picture('root').restarts, then.endsWith('team again') ? 1 : 0);
    stage.spawn('d');
    assert.equal(outcome(stage), isDropped ? '- / d' : '-');
    assert.notEqual(stage.ref('root/pool/d').incarnation, first.incarnation);
  });
}

/** Team t of a, b and d, which was started on demand. */
function grouped(strategy: Strategy, restart: Restart): Stage {
  const job = cell('job', { restart, thread: 'work', many: { per: 'job', dynamic: true } });
  const children = [...cellsOf('a b'), job];
  const stage = new Stage(team('root', [team('t', children, { strategy, intensity: 9 })]));
  stage.boot();
  stage.spawn('d', 'root/t');
  outcome(stage);
  return stage;
}

for (const [strategy, restart, happened] of linesOf(onDemandInGroup) as [
  Strategy,
  Restart,
  string,
][]) {
  test(`${strategy}, a ${restart} child on demand: ${happened}`, () => {
    const stage = grouped(strategy, restart);
    for (const part of happened.split('; ')) {
      const [what, expected] = part.split(': ') as [string, string];
      const [id, exit] = what.split(' ') as [string, string];
      end(stage, id, exit);
      assert.equal(outcome(stage), expected, what);
    }
  });
}

test('a child asked to stop while its group is started again stays down', () => {
  for (const id of ['b', 'd']) {
    const stage = grouped('rest_for_one', 'transient');
    end(stage, 'a', 'failure');
    assert.deepEqual(stage.calls, ['stop root/t/d']);
    stage.tree.request({ kind: 'StopCell', target: stage.ref(`root/t/${id}`) });
    assert.equal(outcome(stage, 2), id === 'b' ? 'd b / a d' : 'd b / a b');
    assert.ok(!running(stage).includes(id));
  }
});

test('a team that gives up drops children on demand that wait to be started again', () => {
  const job = cell('job', { restart: 'transient', many: { per: 'job', dynamic: true } });
  const stage = new Stage(team('root', [cell('a'), team('pool', [job], { intensity: 2 })]));
  stage.boot();
  for (const id of ['d', 'e']) {
    stage.spawn(id);
    outcome(stage);
  }
  end(stage, 'd', 'failure');
  assert.equal(outcome(stage), '- / d');
  end(stage, 'd', 'failure');
  assert.equal(stage.picture('root/pool/d').status, 'waiting');
  end(stage, 'e', 'failure');
  assert.equal(outcome(stage), '-');
  assert.deepEqual(running(stage), ['a']);
  for (const id of ['d', 'e']) {
    stage.spawn(id);
    assert.equal(outcome(stage), `- / ${id}`);
  }
});

for (const [root, restart, fenced, failed, lives] of linesOf(fences) as [
  string,
  Restart,
  string,
  string,
  string,
][]) {
  test(`a fence under ${root}, ${restart} cells`, () => {
    const cells = cellsOf('a b c').map((one) => ({ ...one, restart }));
    const stage = between(root, team('t', cells, { gate: true, intensity: 0 }));
    stage.tree.fenced(Int32Array.of(0, 1));
    assert.equal(outcome(stage), fenced);
    assert.deepEqual(running(stage), ['p', 'q']);
    // Its threads may still say so.
    stage.exit('root/t/b', { kind: 'fenced' });
    assert.equal(outcome(stage), '-');
    end(stage, 'p', 'failure');
    assert.equal(outcome(stage), failed);
    stage.tree.revive('root/t');
    assert.equal(outcome(stage), lives);
    assert.deepEqual(running(stage), ['p', 'a', 'b', 'c', 'q']);
    assert.deepEqual(stage.overs, []);
  });
}
