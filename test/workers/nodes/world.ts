/** A world of two cells for tests of several nodes in one process: `front` on main asks, `back` on a thread answers. */
import { ok } from '#src/base/failure.ts';
import { role, type Behaviour } from '#src/kernel/behaviour.ts';
import type { Message } from '#src/kernel/message.ts';
import type { TeamPlan } from '#src/kernel/plan.ts';
import type { Ref } from '#src/kernel/ref.ts';
import { portOf } from '#src/ports/port.ts';
import type { AnyPort } from '#workers/thread-host.ts';
import type { World } from '#workers/world.ts';

/** Where `back` lives, on whatever node. */
export const back: Ref = { path: 'house/back', thread: 'ingest', incarnation: 0 };

/** Messages to `front`: what the test wants done, and what comes back. */
export type FrontInbox =
  | { readonly kind: 'Call'; readonly port: string; readonly request: { readonly kind: string } }
  | { readonly kind: 'Ask'; readonly feed: string; readonly node?: string }
  | { readonly kind: 'Told'; readonly where: string; readonly by: string }
  | { readonly kind: 'PortAnswered'; readonly outcome: unknown };

const front: Behaviour<null, FrontInbox, null> = {
  init: () => [null, []],
  receive: (state, message) => {
    switch (message.kind) {
      case 'Call': {
        const { port, request } = message;
        return [state, [{ kind: 'CallPort', port, request, answer: 'PortAnswered' }]];
      }
      case 'Ask': {
        const { feed, node } = message;
        const to = node === undefined ? back : { ...back, node };
        const ask = { kind: 'WhereIs', feed } as Message;
        return [state, [{ kind: 'Send', to, message: ask }]];
      }
      case 'Told':
        return [
          state,
          [{ kind: 'CallPort', port: 'note', request: message, answer: 'PortAnswered' }],
        ];
      case 'PortAnswered':
        return [state, []];
    }
  },
  overview: () => ({}),
};

type BackInbox =
  | { readonly kind: 'WhereIs'; readonly feed: string }
  | {
      readonly kind: 'SinkAnswered';
      readonly tag: string;
      readonly outcome:
        | { readonly ok: true; readonly value: string }
        | { readonly ok: false; readonly failure: { readonly code: string } };
    };

/** Asks one at a time in the tests: who asked last is answered. */
const answering: Behaviour<Ref | null, BackInbox, null> = {
  init: () => [null, []],
  receive: (state, message, env) => {
    if (message.kind === 'WhereIs') {
      const port = portOf('sink', message.feed);
      return [env.from, [{ kind: 'CallPort', port, request: message, answer: 'SinkAnswered' }]];
    }
    const { outcome } = message;
    const where = outcome.ok ? outcome.value : outcome.failure.code;
    const told = { kind: 'Told', where, by: env.self.path } as Message;
    return [state, state === null ? [] : [{ kind: 'Send', to: state, message: told }]];
  },
  overview: () => ({}),
};

/** The plan. */
export const plan: TeamPlan = {
  kind: 'team',
  id: 'house',
  strategy: 'one_for_one',
  intensity: 3,
  periodMs: 60_000,
  why: 'test',
  children: (['front', 'back'] as const).map((id) => ({
    kind: 'cell',
    id,
    role: id,
    thread: id === 'front' ? 'main' : 'ingest',
    restart: 'permanent',
    stopWithinMs: 1_000,
    mailbox: 64,
    why: 'test',
  })),
};

/** A port that knows where its changefeed writes, and how often such ports were opened on its thread. */
let openedCount = 0;

/** The world. */
export const world: World = {
  roles: {
    front: role(front, { Call: 'open', Ask: 'open', Told: 'open' }),
    back: role(answering, { WhereIs: 'open' }),
  },
  openPorts: () => ({}),
  openFeedPort: ({ name, feed }): AnyPort => {
    const count = ++openedCount;
    const where = `${name} ${feed.id} ${feed.endpoints?.sinkUri ?? 'as started'} #${count}`;
    return { call: () => Promise.resolve(ok(where)), close: () => Promise.resolve() };
  },
};

/** Address of this module. */
export const worldUrl = import.meta.url;
