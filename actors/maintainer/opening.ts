/** A maintainer's way from its start to running: the feed's slot, every node's word, the upstream, the groups of tables. */
import { assert, unreachable } from '#src/base/assert.ts';
import { failure as failureOf, type Failure, type Outcome } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Position } from '#src/model/position.ts';
import type { SinkAnswer } from '#src/ports/sink.ts';
import type { SourceFacts } from '#src/protocol/maintainer.ts';
import type { ManagerMessage } from '#src/protocol/manager.ts';
import { collect, logPassedOver, patienceMs, silentNodes } from '../placement/bootstrapper.ts';
import { barrierOver, ddlDone, readGroups } from './barrier.ts';
import {
  callSink,
  feedSlot,
  toManager,
  type MaintainerState,
  type SinkCall,
} from './maintainer-state.ts';
import { bootstrapOn, takeServed } from './nodes.ts';
import { place } from './placing.ts';
import { becomeClosing, becomeFinishing, finish, retired, save, saved } from './saving.ts';

type S = MaintainerState;

const startAgainMs = 1_000;

type FeedRaised = Extract<SinkAnswer, { kind: 'FeedRaised' }>;

/** The sink has answered one of the maintainer's own calls. */
export function sinkAnswered(
  state: S,
  tag: SinkCall,
  outcome: Outcome<SinkAnswer>,
  env: Env,
): readonly Effect[] {
  if (!outcome.ok) return sinkFailed(state, tag, outcome.failure, env);
  const answer = outcome.value;
  switch (tag) {
    case 'open':
      if (state.phase.at !== 'opening') return [];
      assert(answer.kind === 'Opened', 'answer to Open');
      state.sinkServer = answer.serverId;
      state.phase = { at: 'raising' };
      return [callSink(state, { kind: 'RaiseFeed', ...feedSlot(state) }, 'raise')];
    case 'raise':
      assert(answer.kind === 'FeedRaised', 'answer to RaiseFeed');
      return state.phase.at === 'raising' ? becomeGathering(state, answer, env) : [];
    case 'groups':
      assert(answer.kind === 'GroupsRead', 'answer to ReadGroups');
      state.routing = { ...state.routing, groups: answer.groups };
      return state.phase.at === 'grouping' ? becomeRunning(state, env) : barrierOver(state, env);
    case 'save':
      return saved(state, env);
    case 'ddl':
      return ddlDone(state);
    case 'retire':
      return retired(state, null);
    default:
      return unreachable(tag);
  }
}

function sinkFailed(state: S, tag: SinkCall, failure: Failure, env: Env): readonly Effect[] {
  if (tag === 'save') state.saving = null;
  const { phase } = state;
  // The end does not wait for a checkpoint that cannot be saved: the slots downstream have the truth. Only who says
  // `finished` must have saved it; another maintainer will.
  if (phase.at === 'finishing') {
    return tag === 'save' ? finish(state, failure) : [];
  }
  if (tag === 'retire') return retired(state, failure);
  // What may heal leaves everything running: the next maintainer adopts it.
  return failure.retry === 'Never'
    ? becomeClosing(state, 'failed', failure)
    : becomeFinishing(state, 'failed', failure, env);
}

function becomeGathering(state: S, raised: FeedRaised, env: Env): readonly Effect[] {
  const { checkpoint: stored, parts } = raised;
  state.phase = { at: 'gathering', sinceMs: env.now() };
  // The slots say how tables are divided; whoever serves them otherwise will be stopped.
  for (const part of parts) state.table.see(part, stored?.position.ts ?? 0);
  state.checkpoint = stored?.position ?? null;
  state.storedTimeline = stored?.timeline ?? [];
  state.savedTs = stored?.position.ts ?? -1;
  state.isRaised = true;
  return bootstrapOn(state, env);
}

/**
 * Every node has answered: what runs is taken on; the upstream is checked when no stream runs anywhere.
 *
 * A node that keeps its session but does not answer within `patienceMs` is passed over (P7), as if it was lost: what it may
 * serve is placed elsewhere. Until its slots are raised its dispatchers write in order, from then on nothing (FENCE §1); the
 * checkpoint waits for their spans as for all that are absent, because the stream of this node names every span before it
 * resolves what it has for it; and its stream never passes a DDL, for only we could tell it to. When it answers, what is
 * served elsewhere under a higher token ends there (`takeServed`).
 */
export function gathered(state: S, env: Env): readonly Effect[] {
  const { phase, props } = state;
  if (phase.at !== 'gathering') return [];
  const silent = silentNodes(state.bootstrap);
  const isOver = env.now() - phase.sinceMs >= patienceMs && !silent.includes(props.self);
  const [bootstrap, answers] = collect(state.bootstrap, isOver);
  state.bootstrap = bootstrap;
  if (answers === null) return [];
  const warnings = logPassedOver(silent, props.config.id);
  const facts = [...answers.values()].find(({ source }) => source !== null)?.source ?? null;
  if (facts !== null)
    return [...warnings, ...factsKnown(state, facts, state.checkpoint ?? facts.start)];
  state.phase = { at: 'checking' };
  return [...warnings, ...checkOn(state, env)];
}

/** Asks its own node to check the upstream, again until it is answered. */
export function checkOn(state: S, env: Env): readonly Effect[] {
  if (state.phase.at !== 'checking' || env.now() - state.askedAtMs < 1_000) return [];
  state.askedAtMs = env.now();
  const { checkpoint, storedTimeline: timeline, props } = state;
  const startAt =
    checkpoint === null
      ? props.config.startAt
      : ({ kind: 'position', position: checkpoint, timeline } as const);
  return toManager(state.nodes.get(props.self), { kind: 'CheckSource', startAt });
}

/** Its own node has checked the upstream. */
export function sourceChecked(state: S, facts: SourceFacts): readonly Effect[] {
  return state.phase.at === 'checking' ? factsKnown(state, facts, facts.start) : [];
}

/** Whoever copies a server to itself reads its own writes for ever: here every way to start one comes by. */
function factsKnown(state: S, facts: SourceFacts, start: Position): readonly Effect[] {
  if (facts.serverId === state.sinkServer) {
    const why = failureOf('SINK_IS_UPSTREAM', 'upstream and sink are the same server');
    return becomeClosing(state, 'failed', why);
  }
  state.facts = facts;
  state.checkpoint = start;
  state.phase = { at: 'grouping' };
  return [readGroups(state)];
}

/** The start position is stored (a restart begins there), what runs is taken on, then history flows. */
function becomeRunning(state: S, env: Env): readonly Effect[] {
  const { checkpoint } = state;
  assert(checkpoint !== null, 'a start position');
  state.phase = { at: 'running' };
  state.hasTakenOn = true;
  state.progressAtMs = env.now();
  state.history.push(checkpoint, 0);
  state.table.commit(checkpoint.ts);
  const effects: Effect[] = [];
  for (const { node, answer } of answersOf(state))
    effects.push(...takeServed(state, node, answer, checkpoint.ts));
  effects.push(...save(state, checkpoint, env), ...startSources(state, env), ...place(state, env));
  return effects;
}

function answersOf(state: S): readonly {
  readonly node: NonNullable<ReturnType<S['nodes']['get']>>;
  readonly answer: Parameters<typeof takeServed>[2];
}[] {
  return [...state.bootstrap.nodes].flatMap(([name, { answer }]) => {
    const node = state.nodes.get(name);
    return answer === null || node === undefined || !node.isAdopted ? [] : [{ node, answer }];
  });
}

/**
 * Streams that do not run yet begin at the checkpoint: nothing that any span may still need lies before it. One that says
 * nothing of its stream is told again.
 */
export function startSources(state: S, env: Env): readonly Effect[] {
  const { checkpoint, facts, routing } = state;
  if (checkpoint === null || facts === null) return [];
  const until = state.props.config.untilGtid ?? null;
  const message: ManagerMessage = {
    kind: 'StartSource',
    position: checkpoint,
    facts,
    routing,
    until,
  };
  return [...state.nodes.values()].flatMap((node) => {
    const isSilent = node.resolved === null && env.now() - node.startedAtMs >= startAgainMs;
    if (!node.isAdopted || (node.isStreaming && !isSilent)) return [];
    node.isStreaming = true;
    node.startedAtMs = env.now();
    return toManager(node, message);
  });
}
