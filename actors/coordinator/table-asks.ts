/**
 * What people ask about tables is for a maintainer to do and to answer: the coordinator asks it, again until it has
 * answered, and answers whoever asked. A maintainer that is replaced meanwhile is followed by one that is asked too.
 */
import { failed, failure, ok, type Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { TableAnswered } from '#src/protocol/maintainer-manager.ts';
import type { TableReply, TableRequest } from '#src/protocol/maintainer.ts';
import type { CoordinatorReply } from '#src/protocol/coordinator.ts';
import {
  answer,
  shouldRun,
  toManager,
  type Asker,
  type CoordinatorState,
  type Feed,
} from './coordinator-state.ts';

type S = CoordinatorState;

/** One that waits for its maintainer. */
export interface TableAsk {
  readonly askId: number;
  readonly feed: string;
  readonly request: TableRequest;
  readonly asker: Asker;
  readonly bornAtMs: number;
  sentAtMs: number;
}

/** Asks under way at most. */
const askCountMax = 1_000;
const sendAgainMs = 500;
/** Whoever asked is told after so long that it goes on without him. */
const patienceMs = 60_000;

/** Takes one on, and sends it at once. */
export function askTable(
  state: S,
  feed: Feed,
  request: TableRequest,
  asker: Asker,
  env: Env,
): readonly Effect[] {
  if (state.tableAsks.size >= askCountMax)
    return no(asker, `more than ${askCountMax} questions about tables are waiting`);
  const askId = ++state.tableAskCount;
  const nowMs = env.now();
  const ask = { askId, feed: feed.id, request, asker, bornAtMs: nowMs, sentAtMs: nowMs };
  state.tableAsks.set(askId, ask);
  return send(state, ask);
}

function send(state: S, { askId, feed: id, request }: TableAsk): readonly Effect[] {
  const node = state.feeds.get(id)?.placed?.node ?? null;
  if (node === null) return [];
  return [toManager(state, node, { kind: 'AskTable', id, askId, request })];
}

/** A maintainer has answered; a second answer is nobody's concern. */
export function tableAnswered(state: S, { askId, outcome }: TableAnswered): readonly Effect[] {
  const ask = state.tableAsks.get(askId);
  if (ask === undefined) return [];
  state.tableAsks.delete(askId);
  return answer(ask.asker, replyOf(outcome));
}

function replyOf(outcome: Outcome<TableReply>): Outcome<CoordinatorReply> {
  return outcome.ok ? ok(outcome.value) : failed(outcome.failure);
}

/** Sends again what has not been answered, and gives up what cannot be. */
export function tableAsksOn(state: S, env: Env): readonly Effect[] {
  const effects: Effect[] = [];
  const nowMs = env.now();
  for (const ask of state.tableAsks.values()) {
    const feed = state.feeds.get(ask.feed);
    const isOver = feed === undefined || !shouldRun(feed);
    if (isOver || nowMs - ask.bornAtMs >= patienceMs) {
      state.tableAsks.delete(ask.askId);
      const why = isOver
        ? `changefeed ${ask.feed} does not run any more`
        : `the maintainer of ${ask.feed} has not finished this within ${patienceMs / 1_000} s; it goes on`;
      effects.push(...no(ask.asker, why));
    } else if (nowMs - ask.sentAtMs >= sendAgainMs) {
      ask.sentAtMs = nowMs;
      effects.push(...send(state, ask));
    }
  }
  return effects;
}

function no(asker: Asker, message: string): readonly Effect[] {
  return answer(asker, failed(failure('CHANGEFEED_STATE', message)));
}
