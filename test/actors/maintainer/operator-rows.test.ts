/**
 * The operator tables of a maintainer (spec/01 §1.7) played out, row by row: every operator, every node that may be lost at every
 * point, and each of its messages lost, repeated and late. One line is one thing that happens, or one thing that must hold.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notReslotting, type SpanOperator } from '#actors/maintainer/span-operator.ts';
import { SpanOperators } from '#actors/maintainer/span-operators.ts';
import { SpanTable } from '#actors/maintainer/span-table.ts';

/** The control of one operator; table and time as the lines say. */
class Play {
  readonly table = new SpanTable();
  readonly alive = new Set(['a', 'b']);
  #token = 100;
  readonly operators = new SpanOperators(this.table, () => ++this.#token);
  #nowMs = 0;

  /** Performs or checks one line. */
  line(text: string): void {
    const [first = '', second = '', third = '', fourth = '', fifth = ''] = text.split(' ');
    if (first === 'sends') return assert.equal(this.#sent(), text.slice('sends '.length));
    if (first === 'start') return this.#start(second);
    if (first === 'a' || first === 'b') {
      if (second === 'lost') {
        this.alive.delete(first);
        return this.operators.nodeLost(first);
      }
      // `a says s 7 stopped 50`
      const [, , , token, is, ts] = text.split(' ');
      const word = { span: third, node: first, token: Number(token), checkpointTs: null };
      this.operators.heard(
        is === 'working'
          ? { ...word, is }
          : { ...word, is: 'stopped', checkpointTs: ts === undefined ? null : Number(ts) },
      );
      return;
    }
    if (first === 'slots') {
      const is = second as 'done' | 'refused' | 'again';
      return this.operators.reslotted(third, Number(fourth), is);
    }
    if (first === 'removed') return this.operators.taskRemoved(second);
    if (first === 'second') {
      this.#nowMs += 1_000;
      return;
    }
    if (first === 'held')
      return assert.equal(this.table.heldTs(), second === 'nothing' ? Infinity : Number(second));
    if (first === 'over') return assert.equal(this.operators.size, 0);
    if (first === 'busy') return assert.equal(this.operators.size, 1);
    // `s absent`, `s replicating b 101`, `s scheduling b 101`, `s gone`
    const row = this.table.get(first);
    const found = row === undefined ? 'gone' : `${row.state} ${row.node ?? ''} ${row.token}`;
    const wanted = second === 'absent' ? `absent  ${row?.token}` : `${second} ${third} ${fourth}`;
    assert.equal(found.trim(), wanted.trim(), `${text}${fifth}`);
  }

  /** What goes out now, in one line. */
  #sent(): string {
    const requests = this.operators.due(this.#nowMs).map((request) => {
      const { kind, span, token } = request;
      if (kind === 'reslot')
        return `reslot ${request.from.join('+')} ${request.to.join('+')} ${token}`;
      return `${kind} ${span} ${request.node} ${token}`;
    });
    return requests.length === 0 ? 'nothing' : requests.join(', ');
  }

  #start(kind: string): void {
    const operator = operators[kind]!;
    if (kind === 'add') this.table.see('s', 10);
    else if (kind === 'merge') {
      this.table.adopt('s#0-9', 'a', 7, 10);
      this.table.adopt('s#10-65535', 'b', 8, 10);
    } else this.table.adopt('s', 'a', 7, 10);
    this.operators.push(operator, this.alive);
  }
}

const low = 's#0-9';
const high = 's#10-65535';
const at = { node: 'a', token: 7 };
const operators: Readonly<Record<string, SpanOperator>> = {
  add: { kind: 'add', span: 's', phase: 'creating', ...at },
  remove: { kind: 'remove', span: 's', phase: 'removing', ...at },
  move: { kind: 'move', span: 's', phase: 'removing', origin: at, dest: 'b', destToken: 0 },
  split: {
    kind: 'split',
    span: 's',
    phase: 'removing',
    ...at,
    children: [low, high],
    slots: notReslotting,
  },
  merge: {
    kind: 'merge',
    span: 's',
    phase: 'removing',
    sources: [
      { span: low, node: 'a', token: 7, ts: null },
      { span: high, node: 'b', token: 8, ts: null },
    ],
    slots: notReslotting,
  },
};

const moved = ['start move', 'sends stop s a 7', 'a says s 7 stopped 50'];
const dividing = ['start split', 'sends stop s a 7', 'a says s 7 stopped 50'];
const divide = `sends reslot s ${low}+${high} 101`;
const joining = [
  'start merge',
  `sends stop ${low} a 7, stop ${high} b 8`,
  `a says ${low} 7 stopped 60`,
  `b says ${high} 8 stopped 50`,
];
const join = `sends reslot ${low}+${high} s 101`;

const rows: readonly (readonly [string, readonly string[]])[] = [
  // add: send Create → Working → replicating; blocks the checkpoint
  [
    'spec/01 1.7 add: Create until Working, and the span holds the checkpoint till then',
    [
      'start add',
      'held 10',
      'sends create s a 7',
      'a says s 7 working',
      's replicating a 7',
      'held nothing',
      'over',
    ],
  ],
  ['spec/01 1.7 add: dest lost', ['start add', 'a lost', 's absent', 'held 10', 'over']],
  ['spec/01 1.7 add: dest lost before the start', ['a lost', 'start add', 's absent', 'over']],
  ['spec/01 1.7 add: another node lost', ['start add', 'b lost', 's scheduling a 7', 'busy']],
  ['spec/01 1.7 add: task removed', ['start add', 'removed s', 's scheduling a 7', 'over']],
  [
    'spec/01 1.7 add: Create lost, it is sent again',
    ['start add', 'sends create s a 7', 'sends nothing', 'second', 'sends create s a 7', 'busy'],
  ],
  [
    'spec/01 1.7 add: Working lost, the Create sent again is answered again',
    [
      'start add',
      'sends create s a 7',
      'second',
      'sends create s a 7',
      'a says s 7 working',
      's replicating a 7',
      'sends nothing',
      'over',
    ],
  ],
  [
    'spec/01 1.7 add: Working twice',
    ['start add', 'a says s 7 working', 'a says s 7 working', 's replicating a 7', 'over'],
  ],
  [
    'spec/01 1.7 add: a late word of an earlier assignment',
    [
      'start add',
      'a says s 6 working',
      's scheduling a 7',
      'a says s 6 stopped 90',
      's scheduling a 7',
      'held 10',
      'busy',
    ],
  ],
  [
    'spec/01 1.7 add: the dispatcher ended before it worked',
    ['start add', 'a says s 7 stopped 20', 's absent', 'held 20', 'over'],
  ],
  // remove: send Remove → Stopped or not found → done; blocks nothing
  [
    'spec/01 1.7 remove: Remove until Stopped, and nothing holds the checkpoint',
    ['start remove', 's gone', 'held nothing', 'sends stop s a 7', 'a says s 7 stopped 50', 'over'],
  ],
  ['spec/01 1.7 remove: not found', ['start remove', 'a says s 7 stopped', 'over']],
  ['spec/01 1.7 remove: node lost', ['start remove', 'a lost', 's gone', 'over']],
  ['spec/01 1.7 remove: node lost before the start', ['a lost', 'start remove', 's gone', 'over']],
  ['spec/01 1.7 remove: task removed', ['start remove', 'removed s', 's gone', 'over']],
  [
    'spec/01 1.7 remove: Remove lost, it is sent again',
    ['start remove', 'sends stop s a 7', 'sends nothing', 'second', 'sends stop s a 7'],
  ],
  [
    'spec/01 1.7 remove: Stopped lost, the Remove sent again finds nothing',
    [
      'start remove',
      'sends stop s a 7',
      'second',
      'sends stop s a 7',
      'a says s 7 stopped',
      'over',
    ],
  ],
  [
    'spec/01 1.7 remove: Stopped twice',
    ['start remove', 'a says s 7 stopped 50', 'a says s 7 stopped', 's gone', 'over'],
  ],
  [
    'spec/01 1.7 remove: a late word of an earlier assignment',
    ['start remove', 'a says s 6 stopped 50', 'busy', 'a says s 7 working', 'busy'],
  ],
  // move: RemoveOrigin → AddDest → done; blocks the checkpoint
  [
    'spec/01 1.7 move: the origin stops, the dest begins where it stood under a new token, and holds the checkpoint till it works',
    [
      ...moved,
      's scheduling b 101',
      'held 50',
      'sends create s b 101',
      'b says s 101 working',
      's replicating b 101',
      'held nothing',
      'over',
    ],
  ],
  [
    'spec/01 1.7 move: dest lost before the origin stopped, the removal is finished, then absent',
    [
      'start move',
      'b lost',
      'sends stop s a 7',
      's replicating a 7',
      'busy',
      'a says s 7 stopped 50',
      's absent',
      'held 50',
      'over',
    ],
  ],
  [
    'spec/01 1.7 move: dest lost before the origin stopped, then the origin too',
    ['start move', 'b lost', 'a lost', 's absent', 'held 10', 'over'],
  ],
  [
    'spec/01 1.7 move: dest lost before the start',
    ['b lost', 'start move', 'sends stop s a 7', 'a says s 7 stopped 50', 's absent', 'over'],
  ],
  ['spec/01 1.7 move: dest lost afterwards', [...moved, 'b lost', 's absent', 'held 50', 'over']],
  [
    'spec/01 1.7 move: origin lost, it goes on to the dest',
    [
      'start move',
      'a lost',
      's scheduling b 101',
      'held 10',
      'sends create s b 101',
      'b says s 101 working',
      's replicating b 101',
      'over',
    ],
  ],
  [
    'spec/01 1.7 move: origin lost before the start',
    ['a lost', 'start move', 's scheduling b 101', 'sends create s b 101', 'busy'],
  ],
  ['spec/01 1.7 move: origin lost afterwards', [...moved, 'a lost', 's scheduling b 101', 'busy']],
  [
    'spec/01 1.7 move: task removed before the origin stopped',
    ['start move', 'removed s', 's replicating a 7', 'over'],
  ],
  [
    'spec/01 1.7 move: task removed afterwards',
    [...moved, 'removed s', 's scheduling b 101', 'over'],
  ],
  [
    'spec/01 1.7 move: Remove lost, it is sent again',
    ['start move', 'sends stop s a 7', 'second', 'sends stop s a 7', 'busy'],
  ],
  [
    'spec/01 1.7 move: Stopped lost, the Remove sent again finds nothing: the checkpoint holds where it stood',
    [
      'start move',
      'sends stop s a 7',
      'second',
      'sends stop s a 7',
      'a says s 7 stopped',
      's scheduling b 101',
      'held 10',
    ],
  ],
  [
    'spec/01 1.7 move: Stopped twice, the second is not about the dest',
    [...moved, 'a says s 7 stopped 50', 's scheduling b 101', 'held 50', 'busy'],
  ],
  [
    'spec/01 1.7 move: Create lost, it is sent again',
    [...moved, 'sends create s b 101', 'second', 'sends create s b 101', 'busy'],
  ],
  [
    'spec/01 1.7 move: Working twice',
    [...moved, 'b says s 101 working', 'b says s 101 working', 's replicating b 101', 'over'],
  ],
  [
    'spec/01 1.7 move: a late Working of the origin',
    [...moved, 'a says s 7 working', 's scheduling b 101', 'busy'],
  ],
  [
    'spec/01 1.7 move: the dispatcher at the dest ended before it worked',
    [...moved, 'b says s 101 stopped 55', 's absent', 'held 55', 'over'],
  ],
  // split: remove origin → children absent at its position; blocks the checkpoint
  [
    'spec/01 1.7 split: the origin stops, its slots are divided, its children are absent where it stood',
    [
      ...dividing,
      's absent',
      'held 50',
      divide,
      'slots done s 101',
      's gone',
      `${low} absent`,
      `${high} absent`,
      'held 50',
      'over',
    ],
  ],
  ['spec/01 1.7 split: origin lost', ['start split', 'a lost', 's absent', 'held 10', 'over']],
  [
    'spec/01 1.7 split: origin lost before the start',
    ['a lost', 'start split', 's absent', 'over'],
  ],
  [
    'spec/01 1.7 split: origin lost while the slots are divided',
    [...dividing, divide, 'a lost', 'busy', 'slots done s 101', `${low} absent`, 'over'],
  ],
  [
    'spec/01 1.7 split: the origin does not know the span, it is placed again, whole',
    ['start split', 'a says s 7 stopped', 's absent', 'held 10', 'over'],
  ],
  ['spec/01 1.7 split: task removed', ['start split', 'removed s', 's replicating a 7', 'over']],
  [
    'spec/01 1.7 split: task removed while the slots are divided, it ends with them',
    [...dividing, divide, 'removed s', 'busy', 'slots done s 101', 'over'],
  ],
  [
    'spec/01 1.7 split: Remove lost, it is sent again',
    ['start split', 'sends stop s a 7', 'second', 'sends stop s a 7', 'busy'],
  ],
  [
    'spec/01 1.7 split: Stopped twice and late',
    [...dividing, 'a says s 7 stopped 50', 'a says s 7 working', 's absent', divide, 'busy'],
  ],
  [
    'spec/01 1.7 split: the downstream cannot say, it is asked again, one question at a time',
    [
      ...dividing,
      divide,
      'second',
      'sends nothing',
      'slots again s 101',
      divide,
      'slots done s 101',
      'over',
    ],
  ],
  [
    'spec/01 1.7 split: the downstream answers twice, and late',
    [
      ...dividing,
      divide,
      'slots done s 99',
      'busy',
      'slots done s 101',
      'slots done s 101',
      `${low} absent`,
      'over',
    ],
  ],
  [
    'spec/01 1.7 split: the downstream refuses, the span is placed again, whole',
    [...dividing, divide, 'slots refused s 101', 's absent', 'held 50', 'over'],
  ],
  // merge: all sources stop → merged absent at the lowest position
  [
    'spec/01 1.7 merge: all sources stop, their slots are joined, the whole is absent where the hindmost stood',
    [
      ...joining,
      `${low} absent`,
      `${high} absent`,
      join,
      'slots done s 101',
      `${low} gone`,
      `${high} gone`,
      's absent',
      'held 50',
      'over',
    ],
  ],
  [
    'spec/01 1.7 merge: node lost, its sources are absent and the others stay',
    ['start merge', 'b lost', `${high} absent`, `${low} replicating a 7`, 's gone', 'over'],
  ],
  [
    'spec/01 1.7 merge: node lost when the other source has stopped',
    [
      'start merge',
      `a says ${low} 7 stopped 60`,
      'busy',
      'b lost',
      `${low} absent`,
      `${high} absent`,
      's gone',
      'over',
    ],
  ],
  [
    'spec/01 1.7 merge: node lost before the start',
    ['b lost', 'start merge', `${high} absent`, `${low} replicating a 7`, 'over'],
  ],
  [
    'spec/01 1.7 merge: node lost while the slots are joined',
    [...joining, join, 'a lost', 'b lost', 'busy', 'slots done s 101', 's absent', 'over'],
  ],
  [
    'spec/01 1.7 merge: a node does not know its source, all are placed again as they were',
    ['start merge', `a says ${low} 7 stopped`, `${low} absent`, `${high} replicating b 8`, 'over'],
  ],
  [
    'spec/01 1.7 merge: task removed',
    ['start merge', 'removed s', `${low} replicating a 7`, `${high} replicating b 8`, 'over'],
  ],
  [
    'spec/01 1.7 merge: Remove lost, only the one that is not answered is sent again',
    [
      'start merge',
      `sends stop ${low} a 7, stop ${high} b 8`,
      `a says ${low} 7 stopped 60`,
      'second',
      `sends stop ${high} b 8`,
    ],
  ],
  [
    'spec/01 1.7 merge: Stopped twice and late',
    [
      'start merge',
      `a says ${low} 7 stopped 60`,
      `a says ${low} 7 stopped`,
      `a says ${high} 8 stopped 10`,
      'busy',
      `b says ${high} 8 stopped 50`,
      join,
    ],
  ],
  [
    'spec/01 1.7 merge: the downstream cannot say, answers late, answers twice',
    [
      ...joining,
      join,
      'slots done s 100',
      'busy',
      'slots again s 101',
      'second',
      join,
      'slots done s 101',
      'slots done s 101',
      's absent',
      'over',
    ],
  ],
  [
    'spec/01 1.7 merge: the downstream refuses, the sources are placed again',
    [
      ...joining,
      join,
      'slots refused s 101',
      `${low} absent`,
      `${high} absent`,
      's gone',
      'held 50',
      'over',
    ],
  ],
];

for (const [name, lines] of rows)
  test(name, () => {
    const play = new Play();
    for (const line of lines) play.line(line);
  });
