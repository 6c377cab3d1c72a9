/** The elector: who is coordinator, for how long, and where asks go (spec/02 §2a, DESIGN §10 ownership). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { elector, type ElectorInbox, type ElectorState } from '#actors/coordinator/elector.ts';
import type { CoordinatorProps } from '#actors/coordinator/coordinator-state.ts';
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import { coordinatorKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer } from '#src/ports/coordination.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import type { Answered } from '#src/protocol/coordinator.ts';
import { places } from '#src/protocol/nodes.ts';
import { envOf, refOf } from '../cell-env.ts';

const key = coordinatorKey('k');
const unreachable = failed(failure('COORDINATION_UNREACHABLE', 'no leader', { retry: 'Again' }));

function owned(owner: string | null, lease: string, revision: number): Outcome<CoordinationAnswer> {
  const entry = { key, value: owner, revision, createRevision: revision, lease };
  return ok({ kind: 'Transacted', succeeded: false, entries: [entry], revision });
}

/** Node `a` has created the key under session `l1`. */
function won(revision: number): Outcome<CoordinationAnswer> {
  const entry = { key, value: 'a', revision, createRevision: revision, lease: 'l1' };
  return ok({ kind: 'Transacted', succeeded: true, entries: [entry], revision });
}

/** An elector of node `a`, told one thing after another. */
class Told {
  state: ElectorState;
  /** Who was told to lead, one after another. */
  readonly leaders: (string | null)[] = [];
  /** Codes of what was told of this node's coordinators. */
  readonly troubles: (string | null)[] = [];
  readonly logged: string[] = [];
  /** Whether each coordinator that was started is to give the lead up when it hears hardly anybody. */
  readonly yields: boolean[] = [];
  /** Milliseconds until the next campaign, as said last. */
  pauseMs = 0;
  nowMs = 0;

  constructor() {
    [this.state] = elector.init(
      { clusterId: 'k', self: 'a', isPrompt: false, feedCountMax: 64 },
      envOf(),
    );
  }

  /** One that leads under term 7. */
  static leading(): Told {
    const one = new Told();
    one.sees('l1');
    one.campaigned(won(7));
    one.started();
    return one;
  }

  tell(message: ElectorInbox): string[] {
    return this.#took(elector.receive(this.state, message, envOf('x', this.nowMs)));
  }

  sees(lease: string | null, isComplete = true, nodes = ['a', 'b']): string[] {
    const view = { self: 'a', nodes, lease, members: [], isComplete };
    return this.tell({ kind: 'NodesChanged', ...view });
  }

  campaigned(outcome: Outcome<CoordinationAnswer>): string[] {
    return this.tell({ kind: 'CoordinationAnswered', tag: 'campaign', outcome });
  }

  asks(requestId: number): string[] {
    return this.tell({ kind: 'Ask', requestId, request: { kind: 'ListCaptures' } });
  }

  started(incarnation = 1): string[] {
    return this.signal({
      kind: 'ChildStarted',
      id: 'coordinator',
      ref: refOf(places.coordinator, incarnation),
    });
  }

  ended(exit: Exit = { kind: 'normal' }): string[] {
    const ref = refOf(places.coordinator);
    return this.signal({ kind: 'Terminated', ref, exit });
  }

  /** What is asked of the store when the next campaign is due. */
  next(): string[] {
    this.nowMs += this.pauseMs;
    return this.tell({ kind: 'CampaignDue' });
  }

  /** Leads for a term that breaks after `ms`. */
  breaks(revision: number, ms: number): void {
    assert.deepEqual(this.next(), ['campaign']);
    this.campaigned(won(revision));
    this.started();
    this.nowMs += ms;
    this.ended({ kind: 'fault', message: 'two maintainers', stack: '' });
  }

  /** The store's answer to a look. */
  looked(owner: string | null, lease: string, revision: number): string[] {
    const entry = { key, value: owner, revision, createRevision: revision, lease };
    const outcome = ok({ kind: 'Got', entry } as const);
    return this.tell({ kind: 'CoordinationAnswered', tag: 'look', outcome });
  }

  signal(signal: Signal): string[] {
    return this.#took(elector.signal!(this.state, signal, envOf('x', this.nowMs)));
  }

  #took([state, effects]: Step<ElectorState>): string[] {
    this.state = state;
    for (const effect of effects) {
      if (effect.kind === 'SetTimer' && effect.key === 'campaign') this.pauseMs = effect.afterMs;
      const report = (
        effect.kind === 'CallPort' ? effect.request : null
      ) as ReportRequest<never> | null;
      if (report?.kind === 'Leader') this.leaders.push(report.leader);
      if (report?.kind === 'LeaderTrouble') this.troubles.push(report.failure?.code ?? null);
      if (effect.kind === 'Spawn')
        this.yields.push((effect.props as CoordinatorProps).yieldsUnheard);
      if (effect.kind === 'Log') this.logged.push(`${effect.level} ${effect.event}`);
    }
    return effects.flatMap((effect) => lineOf(effect));
  }
}

function lineOf(effect: Effect): string[] {
  switch (effect.kind) {
    case 'Send':
      return [`${effect.to.node ?? 'a'} ${effect.message.kind}`];
    case 'CallPort': {
      if (effect.port === 'report') {
        const report = effect.request as ReportRequest<never, Answered>;
        if (report.kind !== 'Answer') return [];
        const { answer } = report;
        return [`answer ${answer.requestId} ${answer.outcome.ok ? 'ok' : 'no'}`];
      }
      return [String(effect.tag)];
    }
    case 'Spawn':
      return [`spawn ${effect.id} ${effect.epoch}`];
    case 'Stop':
      return [`stop ${effect.target === 'self' ? 'self' : 'coordinator'}`];
    case 'SetTimer':
      return effect.key === 'campaign' ? ['later'] : [];
    default:
      return [];
  }
}

test('it campaigns with its session, and not before it has one', () => {
  const one = new Told();
  assert.deepEqual(one.sees('l1', false), []);
  assert.deepEqual(one.sees(null), []);
  assert.deepEqual(one.sees('l1'), ['campaign']);
  assert.deepEqual(one.sees('l1'), []);
});

test('who owns the key leads, under the revision of its creation as term', () => {
  const one = new Told();
  one.sees('l1');
  assert.deepEqual(one.campaigned(won(7)), ['spawn coordinator 7']);
  assert.deepEqual(one.started(), ['later']);
});

test('who does not own it tries again, also when the store does not answer', () => {
  const one = new Told();
  one.sees('l1');
  assert.deepEqual(one.campaigned(owned('b', 'l9', 7)), ['later']);
  assert.deepEqual(one.tell({ kind: 'CampaignDue' }), ['campaign']);
  assert.deepEqual(one.campaigned(unreachable), ['later']);
});

test('the leader gone from the view: it campaigns at once, and only then', () => {
  const one = new Told();
  one.sees('l1');
  one.campaigned(owned('b', 'l2', 7));
  assert.deepEqual(one.sees('l1', true, ['a', 'b', 'c']), []);
  assert.deepEqual(one.sees('l1', true, ['a', 'b']), []);
  assert.deepEqual(one.sees('l1', true, ['a']), ['campaign']);
  assert.deepEqual(one.sees('l1', true, ['a']), []);
});

test('a key of this node’s former session is not ours', () => {
  const one = new Told();
  one.sees('l2');
  assert.deepEqual(one.campaigned(owned('a', 'l1', 7)), ['later']);
});

test('the session lost: the coordinator ends, and another campaign waits for another session', () => {
  const one = Told.leading();
  assert.deepEqual(one.sees(null), ['stop coordinator']);
  assert.deepEqual(one.ended(), ['resign', 'later']);
  assert.deepEqual(one.tell({ kind: 'CampaignDue' }), []);
  assert.deepEqual(one.sees('l2'), ['campaign']);
});

test('the session lost while the coordinator is being started: it ends as soon as it runs', () => {
  const one = new Told();
  one.sees('l1');
  one.campaigned(won(7));
  assert.deepEqual(one.sees(null), []);
  assert.deepEqual(one.started(), ['stop coordinator']);
  assert.deepEqual(one.ended(), ['resign', 'later']);
});

test('the coordinator ended: the key is given up, so that the next term is another', () => {
  const one = Told.leading();
  assert.deepEqual(one.ended(), ['resign', 'later']);
  // The key could not be given up, and is still there.
  one.tell({ kind: 'CampaignDue' });
  assert.deepEqual(one.campaigned(owned('a', 'l1', 7)), ['resign', 'later']);
  one.tell({ kind: 'CampaignDue' });
  assert.deepEqual(one.campaigned(won(9)), ['spawn coordinator 9']);
});

test('a key of this session that an elector before this one won is given up first: no two coordinators share a term', () => {
  const one = new Told();
  one.sees('l1');
  assert.deepEqual(one.campaigned(owned('a', 'l1', 7)), ['resign', 'later']);
});

test('the key lost while the session lives (deleted, or a store restored): the coordinator ends', () => {
  const one = Told.leading();
  assert.deepEqual(one.tell({ kind: 'CampaignDue' }), ['campaign']);
  assert.deepEqual(one.campaigned(owned('a', 'l1', 7)), ['later']);
  assert.deepEqual(one.campaigned(unreachable), ['later']);
  one.tell({ kind: 'CampaignDue' });
  assert.deepEqual(one.campaigned(owned('b', 'l9', 9)), ['stop coordinator', 'later']);
  // It is stopped once; what was asked meanwhile goes to the new one.
  assert.deepEqual(one.ended(), ['later']);
  assert.deepEqual(one.asks(1), ['b Ask']);
});

test('the key lost and made anew by the campaign itself: another term begins', () => {
  const one = Told.leading();
  one.tell({ kind: 'CampaignDue' });
  assert.deepEqual(one.campaigned(owned('a', 'l1', 9)), ['stop coordinator', 'later']);
  assert.deepEqual(one.ended(), ['resign', 'later']);
});

test('asks go to whoever leads; those that came before go when somebody is known', () => {
  const one = new Told();
  assert.deepEqual(one.asks(1), []);
  one.sees('l1');
  assert.deepEqual(one.campaigned(owned('b', 'l9', 7)), ['b Ask', 'later']);
  assert.deepEqual(one.asks(2), ['b Ask']);
});

test('asks that are open are asked again at each look: the coordinator may not have begun, links may lose', () => {
  const one = new Told();
  one.sees('l1');
  one.campaigned(owned('b', 'l9', 7));
  one.asks(1);
  one.asks(2);
  assert.deepEqual(one.campaigned(owned('b', 'l9', 7)), ['b Ask', 'b Ask', 'later']);
  one.tell({ kind: 'Answered', requestId: 1, outcome: ok({ kind: 'Done' }) });
  assert.deepEqual(one.campaigned(unreachable), ['b Ask', 'later']);
  one.tell({ kind: 'AskDue', requestId: 2 });
  assert.deepEqual(one.campaigned(owned('b', 'l9', 7)), ['later']);
});

test('asks that are open are asked again when the term changes, also of the same node', () => {
  const one = new Told();
  one.sees('l1');
  one.campaigned(owned('b', 'l9', 7));
  one.asks(1);
  assert.deepEqual(one.campaigned(owned('b', 'l9', 8)), ['b Ask', 'later']);
  const outcome = ok({ kind: 'Done' as const });
  assert.deepEqual(one.tell({ kind: 'Answered', requestId: 1, outcome }), ['answer 1 ok']);
  assert.deepEqual(one.tell({ kind: 'Answered', requestId: 1, outcome }), []);
  assert.deepEqual(one.campaigned(owned('b', 'l9', 9)), ['later']);
});

test('an ask is answered in time, one way or another, and too many at once are refused', () => {
  const one = new Told();
  one.asks(1);
  assert.deepEqual(one.tell({ kind: 'AskDue', requestId: 1 }), ['answer 1 no']);
  for (let id = 2; id <= 1_001; id++) one.asks(id);
  assert.deepEqual(one.asks(1_002), ['answer 1002 no']);
});

test('who stops in order gives the key up', () => {
  assert.deepEqual(Told.leading().signal({ kind: 'StopAsked' }), ['resign', 'stop self']);
  assert.deepEqual(new Told().signal({ kind: 'StopAsked' }), ['stop self']);
});

test('the process is told who leads, at every change and only then', () => {
  const one = new Told();
  one.sees('l1');
  one.campaigned(owned('b', 'l2', 5));
  one.campaigned(owned('b', 'l2', 5));
  one.campaigned(unreachable);
  one.campaigned(won(7));
  one.started();
  one.campaigned(owned('a', 'l1', 7));
  one.ended();
  one.campaigned(owned('b', 'l2', 9));
  assert.deepEqual(one.leaders, ['b', 'a', null, 'b']);
});

test('who has led lets the others campaign first, where there are others', () => {
  for (const [nodes, pauseMs] of [
    [['a', 'b'], 1_000],
    [['a'], 500],
  ] as const) {
    const one = Told.leading();
    one.sees('l1', true, [...nodes]);
    one.ended();
    assert.equal(one.pauseMs, pauseMs);
  }
});

test('coordinators that break again and again: it is told and logged, and this node leads once a minute', () => {
  const one = new Told();
  one.sees('l1');
  for (let term = 1; term <= 3; term++) one.breaks(term, 100);
  assert.deepEqual([one.troubles, one.logged], [[], []]);
  one.breaks(4, 100);
  assert.deepEqual(one.troubles, ['COORDINATOR_FAILING']);
  assert.deepEqual(one.logged, ['error coordinator-failing']);
  // It looks all the same: who asks here is taken to whoever leads.
  one.asks(1);
  const restUntilMs = one.nowMs + 60_000;
  assert.deepEqual(one.next(), ['look']);
  assert.deepEqual(one.looked('b', 'l9', 5), ['b Ask', 'later']);
  assert.deepEqual(one.next(), ['look']);
  // Its own key, which could not be given up.
  assert.deepEqual(one.looked('a', 'l1', 4), ['resign', 'later']);
  assert.deepEqual(one.looked(null, '', 0), ['later']);
  while (one.nowMs + one.pauseMs < restUntilMs) assert.deepEqual(one.next(), ['look']);
  // One that breaks again takes another minute at once.
  one.breaks(6, 100);
  assert.deepEqual(one.next(), ['look']);
  assert.equal(one.troubles.at(-1), 'COORDINATOR_FAILING');
});

test('trouble with coordinators is over when a term, of whichever node, has lasted a minute', () => {
  for (const owner of ['a', 'b']) {
    const one = new Told();
    one.sees('l1');
    for (let term = 1; term <= 4; term++) one.breaks(term, 100);
    if (owner === 'a') {
      one.nowMs += 60_000;
      assert.deepEqual(one.next(), ['campaign']);
      one.campaigned(won(9));
      one.started();
    } else one.looked('b', 'l9', 9);
    const see = (): string[] =>
      owner === 'a' ? one.campaigned(owned('a', 'l1', 9)) : one.looked('b', 'l9', 9);
    one.nowMs += 59_999;
    see();
    assert.deepEqual(one.troubles, ['COORDINATOR_FAILING']);
    one.nowMs += 1;
    see();
    assert.deepEqual(one.troubles, ['COORDINATOR_FAILING', null]);
  }
});

test('a coordinator that hardly heard anybody: this node leaves the lead to another, once, and then goes on', () => {
  const one = new Told();
  const unheard = failure('COORDINATOR_UNHEARD', 'no word of b, c', { retry: 'Again' });
  const elected = (revision: number): void => {
    assert.deepEqual(one.next(), ['campaign']);
    one.campaigned(won(revision));
    one.started();
  };
  one.sees('l1', true, ['a', 'b', 'c']);
  elected(1);
  assert.deepEqual(one.yields, [true]);
  assert.deepEqual(one.ended({ kind: 'failure', failure: unheard }), ['resign', 'later']);
  const restUntilMs = one.nowMs + 15_000;
  while (one.nowMs + one.pauseMs < restUntilMs) {
    assert.deepEqual(one.next(), ['look']);
    one.looked(null, '', 0);
  }
  elected(3);
  assert.deepEqual(one.yields, [true, false]);
  one.ended();
  one.nowMs += 300_000;
  elected(5);
  assert.deepEqual(one.yields, [true, false, true]);
  assert.deepEqual(one.troubles, []);
});

test('terms that end in order, or break now and then, are no trouble', () => {
  const one = new Told();
  one.sees('l1');
  for (let term = 1; term <= 10; term++) one.breaks(term, 30_000);
  for (let term = 11; term <= 20; term++) {
    assert.deepEqual(one.next(), ['campaign']);
    one.campaigned(won(term));
    one.started();
    one.ended({ kind: 'normal' });
  }
  assert.deepEqual(one.troubles, []);
});
