import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dispatcher } from '#actors/dispatcher/dispatcher.ts';

import type { DispatcherInbox, DispatcherState } from '#actors/dispatcher/dispatcher.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Ref } from '#src/kernel/ref.ts';
import type { SinkRequest } from '#src/ports/sink.ts';

type ApplyRequest = Extract<SinkRequest, { kind: 'Apply' }>;

const self: Ref = { path: 'dispatcher', thread: 'work-1', incarnation: 1 };
const env = { self, from: self, now: () => 0, random: () => 0 };
const span = 'app.t';

/** A dispatcher that has raised its span and waits for events. */
class Driven {
  #state: DispatcherState;
  #apply: ApplyRequest | null = null;

  constructor() {
    const props = { changefeed: 'feed', span, token: 1, startTs: 0 };
    const sizes = { batchBytes: 1_000, creditBytes: 10_000 };
    [this.#state] = dispatcher.init({ ...props, ...sizes, manager: self, eventService: self }, env);
    const lanes = [{ slot: 1, lane: 0, seq: 0, ts: 0, base: 0, lanes: 1, redoTs: 0 }];
    this.tell({
      kind: 'RaiseAnswered',
      outcome: { ok: true, value: { kind: 'SpanRaised', lanes } },
    });
  }

  tell(message: DispatcherInbox): void {
    const [state, effects] = dispatcher.receive(this.#state, message, env);
    this.#state = state;
    for (const effect of effects) this.#note(effect);
  }

  /** Stages and last positions of what the sink is asked, one after the other, each answered as done. */
  applied(): string[] {
    const stages: string[] = [];
    for (let request = this.#apply; request !== null; request = this.#apply) {
      this.#apply = null;
      stages.push(`${request.stage} ${request.blocks.length} until ${request.untilTs}`);
      const counts = { rowCount: 0, writtenRowCount: 0, transactionCount: 0 };
      const ts = request.stage === 'whole' || request.stage === 'end' ? request.untilTs : 0;
      const value = { kind: 'Applied', ts, commitMs: 0, byteCount: 0, ...counts } as const;
      this.tell({ kind: 'ApplyAnswered', outcome: { ok: true, value } });
    }
    return stages;
  }

  #note(effect: Effect): void {
    if (effect.kind !== 'CallPort') return;
    const request = effect.request as SinkRequest;
    if (request.kind === 'Apply') this.#apply = request;
  }
}

function events(parts: readonly { ts: number; flags?: string }[]): DispatcherInbox {
  const infos = parts.map(({ ts, flags = '' }) => ({
    span,
    firstTs: ts,
    lastTs: ts,
    continues: flags.includes('c'),
    unfinished: flags.includes('u'),
    transactionCount: 1,
    eventCount: 1,
    byteCount: 10,
  }));
  const moved = parts.map(() => new Uint8Array(10));
  return { kind: 'Events', seq: 1, infos, moved, schemaVersion: 1 };
}

test('large transactions behind one another are committed each on its own', () => {
  const driven = new Driven();
  driven.tell(
    events([
      { ts: 1 },
      { ts: 2, flags: 'u' },
      { ts: 2, flags: 'cu' },
      { ts: 2, flags: 'c' },
      { ts: 3, flags: 'u' },
      { ts: 3, flags: 'c' },
      { ts: 4 },
      { ts: 5 },
    ]),
  );
  assert.deepEqual(driven.applied(), [
    'begin 2 until 2',
    'more 1 until 2',
    'end 1 until 2',
    'begin 1 until 3',
    'end 1 until 3',
    'whole 2 until 5',
  ]);
});

test('a large transaction that ends with its last block is committed before the next block', () => {
  const driven = new Driven();
  driven.tell(
    events([
      { ts: 1, flags: 'u' },
      { ts: 2, flags: 'u' },
      { ts: 2, flags: 'c' },
    ]),
  );
  assert.deepEqual(driven.applied(), [
    'begin 1 until 1',
    'end 0 until 1',
    'begin 1 until 2',
    'end 1 until 2',
  ]);
});
