import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ok, type Outcome } from '#src/base/failure.ts';
import { role, type Behaviour, type Guard, type Step } from '#src/kernel/behaviour.ts';
import { admit, refuse, type Admission, type EpochMode } from '#src/kernel/door.ts';
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

const guardOfKind = {
  Order: 'owner',
  Raise: 'raise',
  Close: 'close',
  Echo: 'echo',
  Open: 'open',
} as const;

const roles = {
  recorder: role(recorder, { Do: 'open', Throw: 'open' }),
  closable: role(recorder, { Open: 'raise', Close: 'close' } as never),
  guarded: role(recorder, guardOfKind as never),
  streamer: role(
    {
      ...recorder,
      stream: (log, message) => {
        const { seq } = message as unknown as { readonly seq: number };
        return log.length > seq ? 'repeated-seq' : null;
      },
    } satisfies typeof recorder,
    { Events: 'stream' } as never,
  ),
  plain: role({ ...recorder, init: () => [[], []], signal: undefined } as never, {}),
};

/** A shell whose host does nothing by itself. */
class Stage {
  readonly posted: Envelope[] = [];
  readonly tree: TreeRequest[] = [];
  readonly answers: ((outcome: Outcome<unknown>) => void)[] = [];
  readonly timers: { readonly afterMs: number; readonly due: () => void; isDropped: boolean }[] =
    [];
  readonly fences = new Int32Array(2);
  readonly swept: number[][] = [];
  readonly shell: Shell;
  #turns: (() => void)[] = [];

  constructor(mode: EpochMode = 'strict') {
    this.shell = new Shell(
      {
        thread: 'main',
        fences: this.fences,
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
        swept: (fenced) => this.swept.push([...fenced]),
      },
      roles,
      mode,
    );
  }

  start(
    path: string,
    more: {
      readonly role?: string;
      readonly effects?: readonly Effect[];
      readonly incarnation?: number;
      readonly mailbox?: number;
      readonly gate?: number;
      readonly epoch?: number;
    } = {},
  ): Ref {
    const { role: name = 'recorder', effects = [], incarnation = 1, mailbox = 10 } = more;
    const ref = { path, thread: 'main', incarnation };
    const life = { gate: more.gate ?? 0, generation: 1 };
    this.shell.start({
      ref,
      role: name,
      props: effects,
      mailbox,
      epoch: more.epoch ?? 4,
      owner: null,
      life,
    });
    return ref;
  }

  tell(to: Ref, message: Told, epoch = 2): void {
    this.shell.deliver({ to, from: outside, epoch, seq: 1, message });
  }

  run(): void {
    for (let turn = this.#turns.shift(); turn !== undefined; turn = this.#turns.shift()) turn();
  }

  log(path: string): unknown {
    return this.shell.overview().find((cell) => cell.path === path)?.state['log'];
  }
}

const outside: Ref = { path: 'outside', thread: 'other', incarnation: 1 };
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

test('a mailbox that another node fills refuses it, counted, and the cell goes on; its own side fills it no less', () => {
  const stage = new Stage();
  const to = stage.start('a', { mailbox: 2 });
  const from: Ref = { ...outside, node: 'b' };
  const abroad = (): void =>
    stage.shell.deliver({ to, from, epoch: 2, seq: 1, message: { kind: 'Do' } });
  for (let i = 0; i < 5; i++) abroad();
  assert.deepEqual(stage.shell.refusals(), { 'Do mailbox-full': 3 });
  assert.equal(stage.shell.overview()[0]?.refusals, 3);
  stage.run();
  assert.deepEqual(stage.log('a'), ['init', 'Do from outside', 'Do from outside']);
  abroad();
  abroad();
  stage.tell(to, { kind: 'Do' });
  assert.equal(stage.tree.at(-1)?.kind, 'Exited');
});

test('a fence stops deliveries in the middle of a turn, of its own life only', () => {
  const stage = new Stage();
  const a = stage.start('a', { gate: 1 });
  const b = stage.start('b');
  for (let i = 0; i < 3; i++) {
    stage.tell(a, { kind: 'Do' });
    stage.tell(b, { kind: 'Do' });
  }
  // What `b` does first: the word is stored by another thread while this turn runs.
  stage.tell(b, { kind: 'Do' });
  stage.fences[1] = 1;
  stage.run();
  assert.equal(stage.log('a'), undefined);
  assert.equal((stage.log('b') as string[]).length, 5);
  assert.deepEqual(stage.swept, [[0, 1]]);
  assert.ok(stage.tree.every((request) => request.kind === 'Started'));
});

test('effects behind a fence are not performed, and what was fenced never starts', () => {
  const stage = new Stage();
  const a = stage.start('a', { gate: 1, effects: [send(away, 'One')] });
  stage.fences[1] = 1;
  stage.start('b', { gate: 1, effects: [send(away, 'Two')] });
  stage.tell(a, { kind: 'Do' });
  stage.shell.signal(a, { kind: 'StopAsked' });
  stage.run();
  assert.deepEqual(
    stage.posted.map(({ message }) => message.kind),
    ['One'],
  );
  stage.shell.sweep();
  assert.deepEqual(stage.shell.overview(), []);
  assert.deepEqual(stage.shell.refusals(), { 'Do fenced': 1 });
});

test('a cell of another node is reached through the host, and cannot be watched', () => {
  const stage = new Stage();
  const far: Ref = { path: 'a', thread: 'main', incarnation: 0, node: 'n2' };
  const a = stage.start('a', { effects: [send(far, 'One')] });
  assert.deepEqual(stage.posted[0]!.to, far);
  stage.tell(a, { kind: 'Do', effects: [{ kind: 'Watch', target: far }] });
  stage.run();
  const last = stage.tree.at(-1)!;
  assert.match(
    last.kind === 'Exited' && last.exit.kind === 'fault' ? last.exit.message : '',
    /another node/,
  );
});

test('a stale closer is answered who owns the cell, under its own epoch, and nothing is closed', () => {
  const stage = new Stage();
  const ref = stage.start('a', { role: 'closable' });
  stage.tell(ref, { kind: 'Close' });
  stage.run();
  assert.deepEqual(stage.posted[0]!.message, {
    kind: 'NotOwner',
    of: 'Close',
    owner: null,
    epoch: 4,
  });
  assert.deepEqual([stage.posted[0]!.to.path, stage.posted[0]!.epoch], ['outside', 2]);
  assert.deepEqual(stage.log('a'), ['init']);
});

test('a message of a stream is shown to the session of the role first', () => {
  const stage = new Stage();
  const ref = stage.start('a', { role: 'streamer' });
  for (const seq of [1, 1, 2]) stage.tell(ref, { kind: 'Events', seq } as Told);
  stage.run();
  assert.deepEqual(stage.log('a'), ['init', 'Events from outside', 'Events from outside']);
  assert.deepEqual(stage.shell.refusals(), { 'Events repeated-seq': 1 });
  assert.equal(stage.shell.overview()[0]!.refusals, 1);
  assert.throws(() => role(recorder, { Do: 'stream' }), /session/);
});

test('epoch 0 is admitted in compat mode until the first epoch was seen, never in strict mode', () => {
  for (const mode of ['strict', 'compat'] as const) {
    const stage = new Stage(mode);
    const ref = stage.start('a', { role: 'closable', epoch: 0 });
    for (const epoch of [0, 3, 0]) stage.tell(ref, { kind: 'Open' }, epoch);
    stage.run();
    const admitted = mode === 'compat' ? 2 : 1;
    assert.equal((stage.log('a') as string[]).length, 1 + admitted, mode);
    assert.deepEqual(stage.shell.refusals(), { 'Open epoch-zero': 3 - admitted });
  }
});

test('a door that remembers whom it let in last admits exactly what the table of guards admits', () => {
  const senders = ['a', 'b'].map((path): Ref => ({ path, thread: 'other', incarnation: 1 }));
  const mail = fc.record({
    kind: fc.constantFrom('Order', 'Raise', 'Close', 'Echo', 'Open', 'Unknown'),
    from: fc.constantFrom(...senders),
    epoch: fc.integer({ min: 0, max: 3 }),
    // Mail comes in runs, as the memory of the door expects.
    times: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(
      fc.constantFrom<EpochMode>('strict', 'compat'),
      fc.array(mail, { maxLength: 30 }),
      (mode, runs) => {
        const stage = new Stage(mode);
        const to = stage.start('cell', { role: 'guarded', epoch: 0, mailbox: 1_000 });
        let admission: Admission = { epoch: 0, owner: null };
        const expected = ['init'];
        for (const { kind, from, epoch, times } of runs) {
          for (let i = 0; i < times; i++) {
            const envelope: Envelope = { to, from, epoch, seq: 1, message: { kind } };
            stage.shell.deliver(envelope);
            const guard = (guardOfKind as Readonly<Record<string, Guard>>)[kind];
            if (refuse(guard, admission, envelope, mode) !== null) continue;
            admission = admit(guard, admission, envelope);
            expected.push(`${kind} from ${from.path}`);
          }
        }
        stage.run();
        assert.deepEqual(stage.log('cell'), expected);
        assert.equal(stage.shell.overview()[0]!.epoch, admission.epoch);
      },
    ),
    { numRuns: 1_000 },
  );
});

test('a cell with much mail lets the others have their turn', () => {
  const stage = new Stage();
  const [busy, other] = [stage.start('busy', { mailbox: 1_000 }), stage.start('other')];
  for (let i = 0; i < 1_000; i++) {
    stage.tell(busy, { kind: 'Do', effects: i === 999 ? [send(away, 'Last')] : [] });
  }
  stage.tell(other, { kind: 'Do', effects: [send(away, 'First')] });
  stage.run();
  assert.deepEqual(
    stage.posted.map((envelope) => envelope.message.kind),
    ['First', 'Last'],
  );
});
