/** What people ask of the coordinator, and the exact words of every "no". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeyStore } from '#src/adapters/embedded-coordination/key-store.ts';
import type { Outcome } from '#src/base/failure.ts';
import { changefeedStatusKey } from '#src/model/coordination-key.ts';
import { encodeRecord } from '#src/protocol/changefeed-record.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import type { CoordinatorReply, CoordinatorRequest } from '#src/protocol/coordinator.ts';
import { configOf } from '../feed-config.ts';
import { recordOf } from './coordinator-words.ts';
import { ToldCoordinator } from './told-coordinator.ts';

/** The refusal in words; `Done` and the like for what is no refusal, `none` while there is no answer. */
function wordsOf(outcome: Outcome<CoordinatorReply> | null): string {
  if (outcome === null) return 'none';
  return outcome.ok ? outcome.value.kind : `${outcome.failure.code}: ${outcome.failure.message}`;
}

test('every refusal names the changefeed, its state, and what can be done with it', () => {
  const one = ToldCoordinator.running(
    ['a', 'b'],
    [
      recordOf('runs'),
      recordOf('rests', { state: 'stopped' }),
      recordOf('ended', { state: 'finished' }),
    ],
  );
  const cases: readonly (readonly [CoordinatorRequest, words: string])[] = [
    [{ kind: 'QueryChangefeed', id: 'x' }, 'CHANGEFEED_UNKNOWN: there is no changefeed x'],
    [{ kind: 'RemoveChangefeed', id: 'x' }, 'CHANGEFEED_UNKNOWN: there is no changefeed x'],
    [
      { kind: 'CreateChangefeed', config: configOf('runs'), createdMs: 7 },
      'CHANGEFEED_EXISTS: changefeed runs exists',
    ],
    [
      { kind: 'CreateChangefeed', config: configOf('a/b'), createdMs: 7 },
      'CONFIG_INVALID: changefeed id "a/b": letters and digits, in parts joined by single dashes, at most 128',
    ],
    // What a key could hold is not enough of a name.
    [
      { kind: 'CreateChangefeed', config: configOf('a.b_c'), createdMs: 7 },
      'CONFIG_INVALID: changefeed id "a.b_c": letters and digits, in parts joined by single dashes, at most 128',
    ],
    [
      { kind: 'UpdateChangefeed', config: configOf('runs'), before: configOf('runs') },
      'CHANGEFEED_STATE: changefeed runs is starting: only stopped or failed can be updated',
    ],
    [
      { kind: 'UpdateChangefeed', config: configOf('ended'), before: configOf('ended') },
      'CHANGEFEED_STATE: changefeed ended is finished: only stopped or failed can be updated',
    ],
    [
      { kind: 'PauseChangefeed', id: 'ended' },
      'CHANGEFEED_STATE: changefeed ended is finished: only normal or warning can be paused',
    ],
    [{ kind: 'PauseChangefeed', id: 'rests' }, 'Done'],
    [
      { kind: 'MoveChangefeed', id: 'rests', node: 'b' },
      'CHANGEFEED_STATE: changefeed rests is stopped: only normal, and at rest can be moved',
    ],
    [{ kind: 'MoveChangefeed', id: 'runs', node: 'z' }, 'CAPTURE_UNKNOWN: there is no capture z'],
    [
      { kind: 'MoveTable', id: 'runs', span: 'd.t', node: 'z' },
      'CAPTURE_UNKNOWN: there is no capture z',
    ],
    [
      { kind: 'ListTables', id: 'rests' },
      'CHANGEFEED_STATE: changefeed rests is stopped: only normal can be asked about its tables',
    ],
    [{ kind: 'DrainCapture', node: 'z' }, 'CAPTURE_UNKNOWN: there is no capture z'],
  ];
  for (const [request, words] of cases) assert.equal(wordsOf(one.ask(request)), words);
});

test('creations side by side never pass the limit, whatever is stored already', () => {
  const stored = Array.from({ length: 60 }, (_, i) => recordOf(`old-${i}`, { state: 'stopped' }));
  const one = ToldCoordinator.running(['a'], stored);
  // Nothing that is asked now is stored yet.
  one.isHeld = true;
  const asked = Array.from({ length: 10 }, (_, i) => one.creates(`new-${i}`));
  assert.deepEqual(asked.map(wordsOf), [
    ...Array<string>(4).fill('none'),
    ...Array<string>(6).fill('CHANGEFEED_STATE: there are 64 changefeeds, which is the most'),
  ]);
  one.releases();
  const listed = one.ask({ kind: 'ListChangefeeds' });
  assert.ok(listed?.ok === true && listed.value.kind === 'Changefeeds');
  assert.equal(listed.value.views.length, 64);
});

test('what the check of its ends found is shown with a changefeed, until it is updated', () => {
  const one = ToldCoordinator.running(['a']);
  const config = configOf('f');
  one.ask({ kind: 'CreateChangefeed', config, createdMs: 1, warnings: ['w'] });
  assert.deepEqual(one.view('f').status.warnings, ['w']);
  const next = new ToldCoordinator(['a'], [], one.store);
  next.boots('a');
  assert.deepEqual(next.view('f').status.warnings, ['w']);
  const stopped = ToldCoordinator.running(
    ['a'],
    [recordOf('g', { state: 'stopped', warnings: ['w'] })],
  );
  stopped.ask({ kind: 'UpdateChangefeed', config: configOf('g'), before: configOf('g') });
  assert.deepEqual(stopped.view('g').status.warnings, []);
});

test('another sink begins where the copy stands, the same one at its own position: the first start is history', () => {
  const endsAt = (sinkUri: string): ChangefeedConfig => ({
    ...configOf('f'),
    endpoints: { upstreamUri: 'mysql://u/', sinkUri, laneCount: 1 },
    startAt: { kind: 'gtid', gtid: '0-1-1' },
  });
  const position = { ts: 20, gtid: '0-1-20' };
  const status = encodeRecord({ version: 1, checkpoint: position });
  const here = endsAt('mysql://here/');
  const there = endsAt('mysql://there/');
  const first = { kind: 'gtid', gtid: '0-1-1' };
  const cases: readonly (readonly [ChangefeedConfig, string | null, startAt: unknown])[] = [
    [here, status, first],
    [there, status, { kind: 'position', position, timeline: [] }],
    // It has never run: there is no copy yet.
    [there, null, first],
  ];
  for (const [config, stored, startAt] of cases) {
    const store = new KeyStore();
    const before = new ToldCoordinator(
      ['a'],
      [recordOf('f', { state: 'stopped', config: here })],
      store,
    );
    if (stored !== null) before.write({ key: changefeedStatusKey('k', 'f'), value: stored });
    const next = ToldCoordinator.running(['a'], [], store);
    // Whoever asks does not say where it begins.
    const asked = { ...config, startAt: { kind: 'now' } as const };
    assert.equal(
      wordsOf(next.ask({ kind: 'UpdateChangefeed', config: asked, before: here })),
      'Done',
    );
    assert.deepEqual(next.record('f')?.config, { ...config, startAt });
  }
});

test('of two updates made from the same configuration the second is told to look again', () => {
  const made = (more: Partial<ChangefeedConfig>): CoordinatorRequest => ({
    kind: 'UpdateChangefeed',
    before: configOf('f'),
    config: configOf('f', more),
  });
  const first = made({ rules: ['a.*'] });
  const second = made({ memoryQuota: 1 << 21 });
  const refusal =
    'CHANGEFEED_CHANGED: changefeed f was updated by somebody else meanwhile: look at it, and say again what is to change';
  // While the first is being stored, and once it is.
  for (const isHeld of [true, false]) {
    const one = ToldCoordinator.running(['a'], [recordOf('f', { state: 'stopped' })]);
    one.isHeld = isHeld;
    one.ask(first, { requestId: 1 });
    assert.equal(wordsOf(one.ask(second, { requestId: 2 })), refusal);
    one.releases();
    assert.equal(wordsOf(one.answerTo(1)), 'Done');
    assert.deepEqual(one.record('f')?.config, configOf('f', { rules: ['a.*'] }));
    // The answer to the first was lost: a coordinator that comes later is asked by the same words.
    const next = ToldCoordinator.running(['a'], [], one.store);
    assert.equal(wordsOf(next.ask(first)), 'Done');
    assert.equal(wordsOf(next.ask(second)), refusal);
    const third = { ...second, before: configOf('f', { rules: ['a.*'] }) } as CoordinatorRequest;
    assert.equal(wordsOf(next.ask(third)), 'Done');
  }
});

test('every node in view is listed with its address, the lingering ones too', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  one.tell({
    kind: 'NodesChanged',
    self: 'a',
    nodes: ['a'],
    lease: 'lease',
    isComplete: true,
    members: ['a', 'b'].map((captureId) => ({
      captureId,
      apiAddress: `${captureId}:1`,
      peerAddress: '',
      version: '0',
      state: captureId === 'a' ? 'alive' : 'lingering',
    })),
  });
  const listed = one.ask({ kind: 'ListCaptures' });
  assert.ok(listed?.ok === true && listed.value.kind === 'Captures');
  assert.deepEqual(
    listed.value.views.map(({ id, apiAddress, state, isCoordinator }) => [
      id,
      apiAddress,
      state,
      isCoordinator,
    ]),
    [
      ['a', 'a:1', 'alive', true],
      ['b', 'b:1', 'lingering', false],
    ],
  );
});

test('a coordinator resigns when it is meant, and not instead of the one before it', () => {
  const one = ToldCoordinator.running(['a', 'b']);
  assert.equal(wordsOf(one.ask({ kind: 'ResignCoordinator', node: 'b' })), 'Done');
  assert.equal(one.exit, null);
  assert.equal(wordsOf(one.ask({ kind: 'ResignCoordinator', node: 'a' })), 'Done');
  assert.notEqual(one.exit, null);
});
