import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ok, type Outcome } from '#src/base/failure.ts';
import { role, type Behaviour, type Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { TreeRequest } from '#src/kernel/host.ts';
import type { Envelope, Message, Signal } from '#src/kernel/message.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { Shell } from '#src/kernel/shell.ts';

type Told = Message & { readonly effects?: readonly Effect[] };

/** Writes down what it receives and does what the message says. */
const recorder: Behaviour<string[], Told, readonly Effect[]> = {
  init: (effects): Step<string[]> => [['init'], effects],
  receive: (state, message, env) => {
    if (message.kind === 'Throw') throw new Error('broken');
    state.push(`${message.kind} from ${env.from.path}`);
    return [state, message.effects ?? []];
  },
  signal: (state, signal) => {
    state.push(signal.kind);
    return [state, []];
  },
  overview: (state) => ({ log: [...state] }),
};

const roles = {
  recorder: role(recorder, { Do: 'open', Throw: 'open' }),
  plain: role({ ...recorder, init: () => [[], []], signal: undefined } as never, {}),
};

/** A shell whose host does nothing by itself. */
class Stage {
  readonly posted: Envelope[] = [];
  readonly tree: TreeRequest[] = [];
  readonly answers: ((outcome: Outcome<unknown>) => void)[] = [];
  readonly timers: { readonly afterMs: number; readonly due: () => void; isDropped: boolean }[] =
    [];
  readonly shell: Shell;
  #turns: (() => void)[] = [];

  constructor() {
    this.shell = new Shell(
      {
        thread: 'main',
        now: () => 0,
        random: () => 0,
        post: (envelope) => this.posted.push(envelope),
        schedule: (run) => this.#turns.push(run),
        timer: (afterMs, due) => {
          const timer = { afterMs, due, isDropped: false };
          this.timers.push(timer);
          return () => {
            timer.isDropped = true;
          };
        },
        callPort: (_port, _request, answered) => this.answers.push(answered),
        tree: (request) => this.tree.push(request),
        log: () => {},
        count: () => {},
      },
      roles,
    );
  }

  start(
    path: string,
    more: {
      readonly role?: string;
      readonly effects?: readonly Effect[];
      readonly incarnation?: number;
      readonly mailbox?: number;
    } = {},
  ): Ref {
    const { role: name = 'recorder', effects = [], incarnation = 1, mailbox = 10 } = more;
    const ref = { path, thread: 'main', incarnation };
    this.shell.start({ ref, role: name, props: effects, mailbox, epoch: 4, owner: null });
    return ref;
  }

  tell(to: Ref, message: Told): void {
    const from = { path: 'outside', thread: 'other', incarnation: 1 };
    this.shell.deliver({ to, from, epoch: 2, seq: 1, message });
  }

  run(): void {
    for (let turn = this.#turns.shift(); turn !== undefined; turn = this.#turns.shift()) turn();
  }

  log(path: string): unknown {
    return this.shell.overview().find((cell) => cell.path === path)?.state['log'];
  }
}

const away: Ref = { path: 'far', thread: 'other', incarnation: 0 };

function send(to: Ref, kind: string): Effect {
  return { kind: 'Send', to, message: { kind } };
}

test('effects are performed in their order, stamped with the epoch of the cell', () => {
  const stage = new Stage();
  stage.start('a', { effects: [send(away, 'One'), send(away, 'Two')] });
  assert.deepEqual(
    stage.posted.map(({ message, epoch, seq }) => [message.kind, epoch, seq]),
    [
      ['One', 4, 1],
      ['Two', 4, 2],
    ],
  );
  assert.equal(stage.tree[0]!.kind, 'Started');
});

test('a reply carries the epoch of the request', () => {
  const stage = new Stage();
  const ref = stage.start('a');
  stage.tell(ref, { kind: 'Do', effects: [{ kind: 'Reply', message: { kind: 'Answer' } }] });
  stage.run();
  assert.deepEqual([stage.posted[0]!.to.path, stage.posted[0]!.epoch], ['outside', 2]);
});

test('a reply to nobody is a fault that ends the cell', () => {
  const stage = new Stage();
  stage.start('a', { effects: [{ kind: 'Reply', message: { kind: 'Answer' } }] });
  const last = stage.tree.at(-1)!;
  assert.equal(last.kind === 'Exited' && last.exit.kind, 'fault');
});

test('a thrown error kills its cell and nobody else', () => {
  const stage = new Stage();
  const a = stage.start('a');
  const b = stage.start('b');
  stage.tell(a, { kind: 'Throw' });
  stage.tell(b, { kind: 'Do' });
  stage.run();
  assert.equal(stage.log('a'), undefined);
  assert.deepEqual(stage.log('b'), ['init', 'Do from outside']);
});

test('effects behind a stop of oneself are not performed', () => {
  const stage = new Stage();
  const stop: Effect = { kind: 'Stop', target: 'self', exit: { kind: 'normal' } };
  stage.start('a', { effects: [send(away, 'One'), stop, send(away, 'Two')] });
  assert.deepEqual(
    stage.posted.map(({ message }) => message.kind),
    ['One'],
  );
});

test('signals overtake messages that wait', () => {
  const stage = new Stage();
  const ref = stage.start('a');
  stage.tell(ref, { kind: 'Do' });
  stage.shell.signal(ref, { kind: 'StopAsked' } satisfies Signal);
  stage.run();
  assert.deepEqual(stage.log('a'), ['init', 'StopAsked', 'Do from outside']);
});

test('a cell without a signal handler ends when asked', () => {
  const stage = new Stage();
  const ref = stage.start('a', { role: 'plain' });
  stage.shell.stop(ref);
  stage.run();
  assert.deepEqual(stage.tree.at(-1), { kind: 'Exited', ref, exit: { kind: 'shutdown' } });
  stage.shell.stop(ref);
  assert.deepEqual(stage.tree.at(-1), { kind: 'Exited', ref, exit: { kind: 'no-process' } });
});

test('a timer of the same key replaces the one before, and a dropped one stays silent', () => {
  const stage = new Stage();
  const timer = (afterMs: number, kind: string): Effect => ({
    kind: 'SetTimer',
    key: 'k',
    afterMs,
    message: { kind },
  });
  const ref = stage.start('a', { effects: [timer(1, 'First'), timer(2, 'Second')] });
  assert.deepEqual(
    stage.timers.map(({ isDropped }) => isDropped),
    [true, false],
  );
  stage.timers[1]!.due();
  stage.run();
  assert.deepEqual(stage.log('a'), ['init', 'Second from a']);
  stage.tell(ref, { kind: 'Do', effects: [timer(3, 'Third'), { kind: 'DropTimer', key: 'k' }] });
  stage.run();
  assert.equal(stage.timers[2]!.isDropped, true);
});

test('an answer of a port reaches the life that asked, never the next', () => {
  const stage = new Stage();
  const request = { kind: 'R' };
  const call: Effect = { kind: 'CallPort', port: 'p', request, answer: 'Answered', tag: 7 };
  const ref = stage.start('a', { effects: [call, call] });
  stage.answers[0]!(ok(1));
  stage.run();
  assert.deepEqual(stage.log('a'), ['init', 'Answered from a']);
  stage.shell.kill(ref);
  stage.start('a', { incarnation: 2 });
  stage.answers[1]!(ok(1));
  stage.run();
  assert.deepEqual(stage.log('a'), ['init']);
});

test('refused deliveries are counted by kind and reason', () => {
  const stage = new Stage();
  const ref = stage.start('a', { incarnation: 3 });
  stage.tell({ ...ref, incarnation: 2 }, { kind: 'Do' });
  stage.tell({ ...ref, path: 'b' }, { kind: 'Do' });
  stage.tell({ ...ref, incarnation: 0 }, { kind: 'Private' });
  stage.run();
  assert.deepEqual(stage.shell.refusals(), {
    'Do stale-incarnation': 1,
    'Do no-such-cell': 1,
    'Private own-kind-from-outside': 1,
  });
  assert.deepEqual(stage.log('a'), ['init']);
});

test('a mailbox above its limit ends the cell: nothing is lost silently', () => {
  const stage = new Stage();
  const ref = stage.start('a', { mailbox: 2 });
  for (let i = 0; i < 3; i++) stage.tell(ref, { kind: 'Do' });
  const last = stage.tree.at(-1)!;
  assert.match(
    last.kind === 'Exited' && last.exit.kind === 'fault' ? last.exit.message : '',
    /above its limit 2 at Do/,
  );
  stage.run();
  assert.equal(stage.log('a'), undefined);
});
