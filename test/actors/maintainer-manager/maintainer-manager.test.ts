/** The maintainer manager: what it starts, ends, remembers and says (spec/01 §1.9, spec/02 §2c, spec/04 §4b). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maintainerManager } from '#actors/maintainer-manager/maintainer-manager.ts';
import type {
  MaintainerManagerInbox,
  MaintainerManagerState,
} from '#actors/maintainer-manager/manager-state.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { ManagerReported } from '#src/protocol/coordinator.ts';
import { reportOf } from '../coordinator/coordinator-words.ts';
import { configOf } from '../feed-config.ts';
import { refOf } from '../cell-env.ts';

const config = configOf('f');

/** A manager of node `a`, told one thing after another. */
class Told {
  state: MaintainerManagerState;
  nowMs = 0;

  constructor() {
    const props = { self: 'a', workThreads: ['work-1', 'work-2'] };
    [this.state] = maintainerManager.init(props, this.#env(refOf('self')));
  }

  /** One that has a coordinator. */
  static led(): Told {
    const one = new Told();
    one.tell({ kind: 'BootstrapManager' });
    return one;
  }

  /** One that runs the maintainer of `f`. */
  static running(epoch = 3): Told {
    const one = Told.led();
    one.adds(epoch);
    one.opened();
    one.started(epoch);
    return one;
  }

  tell(message: MaintainerManagerInbox, from = refOf('coordinator')): string[] {
    return this.#took(maintainerManager.receive(this.state, message, this.#env(from)));
  }

  adds(epoch: number): string[] {
    return this.tell({ kind: 'AddMaintainer', config, epoch });
  }

  removes(epoch: number, more: { cascade?: boolean; removed?: boolean } = {}): string[] {
    const { cascade = true, removed = false } = more;
    return this.tell({ kind: 'RemoveMaintainer', id: 'f', epoch, cascade, removed, config });
  }

  opened(outcome: Parameters<typeof failed>[0] | null = null): string[] {
    const answer = outcome === null ? ok({ kind: 'FeedOpened' as const }) : failed(outcome);
    return this.tell({ kind: 'FeedsAnswered', tag: 'f', outcome: answer });
  }

  started(epoch: number): string[] {
    return this.#signal({
      kind: 'ChildStarted',
      id: `maintainer:f:${epoch}`,
      ref: refOf(`m/maintainer:f:${epoch}`),
    });
  }

  ends(epoch: number): string[] {
    const ref = refOf(`m/maintainer:f:${epoch}`);
    return this.#signal({ kind: 'Terminated', ref, exit: { kind: 'normal' } });
  }

  says(epoch: number, state: ChangefeedStatus['state'], more: object = {}): string[] {
    const { status } = reportOf('f', epoch, { status: { state } });
    const word = { epoch, isBootstrapped: true, isLast: false, isClosed: false, status, ...more };
    return this.tell({ kind: 'MaintainerReported', ...word }, refOf(`m/maintainer:f:${epoch}`));
  }

  ticks(ms: number): string[] {
    this.nowMs += ms;
    return this.tell({ kind: 'TickDue' }, refOf('self'));
  }

  #signal(signal: Parameters<NonNullable<typeof maintainerManager.signal>>[1]): string[] {
    return this.#took(maintainerManager.signal!(this.state, signal, this.#env(refOf('self'))));
  }

  #env(from: Ref): Parameters<typeof maintainerManager.receive>[2] {
    return { self: refOf('self'), now: () => this.nowMs, random: () => 0.5, from };
  }

  #took([state, effects]: Step<MaintainerManagerState>): string[] {
    this.state = state;
    return effects.flatMap((effect) => lineOf(effect));
  }
}

function lineOf(effect: Effect): string[] {
  switch (effect.kind) {
    case 'Send':
      return [sentLine(effect.to.path, effect.message)];
    case 'CallPort':
      return [effect.request.kind === 'OpenFeed' ? 'open' : 'close'];
    case 'Spawn': {
      const { isRemovalOnly, hasSink, nodes } = effect.props as Record<string, unknown>;
      const closer = `${isRemovalOnly === true ? ' closer' : ''}${hasSink === true ? '' : ' without ports'}`;
      return [`spawn ${effect.id} on ${effect.thread}${closer} over ${String(nodes)}`];
    }
    case 'Stop':
      return ['stop'];
    case 'Count':
      return [effect.name];
    default:
      return [];
  }
}

function sentLine(to: string, message: { readonly kind: string }): string {
  if (message.kind === 'RemoveThis') {
    const { cascade, removed } = message as unknown as Record<string, boolean>;
    return `${to} RemoveThis${cascade ? ' cascade' : ''}${removed ? ' removed' : ''}`;
  }
  if (message.kind !== 'ManagerReported') return `${to} ${message.kind}`;
  const { isBootstrap, reports } = message as ManagerReported;
  const words = reports.map(({ id, epoch, isWorking, isClosed, status }) => {
    const is = isWorking ? 'works' : isClosed ? 'closed' : 'stopped';
    return ` ${id} ${epoch} ${is} ${status.state}`;
  });
  return `${to}${isBootstrap ? ' all' : ''}${words.join()}`;
}

test('a coordinator that asks is told everything, and is the one that is told from then on', () => {
  const one = new Told();
  assert.deepEqual(one.ticks(1_000), []);
  assert.deepEqual(one.tell({ kind: 'BootstrapManager' }, refOf('first')), ['first all']);
  assert.deepEqual(one.adds(3), ['open']);
  assert.deepEqual(one.tell({ kind: 'BootstrapManager' }, refOf('second')), [
    'second all f 3 works starting',
  ]);
  assert.deepEqual(one.ticks(1_000), ['second f 3 works starting']);
});

test('E9: an Add opens the ports, then starts one maintainer; the same Add again starts no second', () => {
  const one = Told.led();
  assert.deepEqual(one.adds(3), ['open']);
  assert.deepEqual(one.adds(3), []);
  assert.deepEqual(one.opened(), ['spawn maintainer:f:3 on work-1 over a']);
  assert.deepEqual(one.opened(), []);
  assert.deepEqual(one.adds(3), []);
  one.started(3);
  assert.deepEqual(one.adds(3), []);
});

test('E9, E10: a newer Add is refused until the former has fully stopped, in every state of it', () => {
  const one = Told.led();
  const refused = ['maintainer add refused'];
  one.adds(3);
  assert.deepEqual(one.adds(4), refused);
  one.opened();
  assert.deepEqual(one.adds(4), refused);
  one.started(3);
  assert.deepEqual(one.adds(4), refused);
  // The last word is not the end: its cell still is there.
  assert.deepEqual(one.says(3, 'stopped', { isLast: true, isClosed: true }), ['stop']);
  assert.deepEqual(one.adds(4), refused);
  assert.deepEqual(one.ends(3), ['close', 'coordinator f 3 closed stopped']);
  assert.deepEqual(one.adds(4), ['open']);
});

test('E9, §4e.6: older Adds and epoch 0 never replace one', () => {
  const one = Told.running(3);
  one.says(3, 'stopped', { isLast: true });
  one.ends(3);
  for (const epoch of [2, 1, 0])
    assert.deepEqual(one.adds(epoch), ['maintainer add refused'], String(epoch));
});

test('ports that cannot be opened are a failure of the changefeed', () => {
  const one = Told.led();
  one.adds(3);
  assert.deepEqual(one.opened(failure('CONFIG_INVALID', 'x')), [
    'close',
    'coordinator f 3 stopped failed',
  ]);
});

test('a maintainer that ends without a word has failed, and may be started again', () => {
  const one = Told.running(3);
  one.says(3, 'normal');
  assert.deepEqual(one.ends(3), ['close', 'coordinator f 3 stopped failed']);
  const { failure: why } = one.state.registry.get('f')!.report.status;
  assert.deepEqual([why?.code, why?.retry], ['INTERNAL_FAULT', 'Again']);
  assert.deepEqual(one.adds(4), ['open']);
});

test('a Remove reaches the maintainer it means, one of another epoch reaches none', () => {
  const one = Told.running(3);
  assert.deepEqual(one.removes(3), ['m/maintainer:f:3 RemoveThis cascade']);
  assert.deepEqual(one.removes(3, { cascade: false }), ['m/maintainer:f:3 RemoveThis']);
  assert.deepEqual(one.removes(2), ['maintainer remove stale']);
  assert.deepEqual(one.removes(4), ['maintainer remove stale']);
});

test('Q7: a Remove that comes before the maintainer runs waits for it; cascade is never taken back', () => {
  const one = Told.led();
  one.adds(3);
  assert.deepEqual(one.removes(3, { removed: true }), []);
  assert.deepEqual(one.removes(3, { cascade: false }), []);
  one.opened();
  assert.deepEqual(one.started(3), ['m/maintainer:f:3 RemoveThis cascade removed']);
});

test('§4e.7: a Remove of what is not here is answered under its own epoch', () => {
  const one = Told.led();
  assert.deepEqual(one.removes(3, { cascade: false }), ['coordinator f 3 stopped starting']);
  const config = null;
  const unknown = { id: 'f', epoch: 3, cascade: true, removed: true, config };
  assert.deepEqual(one.tell({ kind: 'RemoveMaintainer', ...unknown }), [
    'coordinator f 3 stopped starting',
  ]);
});

test('9.2.7: a cascading Remove of what is not here starts a maintainer that only closes', () => {
  const one = Told.led();
  assert.deepEqual(one.removes(5), ['open']);
  assert.deepEqual(one.opened(), ['spawn maintainer:f:5 on work-1 closer over a']);
  assert.deepEqual(one.removes(5), []);
  assert.deepEqual(one.started(5), ['m/maintainer:f:5 RemoveThis cascade']);
  one.says(5, 'stopped', { isLast: true, isClosed: true });
  assert.deepEqual(one.ends(5), ['close', 'coordinator f 5 closed stopped']);
  assert.deepEqual(one.removes(5), ['coordinator f 5 closed stopped']);
});

test('9.3 #17: who has stopped without closing everything does not say that it has', () => {
  const one = Told.running(3);
  one.removes(3);
  one.ends(3);
  assert.deepEqual(one.removes(3), ['coordinator f 3 stopped failed']);
  assert.deepEqual(one.removes(4), ['open']);
  assert.deepEqual(one.opened(), ['spawn maintainer:f:4 on work-1 closer over a']);
});

test('what cannot be opened any more can be closed all the same, without ports', () => {
  const one = Told.led();
  one.removes(5);
  assert.deepEqual(one.opened(failure('INTERNAL_FAULT', 'no key')), [
    'spawn maintainer:f:5 on work-1 closer without ports over a',
  ]);
});

test('a late word of another instance changes nothing', () => {
  const one = Told.running(3);
  assert.deepEqual(one.says(2, 'failed', { isLast: true }), []);
  assert.deepEqual(one.ticks(200), ['coordinator f 3 works starting']);
  one.says(3, 'stopped', { isLast: true });
  one.ends(3);
  assert.deepEqual(one.says(3, 'normal'), []);
});

test('what changed is told at the next tick, a sign of life every second, with everything there is', () => {
  const one = Told.running(3);
  one.ticks(1_000);
  assert.deepEqual(one.ticks(200), []);
  one.says(3, 'normal');
  assert.deepEqual(one.ticks(200), ['coordinator f 3 works normal']);
  one.says(3, 'normal');
  assert.deepEqual(one.ticks(200), []);
  one.says(3, 'stopped', { isLast: true });
  one.ends(3);
  assert.deepEqual(one.ticks(1_000), ['coordinator f 3 stopped stopped']);
  assert.deepEqual(one.ticks(1_000), ['coordinator f 3 stopped stopped']);
});

test('of those that have stopped the last hundred are remembered', () => {
  const one = Told.led();
  for (let i = 0; i < 102; i++) {
    const id = `g${i}`;
    one.tell({ kind: 'AddMaintainer', config: configOf(id), epoch: 1 });
    const outcome = failed(failure('CONFIG_INVALID', 'x'));
    one.tell({ kind: 'FeedsAnswered', tag: id, outcome });
  }
  assert.equal(one.state.registry.size, 100);
  assert.equal(one.state.registry.has('g1'), false);
});

test('drain: higher numbers are taken on and passed on, also to one that was being started (spec/01 §1.9)', () => {
  const one = Told.led();
  one.adds(3);
  one.opened();
  const drain = { number: 2, node: 'b' };
  assert.deepEqual(one.tell({ kind: 'SetDrainTarget', drain }), ['coordinator f 3 works starting']);
  assert.deepEqual(one.started(3), ['m/maintainer:f:3 DrainChanged']);
  assert.deepEqual(one.tell({ kind: 'SetDrainTarget', drain: { number: 1, node: null } }), []);
  assert.deepEqual(one.tell({ kind: 'SetDrainTarget', drain: { number: 3, node: null } }), [
    'm/maintainer:f:3 DrainChanged',
    'coordinator',
  ]);
});

test('the view reaches every maintainer, also one that was being started; a view that is not whole reaches none', () => {
  const one = Told.led();
  one.adds(3);
  one.opened();
  const view = { self: 'a', nodes: ['a', 'b'], lease: null, members: [] };
  assert.deepEqual(one.tell({ kind: 'NodesChanged', ...view, isComplete: true }), []);
  assert.deepEqual(one.started(3), ['m/maintainer:f:3 NodesChanged']);
  assert.deepEqual(one.tell({ kind: 'NodesChanged', ...view, isComplete: true }), [
    'm/maintainer:f:3 NodesChanged',
  ]);
  assert.deepEqual(one.tell({ kind: 'NodesChanged', ...view, isComplete: false }), []);
});

test('maintainers are spread over the work threads', () => {
  const one = Told.running(3);
  one.tell({ kind: 'AddMaintainer', config: configOf('g'), epoch: 1 });
  const outcome = ok({ kind: 'FeedOpened' as const });
  one.state.registry.set('f', {
    ...one.state.registry.get('f')!,
    ref: { ...refOf('m/maintainer:f:3'), thread: 'work-1' },
  });
  assert.deepEqual(one.tell({ kind: 'FeedsAnswered', tag: 'g', outcome }), [
    'spawn maintainer:g:1 on work-2 over a',
  ]);
});
