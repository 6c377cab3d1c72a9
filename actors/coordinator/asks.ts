/** What people ask of the coordinator, and what it answers: every "no" is a typed failure. */
import { unreachable } from '#src/base/assert.ts';
import { failed, failure as failureOf, ok, type Failure } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { addressOf, type Ref } from '#src/kernel/ref.ts';
import { changefeedIdProblem } from '#src/model/changefeed-id.ts';
import { changefeedInfoKey, changefeedStatusKey } from '#src/model/coordination-key.ts';
import { partCountMax } from '#src/model/span.ts';
import type { StartAt } from '#src/model/start-at.ts';
import { absentKey } from '#src/ports/coordination.ts';
import { resign } from '#src/ports/ownership.ts';
import { newRecord } from '#src/protocol/changefeed-record.ts';
import type { ChangefeedConfig } from '#src/protocol/changefeed.ts';
import type {
  Ask,
  CaptureView,
  ChangefeedView,
  CoordinatorReply,
  CoordinatorRequest,
} from '#src/protocol/coordinator.ts';
import type { TableRequest } from '#src/protocol/maintainer.ts';
import { patienceMs, silentNodes } from '../placement/bootstrapper.ts';
import {
  answer,
  callStore,
  highestEpoch,
  newFeed,
  shouldRun,
  shownStatus,
  type Asker,
  type CoordinatorState,
  type Feed,
  type WaitingAsk,
} from './coordinator-state.ts';
import { askDrain } from './drains.ts';
import { newHealth } from './feed-health.ts';
import { write } from './feed-writes.ts';
import { askTable } from './table-asks.ts';

type S = CoordinatorState;

/** Numbers of asks remembered, so that a repeated one is not done twice. */
const askedCountMax = 10_000;

/** An ask waits so long for a coordinator that begins: a usual beginning takes less than a second. */
const waitMs = 3_000;

/** Takes an ask on. */
export function takeAsk(state: S, ask: Ask, env: Env): readonly Effect[] {
  const { from } = env;
  const key = askKey(ask, from);
  if (state.asked.has(key)) return [];
  if (state.phase !== 'running') {
    const isKnown = state.waiting.some((other) => askKey(other.message, other.from) === key);
    if (!isKnown && state.waiting.length < askedCountMax)
      state.waiting.push({ message: ask, from, cameAtMs: env.now() });
    return [];
  }
  remember(state, key);
  return perform(state, ask.request, { to: from, requestId: ask.requestId }, env);
}

function remember({ asked }: S, key: string): void {
  asked.add(key);
  if (asked.size <= askedCountMax) return;
  for (const oldest of asked) {
    asked.delete(oldest);
    return;
  }
}

/**
 * Whoever has waited long enough for a coordinator that waits for nodes is told for which, and asks again. What else a beginning
 * waits for, its store or its own node, is over soon: the elector's patience bounds it.
 */
export function refuseWaiting(state: S, env: Env): readonly Effect[] {
  const nowMs = env.now();
  const silent = silentNodes(state.bootstrap);
  if (state.phase !== 'gathering' || silent.includes(state.props.self)) return [];
  const isOver = ({ cameAtMs }: WaitingAsk): boolean => nowMs - cameAtMs >= waitMs;
  const over = state.waiting.filter(isOver);
  if (over.length === 0) return [];
  state.waiting = state.waiting.filter((ask) => !isOver(ask));
  const leftMs = Math.max(0, state.gatheringAtMs + patienceMs - nowMs);
  const what = `waits for a word of ${silent.join(', ')}`;
  const words = `the new coordinator still ${what}; it goes on without it in ${Math.ceil(leftMs / 1_000)} s`;
  const why = failureOf('COORDINATOR_ABSENT', words, { retry: 'Again' });
  return over.flatMap(({ message, from }) => {
    remember(state, askKey(message, from));
    return answer({ to: from, requestId: message.requestId }, failed(why));
  });
}

/** Numbers are the asker's own. */
function askKey({ requestId }: Ask, from: Ref): string {
  return `${addressOf(from)} ${from.incarnation} ${requestId}`;
}

function perform(state: S, request: CoordinatorRequest, asker: Asker, env: Env): readonly Effect[] {
  switch (request.kind) {
    case 'CreateChangefeed':
      if (state.feeds.has(request.config.id))
        return exists(state.feeds.get(request.config.id)!, request, asker);
      return create(state, request, asker, env);
    case 'StartChangefeed':
      return start(state, request, asker, env);
    case 'ListChangefeeds': {
      const views = [...state.feeds.values()].map(viewOf);
      return yes(asker, { kind: 'Changefeeds', views });
    }
    case 'ListCaptures':
      return yes(asker, { kind: 'Captures', views: captures(state) });
    case 'DrainCapture':
      if (request.node !== null && !state.nodes.includes(request.node))
        return unknownNode(asker, request.node);
      if (request.node !== null && state.nodes.length === 1)
        return no(
          asker,
          'CLUSTER_NEEDED',
          'draining a node takes another one, and this is the last',
        );
      return askDrain(state, request.node, asker);
    case 'ResignCoordinator':
      if (request.node !== state.props.self) return yes(asker, { kind: 'Done' });
      return [
        ...yes(asker, { kind: 'Done' }),
        callStore(resign(state.props.ownership), 'resign'),
        { kind: 'Stop', target: 'self', exit: { kind: 'normal' } },
      ];
    case 'UpdateChangefeed':
      return withFeed(state, request.config.id, asker, (feed) =>
        update(state, feed, request, asker),
      );
    case 'PauseChangefeed':
    case 'ResumeChangefeed':
    case 'RemoveChangefeed':
    case 'QueryChangefeed':
    case 'MoveChangefeed':
    case 'MoveTable':
    case 'SplitTable':
    case 'MergeTable':
    case 'ListTables':
      return withFeed(state, request.id, asker, (feed) =>
        performOn(state, feed, request, asker, env),
      );
    default:
      return unreachable(request);
  }
}

type FeedRequest = Extract<CoordinatorRequest, { readonly id: string }>;

function performOn(
  state: S,
  feed: Feed,
  request: FeedRequest,
  asker: Asker,
  env: Env,
): readonly Effect[] {
  switch (request.kind) {
    case 'QueryChangefeed':
      return yes(asker, { kind: 'Changefeed', view: viewOf(feed) });
    case 'PauseChangefeed': {
      const { state: now } = feed.record;
      if (now === 'stopped') return yes(asker, { kind: 'Done' });
      if (!shouldRun(feed)) return notNow(asker, feed, 'normal or warning', 'paused');
      return write(state, feed, { state: 'stopped' }, { do: 'stop' }, asker);
    }
    case 'ResumeChangefeed':
      if (shouldRun(feed)) return yes(asker, { kind: 'Done' });
      if (feed.record.state === 'removed')
        return notNow(asker, feed, 'stopped or failed or finished', 'resumed');
      return run(state, feed, {}, asker, env);
    case 'RemoveChangefeed':
      // Closed once more, whatever was closed before: its slots may not have been raised then (I-12).
      return write(state, feed, { state: 'removed', isOpen: true }, { do: 'stop' }, asker);
    case 'MoveChangefeed':
      return moveFeed(state, feed, request.node, asker);
    case 'MoveTable':
      if (!state.nodes.includes(request.node)) return unknownNode(asker, request.node);
      return table(
        state,
        feed,
        { kind: 'move', span: request.span, node: request.node },
        asker,
        env,
      );
    case 'SplitTable': {
      const { span, partCount } = request;
      if (!Number.isInteger(partCount) || partCount < 2 || partCount > partCountMax)
        return no(asker, 'CONFIG_INVALID', `a table is split into 2 to ${partCountMax} parts`);
      return table(state, feed, { kind: 'split', span, partCount }, asker, env);
    }
    case 'MergeTable':
      return table(state, feed, { kind: 'merge', span: request.span }, asker, env);
    case 'ListTables':
      return table(state, feed, { kind: 'list' }, asker, env);
    default:
      return unreachable(request);
  }
}

function table(
  state: S,
  feed: Feed,
  request: TableRequest,
  asker: Asker,
  env: Env,
): readonly Effect[] {
  if (feed.placed === null || !shouldRun(feed))
    return notNow(asker, feed, 'normal', 'asked about its tables');
  return askTable(state, feed, request, asker, env);
}

type CreateRequest = Extract<CoordinatorRequest, { kind: 'CreateChangefeed' }>;

function create(
  state: S,
  { config, createdMs, warnings = [] }: Omit<CreateRequest, 'kind'>,
  asker: Asker,
  env: Env,
): readonly Effect[] {
  const { id } = config;
  const problem = changefeedIdProblem(id);
  if (problem !== null) return no(asker, 'CONFIG_INVALID', problem);
  const { clusterId, feedCountMax } = state.props;
  if (state.feeds.size >= feedCountMax)
    return no(
      asker,
      'CHANGEFEED_STATE',
      `there are ${feedCountMax} changefeeds, which is the most`,
    );
  const record = newRecord(config, createdMs, { epoch: highestEpoch(state), warnings });
  const entries = {
    info: absentKey(changefeedInfoKey(clusterId, id)),
    status: absentKey(changefeedStatusKey(clusterId, id)),
  };
  const feed = newFeed(id, record, entries, env.now());
  state.feeds.set(id, feed);
  return write(state, feed, { isCreated: true }, { do: 'nothing' }, asker);
}

/** A creation that another coordinator has done, whose answer was lost, is asked for again by the same words. */
function exists(
  feed: Feed,
  request: { readonly config: ChangefeedConfig; readonly createdMs: number },
  asker: Asker,
): readonly Effect[] {
  const { config, createdMs } = feed.record;
  const isSame =
    feed.entry.revision > 0 &&
    createdMs === request.createdMs &&
    JSON.stringify(config) === JSON.stringify(request.config);
  return isSame
    ? yes(asker, { kind: 'Done' })
    : no(asker, 'CHANGEFEED_EXISTS', `changefeed ${feed.id} exists`);
}

/** Creates it, or gives it this configuration and lets it run: what a process for one changefeed begins with. */
function start(
  state: S,
  request: Extract<CoordinatorRequest, { kind: 'StartChangefeed' }>,
  asker: Asker,
  env: Env,
): readonly Effect[] {
  const { config, createdMs } = request;
  const feed = state.feeds.get(config.id);
  if (feed === undefined) return create(state, { config, createdMs }, asker, env);
  if (feed.record.state === 'removed')
    return notNow(asker, feed, 'what is not being removed', 'started');
  const isSame = JSON.stringify(feed.record.config) === JSON.stringify(config);
  if (isSame && shouldRun(feed)) return yes(asker, { kind: 'Done' });
  const isPlaced = feed.placed !== null || !state.operators.isFree(feed.id);
  // What runs under the old configuration ends first; it is placed again as it should run.
  if (shouldRun(feed) && isPlaced) return write(state, feed, { config }, { do: 'stop' }, asker);
  return run(state, feed, { config }, asker, env);
}

/** State, failure and epoch in one write (F9). */
function run(
  state: S,
  feed: Feed,
  change: { readonly config?: ChangefeedConfig },
  asker: Asker,
  env: Env,
): readonly Effect[] {
  feed.health = newHealth(env.now());
  feed.retryAtMs = -Infinity;
  const running = { state: 'normal', failure: null, hasNewEpoch: true } as const;
  return write(state, feed, { ...change, ...running }, { do: 'nothing' }, asker);
}

function update(
  state: S,
  feed: Feed,
  request: Extract<CoordinatorRequest, { kind: 'UpdateChangefeed' }>,
  asker: Asker,
): readonly Effect[] {
  if (!['stopped', 'failed'].includes(feed.record.state))
    return notNow(asker, feed, 'stopped or failed', 'updated');
  if (hasChanged(state, feed, request))
    return no(
      asker,
      'CHANGEFEED_CHANGED',
      `changefeed ${feed.id} was updated by somebody else meanwhile: look at it, and say again what is to change`,
    );
  const config = { ...request.config, startAt: startAfter(feed, request.config) };
  const { warnings = [] } = request;
  return write(state, feed, { config, warnings }, { do: 'nothing' }, asker);
}

/**
 * An update was made from, and its ends were checked against, a configuration that counts no more, or will not in a moment. One
 * that is stored already is asked for again by the same words when its answer was lost.
 */
function hasChanged(
  state: S,
  { id, record }: Feed,
  { before, config }: Extract<CoordinatorRequest, { kind: 'UpdateChangefeed' }>,
): boolean {
  const now = JSON.stringify(record.config);
  const isUnderWay = (state.writes.get(id) ?? []).some(({ change }) => change.config !== undefined);
  if (!isUnderWay && now === JSON.stringify(before)) return false;
  return isUnderWay || now !== JSON.stringify({ ...config, startAt: record.config.startAt });
}

/**
 * Where it began is history: the downstream's position counts. One that has none, because it is another server, goes on where
 * the copy stands; without a timeline, because its segments stand downstream: the place is found by GTID.
 */
function startAfter({ record, status }: Feed, { endpoints }: ChangefeedConfig): StartAt {
  const { config: before } = record;
  const { checkpoint: position } = status;
  const isSameSink = endpoints?.sinkUri === before.endpoints?.sinkUri;
  if (isSameSink || position === null) return before.startAt;
  return { kind: 'position', position, timeline: [] };
}

function moveFeed(state: S, feed: Feed, node: string, asker: Asker): readonly Effect[] {
  if (!state.nodes.includes(node)) return unknownNode(asker, node);
  const { placed: from } = feed;
  if (from === null || !shouldRun(feed) || !state.operators.isFree(feed.id))
    return notNow(asker, feed, 'normal, and at rest', 'moved');
  if (from.node === node) return yes(asker, { kind: 'Done' });
  state.operators.reserve(feed.id);
  const move = { do: 'move', node, from } as const;
  return write(state, feed, { hasNewEpoch: true }, move, asker);
}

function withFeed(
  state: S,
  id: string,
  asker: Asker,
  run: (feed: Feed) => readonly Effect[],
): readonly Effect[] {
  const feed = state.feeds.get(id);
  return feed === undefined
    ? no(asker, 'CHANGEFEED_UNKNOWN', `there is no changefeed ${id}`)
    : run(feed);
}

function viewOf(feed: Feed): ChangefeedView {
  const { config, epoch, createdMs } = feed.record;
  const maintainer = feed.placed?.node ?? null;
  return { status: shownStatus(feed), config, epoch, maintainer, createdMs };
}

function captures(state: S): readonly CaptureView[] {
  const feeds = [...state.feeds.values()];
  return state.members.map(({ captureId: id, apiAddress, state: standing }) => ({
    id,
    apiAddress,
    state: standing,
    isCoordinator: id === state.props.self,
    isDraining: state.drain.node === id,
    maintainerCount: feeds.filter(({ placed }) => placed?.node === id).length,
    spanCount: feeds
      .flatMap(({ status }) => status.placement)
      .filter(({ node }) => node === id)
      .reduce((sum, { spanCount }) => sum + spanCount, 0),
  }));
}

function yes(asker: Asker, reply: CoordinatorReply): readonly Effect[] {
  return answer(asker, ok(reply));
}

function no(asker: Asker, code: FailureCode, message: string): readonly Effect[] {
  const why: Failure = failureOf(code, message);
  return answer(asker, failed(why));
}

function unknownNode(asker: Asker, node: string): readonly Effect[] {
  return no(asker, 'CAPTURE_UNKNOWN', `there is no capture ${node}`);
}

function notNow(asker: Asker, feed: Feed, needed: string, done: string): readonly Effect[] {
  const { state } = shownStatus(feed);
  const words = `changefeed ${feed.id} is ${state}: only ${needed} can be ${done}`;
  return no(asker, 'CHANGEFEED_STATE', words);
}
