import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  logPuller,
  type LogPullerInbox,
  type LogPullerState,
} from '#actors/log-puller/log-puller.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { UpstreamAnswer } from '#src/ports/upstream.ts';
import { envOf, refOf, told } from './cell-env.ts';

const routing = { rules: ['*.*'], groups: {} };
const position = { ts: 10, gtid: '0-1-1' };
const open: LogPullerInbox = { kind: 'OpenSource', startAt: { kind: 'now' } };
const start: LogPullerInbox = {
  kind: 'StartPulling',
  position,
  timeline: [],
  routing,
  until: null,
  chunkBytes: 100,
};
const checked: UpstreamAnswer = {
  kind: 'Checked',
  flavor: 'mariadb',
  version: '1',
  serverId: 's',
  start: position,
  newest: position,
  timeline: [],
  warnings: [],
};
const chunk: UpstreamAnswer = {
  kind: 'Chunk',
  blocks: [],
  resolved: { ts: 20, gtid: '0-1-2' },
  commitMs: 1,
  byteCount: 1,
  transactionCount: 1,
};
const lost = failure('SOURCE_DISCONNECTED', 'lost', { retry: 'Reconnect' });
const gone = failure('SOURCE_BINLOG_PURGED', 'gone');

/** A puller that is told one message after another. */
class Puller {
  state: LogPullerState;

  constructor() {
    [this.state] = logPuller.init(
      { changefeed: 'f', eventService: refOf('service'), manager: refOf('manager') },
      envOf(),
    );
  }

  tell(message: LogPullerInbox): string[] {
    const [state, effects] = logPuller.receive(this.state, message, envOf('manager'));
    this.state = state;
    return told(effects);
  }

  answer(answer: UpstreamAnswer, tag = this.state.call): string[] {
    return this.tell({ kind: 'UpstreamAnswered', tag, outcome: ok(answer) });
  }

  fail(what = lost): string[] {
    return this.tell({ kind: 'UpstreamAnswered', tag: this.state.call, outcome: failed(what) });
  }

  /** Up to a Next under way. */
  static pulling(): Puller {
    const puller = new Puller();
    puller.tell(open);
    puller.answer(checked);
    puller.tell(start);
    puller.answer({ kind: 'Opened' });
    return puller;
  }
}

test('the source is checked, opened, and pulled one chunk at a time', () => {
  const puller = new Puller();
  assert.deepEqual(puller.tell(open), ['port Check']);
  assert.deepEqual(puller.answer(checked), ['manager UpstreamChecked']);
  assert.deepEqual(puller.tell(start), ['port Open']);
  assert.deepEqual(puller.answer({ kind: 'Opened' }), ['port Next']);
  assert.deepEqual(puller.answer(chunk), ['service Chunk']);
  assert.equal(puller.state.phase.at, 'holding');
  assert.deepEqual(puller.tell({ kind: 'ChunkTaken', routing: null }), ['port Next']);
});

test('after a DDL the new routing is set before the next chunk', () => {
  const puller = Puller.pulling();
  puller.answer(chunk);
  const next = { rules: ['a.*'], groups: {} };
  assert.deepEqual(puller.tell({ kind: 'ChunkTaken', routing: next }), ['port Route']);
  assert.deepEqual(puller.answer({ kind: 'Routed' }), ['port Next']);
  assert.equal(puller.state.routing, next);
});

test('a disconnect discards what is incomplete, waits longer each time, and reopens behind the last resolved', () => {
  const puller = Puller.pulling();
  puller.answer(chunk);
  puller.tell({ kind: 'ChunkTaken', routing: null });
  const trouble = ['service DiscardIncomplete', 'manager UpstreamTroubled'];
  assert.deepEqual(puller.fail(), [...trouble, 'timer backoff 75']);
  assert.deepEqual(puller.tell({ kind: 'BackoffDue' }), ['port Open']);
  assert.deepEqual(puller.state.resolved, { ts: 20, gtid: '0-1-2' });
  assert.deepEqual(puller.fail(), [...trouble, 'timer backoff 150']);
  for (let i = 0; i < 20; i++) puller.fail();
  assert.deepEqual(puller.fail().at(-1), 'timer backoff 3750');
  puller.tell({ kind: 'BackoffDue' });
  assert.deepEqual(puller.answer({ kind: 'Opened' }), ['manager UpstreamTroubled', 'port Next']);
  puller.answer(chunk);
  assert.equal(puller.state.failureCount, 0);
});

test('a failed check is tried again as a check, and said to be over when it succeeds', () => {
  const puller = new Puller();
  puller.tell(open);
  assert.deepEqual(puller.fail(), ['manager UpstreamTroubled', 'timer backoff 75']);
  assert.deepEqual(puller.tell({ kind: 'BackoffDue' }), ['port Check']);
  assert.deepEqual(puller.answer(checked), ['manager UpstreamTroubled', 'manager UpstreamChecked']);
});

test('what cannot be repaired ends the source', () => {
  const puller = Puller.pulling();
  assert.deepEqual(puller.fail(gone), ['manager UpstreamFailed']);
  assert.equal(puller.state.phase.at, 'idle');
});

test('a position that must be found anew is for the maintainer above to check', () => {
  const puller = Puller.pulling();
  const moved = failure('SOURCE_MOVED', 'another server', { retry: 'Resync' });
  assert.deepEqual(puller.fail(moved), ['manager UpstreamFailed']);
  assert.equal(puller.state.phase.at, 'idle');
});

test('an answer to an earlier call is dropped', () => {
  const puller = Puller.pulling();
  const earlier = puller.state.call;
  assert.deepEqual(puller.tell({ kind: 'CloseSource' }), ['manager UpstreamClosed', 'port Close']);
  assert.deepEqual(puller.answer(chunk, earlier), []);
  assert.deepEqual(puller.tell({ kind: 'BackoffDue' }), []);
  assert.equal(puller.state.phase.at, 'idle');
});

test('at the end of what is wanted nothing more is read, once the service has taken it; a lost connection reads it again', () => {
  const puller = new Puller();
  puller.tell(open);
  puller.answer(checked);
  puller.tell({ ...start, until: '0-1-2' });
  puller.answer({ kind: 'Opened' });
  puller.fail();
  assert.deepEqual(puller.tell({ kind: 'BackoffDue' }), ['port Open']);
  assert.equal(puller.state.pulling?.until, '0-1-2');
  puller.answer({ kind: 'Opened' });
  assert.deepEqual(puller.answer({ ...chunk, isEnd: true }), ['service Chunk']);
  assert.equal(puller.state.phase.at, 'holding');
  assert.deepEqual(puller.tell({ kind: 'ChunkTaken', routing: null }), [
    'manager UpstreamClosed',
    'port Close',
  ]);
  assert.equal(puller.state.phase.at, 'idle');
});
