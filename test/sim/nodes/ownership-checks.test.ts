/** The checks of a coordinator's term, fed with terms that keep the rules of spec/02 and terms that break one each. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Message } from '#src/kernel/message.ts';
import { changefeedInfoKey } from '#src/model/coordination-key.ts';
import { encodeRecord, newRecord } from '#src/protocol/changefeed-record.ts';
import { blankStatus } from '#src/protocol/changefeed.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import { mainRef, places } from '#src/protocol/nodes.ts';
import type { FeedView } from './coordinator-step.ts';
import { OwnershipChecks } from './ownership-checks.ts';
import { clusterId, feedId } from './sim-node.ts';

/** A coordinator on node `a`, whose steps are told one by one. */
class ToldTerm {
  readonly broken: string[] = [];
  readonly #checks = new OwnershipChecks({
    broken: (rule) => this.broken.push(rule),
    mark: () => {},
  });
  #phase = 'gathering';
  #feed: FeedView | null;

  constructor(feed: Partial<FeedView> | null = {}) {
    const none = { node: null, maintainerEpoch: null, operator: null };
    this.#feed = feed === null ? null : { id: feedId, state: 'normal', epoch: 3, ...none, ...feed };
    this.#step('a', { kind: 'init' }, []);
  }

  /** A term in which `b` maintains under the stored epoch 3. */
  static running(): ToldTerm {
    const term = new ToldTerm();
    term.boots('a', []);
    term.boots('b', [word(3)], { node: 'b', maintainerEpoch: 3 });
    return term;
  }

  /** A node says what it runs; with the last of them the coordinator runs, and the changefeed stands so. */
  boots(
    node: string,
    reports: readonly MaintainerReport[],
    feed: Partial<FeedView> = {},
    ...effects: readonly Effect[]
  ): void {
    if (node === 'b') this.#phase = 'running';
    this.#reports(node, true, reports, feed, effects);
  }

  /** A node says how its maintainers are. */
  hears(
    node: string,
    reports: readonly MaintainerReport[],
    feed: Partial<FeedView>,
    ...effects: readonly Effect[]
  ): void {
    this.#reports(node, false, reports, feed, effects);
  }

  /** Some other step. */
  does(feed: Partial<FeedView>, ...effects: readonly Effect[]): void {
    this.#become(feed);
    this.#step('a', { kind: 'TickDue' }, effects);
  }

  /** The write under way is committed. */
  commits(feed: Partial<FeedView>, ...effects: readonly Effect[]): void {
    this.#become(feed);
    const value = { kind: 'Transacted', succeeded: true, entries: [], revision: 1 };
    const tag = `write ${feedId}`;
    const cause = { kind: 'CoordinationAnswered', tag, outcome: ok(value) };
    this.#step('a', cause, effects);
  }

  /** Somebody asks to pause the changefeed. */
  pauses(...effects: readonly Effect[]): void {
    const request = { kind: 'PauseChangefeed', id: feedId };
    const ask = { kind: 'Ask', requestId: 1, request };
    this.#step('a', ask, effects);
  }

  #reports(
    node: string,
    isBootstrap: boolean,
    reports: readonly MaintainerReport[],
    feed: Partial<FeedView>,
    effects: readonly Effect[],
  ): void {
    this.#become(feed);
    const cause = { kind: 'ManagerReported', isBootstrap, reports, drain: null };
    this.#step(node, cause, effects);
  }

  #become(feed: Partial<FeedView>): void {
    if (this.#feed !== null) this.#feed = { ...this.#feed, ...feed };
  }

  #step(from: string, cause: Message, effects: readonly Effect[]): void {
    const self = mainRef(places.coordinator, 'a', 'a');
    const changefeeds = this.#feed === null ? [] : [this.#feed];
    const overview = { phase: this.#phase, nodes: ['a', 'b'], changefeeds };
    this.#checks.step({
      role: 'coordinator',
      process: 'a',
      env: {
        self,
        from: { ...mainRef(places.maintainerManager, from, 'a'), incarnation: 1 },
        now: () => 0,
        random: () => 0,
        admitted: () => {},
      } as never,
      cause,
      effects,
      props: null,
      overview: () => overview as never,
    });
  }
}

function word(epoch: number, more: Partial<MaintainerReport> = {}, ts = epoch): MaintainerReport {
  const status = { ...blankStatus(feedId), resolvedTs: ts };
  const is = { isWorking: true, isClosed: false, isBootstrapped: true };
  return { id: feedId, epoch, ...is, status, ...more };
}

function toManager(node: string, message: Message): Effect {
  return { kind: 'Send', to: mainRef(places.maintainerManager, node, 'a'), message };
}

const config = { id: feedId } as Parameters<typeof newRecord>[0];

function add(node: string, epoch: number): Effect {
  return toManager(node, { kind: 'AddMaintainer', config, epoch } as Message);
}

function remove(node: string, epoch: number, removed = false): Effect {
  const message = { kind: 'RemoveMaintainer', id: feedId, epoch, cascade: true, removed, config };
  return toManager(node, message);
}

function writes(epoch: number, state: 'normal' | 'stopped' = 'normal'): Effect {
  const record = {
    ...newRecord(config, 0),
    epoch,
    state,
    config: { id: feedId, rules: [], startAt: {} },
  };
  const puts = [
    { key: changefeedInfoKey(clusterId, feedId), value: encodeRecord(record as never) },
  ];
  const request = { kind: 'Transact', compares: [], puts };
  return { kind: 'CallPort', port: 'coordination', request, answer: 'CoordinationAnswered' };
}

function shows(resolvedTs: number): Effect {
  const request = { kind: 'Status', status: { ...blankStatus(feedId), resolvedTs } };
  return { kind: 'CallPort', port: 'report', request, answer: 'ReportAnswered' };
}

const refusal: Effect = {
  kind: 'Send',
  to: mainRef(places.elector, 'b', 'a'),
  message: {
    kind: 'Answered',
    requestId: 1,
    outcome: failed(failure('CHANGEFEED_STATE', 'no')),
  } as Message,
};

/** What happens in a term, and which rules it breaks. */
const terms: readonly (readonly [what: string, rules: string, tell: () => ToldTerm])[] = [
  [
    'a move whose epoch is stored first, while words are taken and a stop is asked for',
    '',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.hears('b', [word(3, {}, 7)], {}, shows(7));
      term.pauses();
      term.commits({ epoch: 4, operator: 'move' }, remove('b', 3), writes(4, 'stopped'));
      term.commits({ state: 'stopped', operator: 'stop' });
      return term;
    },
  ],
  [
    'F4: an operator enters while an epoch is stored',
    'F4',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.does({ operator: 'move' });
      return term;
    },
  ],
  [
    'F4: two epochs are stored at once',
    'F4',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.does({}, writes(5));
      return term;
    },
  ],
  [
    'F4: an epoch is raised during an attempt',
    'F4',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.commits({ epoch: 4, operator: 'move' }, writes(5));
      return term;
    },
  ],
  [
    'F4: words are not taken while an epoch is stored',
    'F4',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.hears('b', [word(3)], {});
      return term;
    },
  ],
  [
    'F4: a stop is refused while an epoch is stored',
    'F4',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.pauses(refusal);
      return term;
    },
  ],
  [
    'F4: a stop is stored, and stops nothing',
    'F4',
    () => {
      const term = ToldTerm.running();
      term.pauses(writes(3, 'stopped'));
      term.commits({ state: 'stopped' });
      return term;
    },
  ],
  [
    'F8: a word of an earlier epoch is dropped',
    '',
    () => {
      const term = ToldTerm.running();
      term.hears('b', [word(3, {}, 7)], {}, shows(7));
      term.hears('a', [word(2, {}, 9)], {}, remove('a', 2), shows(7));
      return term;
    },
  ],
  [
    'F8: a word of an earlier epoch is shown',
    'F8',
    () => {
      const term = ToldTerm.running();
      term.hears('a', [word(2, {}, 9)], {}, remove('a', 2), shows(9));
      return term;
    },
  ],
  [
    'F8: a word of the former maintainer is shown once there is the next',
    'F8',
    () => {
      const term = ToldTerm.running();
      term.does({}, writes(4));
      term.commits({ epoch: 4, operator: 'move' }, remove('b', 3));
      term.hears('b', [word(3, { isWorking: false }, 8)], {}, shows(8), add('a', 4));
      term.hears('b', [word(3, {}, 9)], {}, remove('b', 3), shows(9));
      return term;
    },
  ],
  [
    'F11: what runs unknown is removed under its own epoch',
    '',
    () => {
      const term = new ToldTerm(null);
      term.boots('a', []);
      term.boots('b', [word(2)], {}, remove('b', 2, true));
      return term;
    },
  ],
  [
    'F11: what runs unknown goes on',
    'F11',
    () => {
      const term = new ToldTerm(null);
      term.boots('a', []);
      term.boots('b', [word(2)]);
      return term;
    },
  ],
  [
    'F11: what runs unknown is ended under another epoch, or not for good',
    'F11 F11',
    () => {
      const term = new ToldTerm(null);
      term.boots('a', []);
      term.boots('b', [word(2)], {}, remove('b', 3, true));
      term.hears('b', [word(2)], {}, remove('b', 2));
      return term;
    },
  ],
  [
    'F12: of two reports the stored epoch stays, the other ends under its own',
    '',
    () => {
      const term = new ToldTerm();
      term.boots('a', [word(2)]);
      term.boots(
        'b',
        [word(3)],
        { node: 'b', maintainerEpoch: 3, operator: 'stop' },
        remove('a', 2),
      );
      return term;
    },
  ],
  [
    'F12: an earlier epoch is kept',
    'F12',
    () => {
      const term = new ToldTerm();
      term.boots('a', [word(2)]);
      const kept = { node: 'a', maintainerEpoch: 2 };
      term.boots('b', [word(3)], kept, remove('a', 2), remove('b', 3));
      return term;
    },
  ],
  [
    'F12: two equals are taken for one',
    'F12',
    () => {
      const term = new ToldTerm();
      term.boots('a', [word(3)]);
      term.boots('b', [word(3)], { node: 'a', maintainerEpoch: 3 });
      return term;
    },
  ],
  [
    'F12: a stale one is not told to end',
    'F12',
    () => {
      const term = new ToldTerm();
      term.boots('a', [word(2)]);
      term.boots('b', [], { operator: 'stop' }, remove('a', 3));
      return term;
    },
  ],
  [
    'F12: a stale one that shows up later is told at first and then never again',
    'F12',
    () => {
      const term = ToldTerm.running();
      term.does({}, add('b', 3));
      term.hears('a', [word(2)], {}, remove('a', 2));
      for (let i = 0; i < 101; i++) term.hears('a', [word(2)], {});
      return term;
    },
  ],
  [
    'F13: a stale one stops, and only then another is added',
    '',
    () => {
      const term = new ToldTerm();
      term.boots('a', []);
      term.boots('b', [word(2)], { operator: 'stop' }, remove('b', 2));
      term.hears('b', [word(2, { isWorking: false })], { operator: null }, writes(4));
      term.commits({ epoch: 4, operator: 'add', node: 'a', maintainerEpoch: 4 }, add('a', 4));
      return term;
    },
  ],
  [
    'F13: another is added while a stale one works',
    'F13',
    () => {
      const term = new ToldTerm();
      term.boots('a', []);
      term.boots('b', [word(2)], {}, remove('b', 2), writes(4));
      term.commits({ epoch: 4, operator: 'add', node: 'a', maintainerEpoch: 4 }, add('a', 4));
      return term;
    },
  ],
];

for (const [what, rules, tell] of terms)
  test(`${what}: ${rules === '' ? 'nothing is broken' : 'seen'}`, () => {
    assert.equal(tell().broken.join(' '), rules);
  });
