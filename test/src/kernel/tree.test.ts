import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cell, Stage, team } from './stage.ts';

const pool = team('pool', [
  cell('job', { restart: 'temporary', thread: 'work', many: { per: 'job', dynamic: true } }),
]);

test('cells start left to right, one after the other, and stop right to left', () => {
  const stage = new Stage(team('root', [cell('a'), team('t', [cell('b'), cell('c')]), cell('d')]));
  stage.tree.boot(() => {});
  assert.deepEqual(stage.calls, ['start root/a']);
  const started = ['root/a', 'root/t/b', 'root/t/c', 'root/d'];
  assert.deepEqual(
    stage.settle(),
    started.map((path) => `start ${path}`),
  );
  stage.tree.shutdown();
  assert.deepEqual(stage.overs, []);
  assert.deepEqual(
    stage.settle(),
    started.toReversed().map((path) => `stop ${path}`),
  );
  assert.deepEqual(stage.overs, [{ kind: 'shutdown' }]);
});

test('a cell per work thread is started on each', () => {
  const many = cell('w', { thread: 'work', many: { per: 'thread', dynamic: false } });
  const stage = new Stage(team('root', [many]));
  assert.deepEqual(stage.boot(), ['start root/w:work-1', 'start root/w:work-2']);
  assert.equal(stage.ref('root/w:work-2').thread, 'work-2');
  assert.equal(stage.isBooted, true);
});

test('rest_for_one stops what depends on the crashed cell, then starts all of it again', () => {
  const children = [cell('a'), cell('b'), cell('c')];
  const stage = new Stage(team('root', children, { strategy: 'rest_for_one' }));
  stage.boot();
  const before = stage.ref('root/a').incarnation;
  stage.crash('root/a');
  assert.deepEqual(stage.settle(), [
    'stop root/c',
    'stop root/b',
    'start root/a',
    'start root/b',
    'start root/c',
  ]);
  assert.ok(stage.ref('root/a').incarnation > before);
});

test('a report about an earlier life changes nothing', () => {
  const stage = new Stage(team('root', [cell('a')]));
  stage.boot();
  const old = stage.ref('root/a');
  stage.crash('root/a');
  stage.settle();
  stage.crash('root/a', old);
  assert.deepEqual(stage.calls, []);
  assert.equal(stage.tree.inspect().children![0]!.status, 'running');
});

test('a dynamic child is announced to who asked, ends for good, and its successor has another address', () => {
  const stage = new Stage(team('root', [cell('a'), pool]));
  stage.boot();
  stage.spawn('job:1');
  assert.deepEqual(stage.settle(), ['start root/pool/job:1']);
  const ref = stage.ref('root/pool/job:1');
  assert.deepEqual(stage.signals, [['root/a', { kind: 'ChildStarted', id: 'job:1', ref }]]);
  stage.spawn('job:1');
  assert.equal(stage.signals.at(-1)![1].kind, 'ChildRefused');
  stage.crash('root/pool/job:1');
  assert.deepEqual(stage.calls, []);
  stage.spawn('job:1');
  stage.settle();
  assert.notEqual(stage.ref('root/pool/job:1').incarnation, ref.incarnation);
});

test('whoever asked for a child that never came up is told', () => {
  const stage = new Stage(team('root', [cell('a'), pool]));
  stage.boot();
  stage.spawn('job:1');
  stage.fireTimers();
  assert.deepEqual(stage.signals, [
    ['root/a', { kind: 'ChildRefused', id: 'job:1', exit: { kind: 'killed' } }],
  ]);
});

test('whoever asked for a child that was stopped before it was up is told of its end', () => {
  const stage = new Stage(team('root', [cell('a'), pool]));
  stage.boot();
  stage.spawn('job:1');
  const ref = stage.ref('root/pool/job:1');
  stage.tree.request({ kind: 'StopCell', target: ref });
  stage.tree.request({ kind: 'Started', ref });
  stage.tree.request({ kind: 'Exited', ref, exit: { kind: 'shutdown' } });
  assert.deepEqual(stage.signals, [
    ['root/a', { kind: 'ChildRefused', id: 'job:1', exit: { kind: 'shutdown' } }],
  ]);
});

test('a watcher hears of the end once, of its present life only, and at once when nobody is there', () => {
  const stage = new Stage(team('root', [cell('a'), pool]));
  stage.boot();
  stage.spawn('job:1');
  stage.settle();
  stage.signals.length = 0;
  const target = { ...stage.ref('root/pool/job:1'), incarnation: 0 };
  for (const incarnation of [7, 8, 8]) {
    const watcher = { path: 'root/x', thread: 'main', incarnation };
    stage.tree.request({ kind: 'Watch', watcher, target });
  }
  stage.crash('root/pool/job:1');
  assert.equal(stage.signals.length, 1);
  stage.tree.request({ kind: 'Watch', watcher: stage.ref('root/a'), target });
  const last = stage.signals.at(-1)![1];
  assert.deepEqual(last.kind === 'Terminated' && last.exit, { kind: 'no-process' });
});

test('a watcher of a cell that waits to be started again hears at once that it is gone', () => {
  const stage = new Stage(team('root', [cell('a'), cell('b')], { intensity: 5 }));
  stage.boot();
  for (let i = 0; i < 2; i++) {
    stage.crash('root/b');
    stage.settle();
  }
  assert.equal(stage.picture('root/b').status, 'waiting');
  const target = stage.ref('root/b');
  stage.tree.request({ kind: 'Watch', watcher: stage.ref('root/a'), target });
  assert.deepEqual(stage.signals, [
    ['root/a', { kind: 'Terminated', ref: target, exit: { kind: 'no-process' } }],
  ]);
});

test('a cell that does not stop in time is killed, and the rest goes on stopping', () => {
  const stage = new Stage(team('root', [cell('a'), cell('b')]));
  stage.boot();
  stage.tree.shutdown();
  stage.fireTimers();
  assert.deepEqual(stage.calls, ['stop root/b', 'kill root/b', 'stop root/a']);
  stage.answer('stop root/a');
  assert.deepEqual(stage.overs, [{ kind: 'shutdown' }]);
});

test('a shutdown during the boot stops what has started and starts nothing more', () => {
  const stage = new Stage(team('root', [cell('a'), cell('b'), cell('c')]));
  stage.tree.boot(() => {
    stage.isBooted = true;
  });
  stage.answer('start root/a');
  stage.tree.shutdown();
  assert.deepEqual(stage.settle(), ['start root/a', 'start root/b', 'stop root/b', 'stop root/a']);
  assert.equal(stage.isBooted, true);
  assert.deepEqual(stage.overs, [{ kind: 'shutdown' }]);
});

test('a boot that waits to start a cell again goes on when that cell is stopped', () => {
  const stage = new Stage(team('root', [cell('a'), cell('b')]));
  stage.tree.boot(() => {
    stage.isBooted = true;
  });
  for (let i = 0; i < 2; i++) stage.crash('root/a');
  assert.equal(stage.tree.inspect().children![0]!.status, 'waiting');
  stage.calls.length = 0;
  stage.tree.request({ kind: 'StopCell', target: stage.ref('root/a') });
  assert.deepEqual(stage.settle(), ['start root/b']);
  assert.equal(stage.isBooted, true);
});

test('a team above its intensity exits to its own supervisor, which restarts it whole', () => {
  const stage = new Stage(team('root', [team('t', [cell('a'), cell('b')], { intensity: 0 })]));
  stage.boot();
  stage.crash('root/t/a');
  assert.deepEqual(stage.settle(), ['stop root/t/b', 'start root/t/a', 'start root/t/b']);
  assert.deepEqual(stage.overs, []);
});

test('a root above its intensity gives up with the four facts; what still runs is stopped by shutdown', () => {
  const stage = new Stage(team('root', [cell('a'), cell('b')], { intensity: 1 }));
  stage.boot();
  stage.crash('root/a');
  stage.settle();
  stage.crash('root/a');
  const facts = { supervisor: 'root', context: 'intensity exceeded', reason: 'fault: crash' };
  assert.deepEqual(stage.overs, [{ kind: 'gave-up', ...facts, offender: 'root/a' }]);
  stage.crash('root/a');
  assert.deepEqual(stage.calls, []);
  stage.tree.shutdown();
  assert.deepEqual(stage.settle(), ['stop root/b']);
  assert.deepEqual(stage.overs.at(-1), { kind: 'shutdown' });
});

test('a lost thread ends its cells, which start again there as after any crash', () => {
  const many = cell('w', { thread: 'work', many: { per: 'thread', dynamic: false } });
  const stage = new Stage(team('root', [cell('a'), many, pool]));
  stage.boot();
  stage.spawn('job:1');
  stage.settle();
  stage.signals.length = 0;
  for (const path of ['root/w:work-1', 'root/w:work-2', 'root/pool/job:1'])
    stage.tree.request({
      kind: 'Watch',
      watcher: stage.ref('root/a'),
      target: stage.ref(path),
    });
  stage.tree.threadLost('work-2');
  assert.deepEqual(
    stage.signals.map(
      ([, signal]) => signal.kind === 'Terminated' && [signal.ref.path, signal.exit],
    ),
    [
      ['root/w:work-2', { kind: 'thread-lost', thread: 'work-2' }],
      ['root/pool/job:1', { kind: 'thread-lost', thread: 'work-2' }],
    ],
  );
  assert.deepEqual(stage.settle(), ['start root/w:work-2']);
  stage.spawn('job:1');
  assert.deepEqual(stage.settle(), ['start root/pool/job:1']);
});

test('cells of one group that die with their thread are one restart', () => {
  const cells = [cell('a'), cell('b', { thread: 'x' }), cell('c', { thread: 'x' })];
  const stage = new Stage(team('root', cells, { strategy: 'rest_for_one', intensity: 1 }));
  stage.boot();
  stage.tree.threadLost('x');
  assert.deepEqual(stage.settle(), ['start root/b', 'start root/c']);
  assert.deepEqual(stage.overs, []);
});

test('a slow start holds up its own team, and no other', () => {
  const slow = team('slow', [cell('a'), cell('b')]);
  const stage = new Stage(team('root', [slow, pool], { strategy: 'one_for_one' }));
  stage.boot();
  stage.crash('root/slow/a');
  assert.deepEqual(stage.calls, ['start root/slow/a']);
  for (const id of ['job:1', 'job:2', 'job:3']) stage.spawn(id);
  assert.deepEqual(stage.calls.slice(1), [
    'start root/pool/job:1',
    'start root/pool/job:2',
    'start root/pool/job:3',
  ]);
});

test('restarts but the first wait, longer each time, with jitter; a stop ends the wait', () => {
  const stage = new Stage(team('root', [cell('a')], { intensity: 5, periodMs: 60_000 }));
  stage.boot();
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) {
    stage.crash('root/a');
    const pause = stage.timeouts.at(-1)!;
    if (stage.calls.length === 0) {
      waits.push(pause);
      stage.fireTimers();
    }
    stage.settle();
  }
  assert.deepEqual(waits, [7.5, 15, 30]);
  stage.crash('root/a');
  stage.tree.shutdown();
  assert.deepEqual([stage.calls, stage.timers.size], [[], 0]);
  assert.deepEqual(stage.overs, [{ kind: 'shutdown' }]);
});

test('a brutal child is killed without being asked', () => {
  const stage = new Stage(team('root', [cell('a', { stopWithinMs: 'brutal' })]));
  stage.boot();
  stage.tree.shutdown();
  assert.deepEqual(stage.calls, ['kill root/a']);
  stage.crash('root/a');
  assert.deepEqual(stage.overs, [{ kind: 'shutdown' }]);
});

const gated = team('w', [cell('b'), cell('c'), pool], { gate: true });

/** The words of gates 0 (root) and 1. */
function words(root: number, inner: number): Int32Array {
  return Int32Array.of(root, inner);
}

test('a fence ends its subtree at once, tells who watches from outside, and starts nothing below', () => {
  const stage = new Stage(team('root', [cell('a'), gated]));
  stage.boot();
  stage.spawn('job:1', 'root/w/pool');
  stage.settle();
  stage.signals.length = 0;
  const target = stage.ref('root/w/pool/job:1');
  for (const path of ['root/a', 'root/w/b'])
    stage.tree.request({ kind: 'Watch', watcher: stage.ref(path), target });
  stage.tree.fenced(words(0, 1));
  stage.tree.fenced(words(0, 1));
  assert.deepEqual(
    stage.signals.map(([path, signal]) => [path, signal.kind]),
    [['root/a', 'Terminated']],
  );
  stage.spawn('job:2', 'root/w/pool');
  const refused = stage.signals.at(-1)![1];
  assert.deepEqual(refused.kind === 'ChildRefused' && refused.exit, { kind: 'fenced' });
  stage.crash('root/w/b');
  assert.deepEqual([stage.calls, stage.timers.size], [[], 0]);
  stage.tree.revive('root/w');
  assert.deepEqual(stage.settle(), ['start root/w/b', 'start root/w/c']);
  assert.deepEqual(stage.lives.at(-1), { gate: 1, generation: 2 });
  assert.throws(() => stage.tree.revive('root/w'), /not fenced/);
});

test('a fence during the boot lets the boot go on without the subtree', () => {
  const stage = new Stage(team('root', [gated, cell('z')]));
  stage.tree.boot(() => {
    stage.isBooted = true;
  });
  assert.deepEqual(stage.calls.splice(0), ['start root/w/b']);
  stage.tree.fenced(words(0, 1));
  assert.deepEqual(stage.settle(), ['start root/z']);
  assert.equal(stage.isBooted, true);
});

test('a graceful stop overtaken by a fence is a fence (spec/03 3g.9)', () => {
  const stage = new Stage(team('root', [cell('a'), gated]));
  stage.boot();
  stage.tree.shutdown();
  assert.deepEqual(stage.calls.splice(0), ['stop root/w/c']);
  stage.tree.fenced(words(0, 1));
  assert.deepEqual(stage.settle(), ['stop root/a']);
  assert.deepEqual(stage.overs, [{ kind: 'shutdown' }]);
});

test('a restart in progress is overtaken by a fence, and a restart above does not un-fence', () => {
  const stage = new Stage(team('root', [cell('a'), gated], { strategy: 'rest_for_one' }));
  stage.boot();
  stage.crash('root/a');
  assert.deepEqual(stage.calls.splice(0), ['stop root/w/c']);
  stage.tree.fenced(words(0, 1));
  assert.deepEqual(stage.settle(), ['start root/a']);
  stage.tree.revive('root/w');
  assert.deepEqual(stage.settle(), ['start root/w/b', 'start root/w/c']);
});

test('a fenced root comes back whole, under new generations of every gate', () => {
  const stage = new Stage(team('root', [cell('a'), gated]));
  stage.boot();
  stage.tree.fenced(words(1, 1));
  assert.deepEqual(
    stage.tree.inspect().children!.map(({ status }) => status),
    ['stopped', 'stopped'],
  );
  assert.throws(() => stage.tree.revive('root/w'), /above/);
  stage.tree.revive('root');
  assert.deepEqual(stage.settle(), ['start root/a', 'start root/w/b', 'start root/w/c']);
  assert.deepEqual(stage.lives.slice(-2), [
    { gate: 1, generation: 2 },
    { gate: 1, generation: 2 },
  ]);
});
