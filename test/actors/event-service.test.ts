import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventService, type EventServiceInbox } from '#actors/event-service/event-service.ts';
import type { EventServiceState } from '#actors/event-service/state.ts';
import { failed, failure, ok } from '#src/base/failure.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { BlockInfo } from '#src/model/block.ts';
import type { EventStoreRequest } from '#src/ports/event-store.ts';
import type { Chunk, Events, Resolved } from '#src/protocol/source.ts';
import { envOf, refOf, told } from './cell-env.ts';

const resolvedAt = (ts: number): { ts: number; gtid: string } => ({ ts, gtid: `0-1-${ts}` });

function block(ts: number, flags = '', span = 'd.t'): BlockInfo {
  return {
    span,
    firstTs: ts,
    lastTs: ts,
    continues: flags.includes('c'),
    unfinished: flags.includes('u'),
    transactionCount: 1,
    eventCount: 1,
    byteCount: 100,
  };
}

/** A service that its manager has opened and that is told one message after another. */
class Service {
  state: EventServiceState;
  effects: readonly Effect[] = [];

  constructor(memoryQuota = 1 << 20, isOpen = true) {
    const props = {
      changefeed: 'f',
      logPuller: refOf('puller'),
      manager: refOf('manager'),
      storeBytesMax: 1000,
    };
    [this.state] = eventService.init(props, envOf());
    if (isOpen) this.open(memoryQuota);
  }

  open(memoryQuota: number): void {
    this.tell({ kind: 'OpenStream', position: resolvedAt(0), memoryQuota }, 'manager');
  }

  tell(message: EventServiceInbox, from = 'puller'): string[] {
    [this.state, this.effects] = eventService.receive(this.state, message, envOf(from));
    return told(this.effects);
  }

  chunk(resolvedTs: number, infos: readonly BlockInfo[], ddl: Chunk['ddl'] = null): string[] {
    return this.tell({
      kind: 'Chunk',
      infos,
      moved: infos.map(() => new Uint8Array(1)),
      resolved: resolvedAt(resolvedTs),
      commitMs: 1,
      ddl,
      byteCount: 1,
      transactionCount: 1,
    });
  }

  subscribe(subscriber: string, afterTs = 0, creditBytes = 10_000, span = 'd.t'): string[] {
    const message = { kind: 'Subscribe', span, afterTs, creditBytes } as const;
    return this.tell({ ...message, subscriber: refOf(subscriber) }, subscriber);
  }

  grant(from: string, byteCount: number, appliedTs: number, span = 'd.t'): string[] {
    return this.tell({ kind: 'GrantCredit', span, byteCount, appliedTs }, from);
  }

  appended(byteCount: number): string[] {
    const tag = [...this.state.appends.keys()][0]!;
    return this.tell({ kind: 'AppendAnswered', tag, outcome: ok({ kind: 'Appended', byteCount }) });
  }

  /** Answers the read under way with blocks of these times. */
  read(infos: readonly BlockInfo[], more = false, span = 'd.t'): string[] {
    const stream = this.state.streams.get(span)!;
    const tag = `${this.state.generation} ${stream.subscription} ${span}`;
    const blocks = infos.map((info) => ({ info, bytes: new Uint8Array(1) }));
    const cursor = { ts: infos.at(-1)?.lastTs ?? 0, part: 0 };
    const outcome = ok({ kind: 'Blocks', blocks, cursor, more } as const);
    return this.tell({ kind: 'ReadAnswered', tag, outcome });
  }

  tick(): string[] {
    return this.tell({ kind: 'TickDue' }).filter((line) => !line.startsWith('timer'));
  }

  /** Times of the blocks sent by the last step. */
  get sent(): number[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'Send' && effect.message.kind === 'Events'
        ? (effect.message as Events).infos.map((info) => info.lastTs)
        : [],
    );
  }

  /** Resolved told by the last step. */
  get resolved(): number[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'Send' && effect.message.kind === 'Resolved'
        ? [(effect.message as Resolved).ts]
        : [],
    );
  }

  get requests(): EventStoreRequest[] {
    return this.effects.flatMap((effect) =>
      effect.kind === 'CallPort' ? [effect.request as EventStoreRequest] : [],
    );
  }
}

test('new spans are announced before the history that covers them, and the next chunk is asked for', () => {
  assert.deepEqual(new Service().chunk(10, [block(10)]), [
    'port Append',
    'manager SpansSeen',
    'manager ResolvedAdvanced',
    'puller ChunkTaken',
  ]);
});

test('a subscriber that comes before the stream is opened, by another link, is served', () => {
  const service = new Service(1 << 20, false);
  service.subscribe('a');
  service.open(1 << 20);
  service.chunk(10, [block(10)]);
  assert.deepEqual(service.sent, [10]);
  service.tick();
  assert.deepEqual(service.resolved, [10]);
});

test('a subscriber gets what is complete, and Resolved behind it', () => {
  const service = new Service();
  service.chunk(20, [block(10), block(20), block(30, 'u')]);
  service.subscribe('d1');
  assert.deepEqual(service.sent, [10, 20]);
  service.tick();
  assert.deepEqual(service.resolved, [20]);
});

test('a transaction whose rest is in other spans is sent once it is complete', () => {
  const service = new Service();
  service.subscribe('d1');
  service.chunk(0, [block(30, 'u')]);
  assert.deepEqual(service.sent, []);
  service.chunk(30, []);
  assert.deepEqual(service.sent, [30]);
});

test('no more is sent than the credit, and a grant lets the next through', () => {
  const service = new Service();
  service.subscribe('d1', 0, 150);
  service.chunk(40, [block(10), block(20), block(30), block(40)]);
  assert.deepEqual(service.sent, [10, 20]);
  service.grant('d1', 200, 20);
  assert.deepEqual(service.sent, [30, 40]);
  service.grant('d0', 500, 999);
  assert.equal(service.state.streams.get('d.t')!.appliedTs, 20);
});

test('what does not fit the window is read back from the store, never past an append that may fail', () => {
  const service = new Service(800);
  service.chunk(30, [block(10), block(20), block(30)]);
  assert.equal(service.state.windowBytes, 0);
  const after = { ts: 0, part: Number.MAX_SAFE_INTEGER };
  service.subscribe('d1');
  assert.deepEqual(service.requests, [
    { kind: 'Read', span: 'd.t', after, untilTs: 0, byteCountMax: 10_000 },
  ]);
  service.read([]);
  service.appended(300);
  assert.deepEqual(
    service.requests.map((request) => request.kind === 'Read' && request.untilTs),
    [30],
  );
  service.read([block(10), block(20)], true);
  assert.deepEqual(service.sent, [10, 20]);
  service.grant('d1', 200, 20);
  service.read([block(30)]);
  assert.deepEqual([service.sent, service.state.streams.get('d.t')!.behind], [[30], false]);
});

test('a store that fails ends the service: nothing is skipped', () => {
  const service = new Service(800);
  service.subscribe('d1');
  service.chunk(30, [block(10), block(20), block(30)]);
  const outcome = failed(failure('STORE_FULL', 'full'));
  assert.deepEqual(service.tell({ kind: 'AppendAnswered', tag: 1, outcome }), [
    'manager UpstreamFailed',
  ]);
  assert.deepEqual(service.chunk(40, [block(40)]), []);
  assert.deepEqual(service.tick(), []);
});

test('a full store holds the log puller back until something is collected', () => {
  const service = new Service();
  const blocks = Array.from({ length: 11 }, (_, i) => block(10 + i));
  assert.ok(!service.chunk(20, blocks).includes('puller ChunkTaken'));
  service.appended(1100);
  const outcome = ok({ kind: 'Collected', byteCount: 500 } as const);
  const stale = { kind: 'CollectAnswered', tag: service.state.generation - 1, outcome } as const;
  assert.deepEqual(service.tell(stale), []);
  assert.deepEqual(service.tell({ ...stale, tag: service.state.generation }), [
    'puller ChunkTaken',
  ]);
});

test('a DDL holds the stream until the manager resumes it, under a new schema version', () => {
  const service = new Service();
  const ddl = { ts: 20, gtid: '0-1-20', commitMs: 1, schema: 'd', sql: 'DDL' };
  assert.deepEqual(service.chunk(10, [], ddl), ['manager ResolvedAdvanced', 'manager StreamHeld']);
  const version = service.state.schemaVersion;
  const resume = { kind: 'ResumeSource', routing: { rules: [], groups: {} } } as const;
  assert.deepEqual(service.tell(resume, 'manager'), ['puller ChunkTaken']);
  assert.equal(service.state.schemaVersion, version + 1);
});

test('a disconnect takes back what is not complete, and only that', () => {
  const service = new Service();
  service.chunk(10, [block(10), block(20, 'u')]);
  service.tell({ kind: 'DiscardIncomplete' });
  assert.deepEqual(service.requests, [{ kind: 'DiscardAfter', ts: 10 }]);
  const stream = service.state.streams.get('d.t')!;
  assert.deepEqual([stream.newest, service.state.storedBytes], [{ ts: 10, part: 0 }, 100]);
  service.subscribe('d1');
  assert.deepEqual(service.sent, [10]);
  service.chunk(25, [block(25)]);
  assert.deepEqual(service.sent, [25]);
});

test('a later subscriber begins behind its own position, from the store', () => {
  const service = new Service();
  service.chunk(20, [block(10), block(20)]);
  service.appended(200);
  service.subscribe('d1');
  service.subscribe('d2', 10);
  const after = { ts: 10, part: Number.MAX_SAFE_INTEGER };
  assert.deepEqual(service.requests, [
    { kind: 'Read', span: 'd.t', after, untilTs: 20, byteCountMax: 10_000 },
  ]);
  assert.deepEqual(service.grant('d1', 100, 20), []);
  assert.deepEqual(service.tell({ kind: 'Unsubscribe', span: 'd.t' }, 'd1'), []);
  service.read([block(20)]);
  assert.deepEqual(service.sent, [20]);
});

test('a span that was behind is drained for a subscriber who has applied all of it', () => {
  const service = new Service(800);
  service.chunk(30, [block(10), block(20), block(30)]);
  service.appended(300);
  service.subscribe('d1');
  service.subscribe('d2', 30);
  service.read([]);
  service.tick();
  assert.deepEqual(service.resolved, [30]);
});

test('what is incomplete holds nobody up who is behind', () => {
  const service = new Service(800);
  service.subscribe('d1');
  service.chunk(20, [block(10), block(20), block(30, 'u'), block(30, 'cu')]);
  service.read([]);
  service.appended(400);
  service.read([block(10), block(20)]);
  assert.deepEqual([service.sent, service.resolved], [[10, 20], [20]]);
});

const [low, high] = ['d.t#0-32767', 'd.t#32768-65535'] as const;

/** Who was sent blocks by the last step, and whether their bytes are their own. */
function receivers(service: Service): [string, Uint8Array][] {
  return service.effects.flatMap((effect): [string, Uint8Array][] =>
    effect.kind === 'Send' && effect.message.kind === 'Events'
      ? [[effect.to.path, (effect.message as Events).moved[0]!]]
      : [],
  );
}

test('each part of a table gets all its blocks, in bytes of its own, within its own credit', () => {
  const service = new Service();
  service.subscribe('d1', 0, 10_000, low);
  service.subscribe('d2', 0, 100, high);
  service.chunk(10, [block(10)]);
  const sent = receivers(service);
  assert.deepEqual(
    sent.map(([to]) => to),
    ['d1', 'd2'],
  );
  assert.notEqual(sent[0]![1], sent[1]![1]);
  service.chunk(20, [block(20)]);
  assert.deepEqual(
    receivers(service).map(([to]) => to),
    ['d1'],
  );
  service.grant('d2', 100, 10, high);
  assert.deepEqual(
    receivers(service).map(([to]) => to),
    ['d2'],
  );
  service.tick();
  assert.deepEqual(service.resolved, [20, 20]);
});

test('a part that begins where a table had been served reads the table from the store', () => {
  const service = new Service();
  service.subscribe('d1');
  service.chunk(30, [block(10), block(20), block(30)]);
  service.appended(300);
  service.tell({ kind: 'Unsubscribe', span: 'd.t' }, 'd1');
  service.subscribe('d2', 20, 10_000, low);
  const after = { ts: 20, part: Number.MAX_SAFE_INTEGER };
  assert.deepEqual(service.requests, [
    { kind: 'Read', span: 'd.t', after, untilTs: 30, byteCountMax: 10_000 },
  ]);
  service.read([block(30)], false, low);
  assert.deepEqual(service.sent, [30]);
  service.chunk(40, [block(40)]);
  assert.deepEqual(service.sent, [40]);
});

test('of a split table nothing above the checkpoint is collected, whatever its parts here have applied', () => {
  const service = new Service();
  service.subscribe('d1', 0, 10_000, low);
  service.chunk(30, [block(10), block(20), block(30)]);
  service.grant('d1', 300, 30, low);
  const collected = (): number[] => {
    for (let i = 0; i < 25; i++) {
      service.tick();
      const found = service.requests.flatMap((one) => (one.kind === 'Collect' ? [one.ts] : []));
      if (found.length > 0) return found;
    }
    return [];
  };
  assert.deepEqual(collected(), []);
  service.tell({ kind: 'Retain', ts: 20 }, 'manager');
  assert.deepEqual(collected(), [20]);
});

test('a part that ends leaves nothing behind, and its table is announced for whoever serves it whole', () => {
  const service = new Service();
  assert.deepEqual(service.subscribe('d1', 0, 10_000, low), ['manager SpansSeen']);
  service.chunk(0, [block(30, 'u')]);
  service.tell({ kind: 'Unsubscribe', span: low }, 'd1');
  assert.deepEqual([...service.state.streams.keys()], ['d.t']);
  assert.equal(service.state.parts.size, 0);
  assert.equal(service.state.windowBytes, 100);
  service.subscribe('d2');
  service.chunk(30, []);
  assert.deepEqual(service.sent, [30]);
});

test('a subscriber that died without a word gives its budget back: others go on, and its part leaves nothing', () => {
  for (const span of ['d.t', low]) {
    const service = new Service(1600);
    service.subscribe('d1', 0, 10_000, span);
    service.subscribe('d2', 0, 10_000, 'd.u');
    service.chunk(20, [block(10), block(20)]);
    assert.equal(service.state.deliveredBytes, 200);
    service.chunk(30, [block(30, '', 'd.u')]);
    assert.deepEqual(service.sent, []);
    const gone = { kind: 'Terminated', exit: { kind: 'killed' } } as const;
    [service.state, service.effects] = eventService.signal!(
      service.state,
      { ...gone, ref: refOf('d1') },
      envOf(),
    );
    assert.deepEqual(service.sent, [30]);
    assert.equal(service.state.streams.has(low), false);
    [service.state, service.effects] = eventService.signal!(
      service.state,
      { ...gone, ref: refOf('manager') },
      envOf(),
    );
    assert.deepEqual(told(service.effects), ['stop self']);
  }
});
