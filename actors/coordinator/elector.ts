/**
 * The elector of a node campaigns for the coordinator key with the node's session. While it owns the key a coordinator
 * runs here, under the key's createRevision as term; it also carries what this process asks to whoever leads.
 *
 *     waiting for a session ──▶ campaigning ──owned──▶ leading ──▶ (coordinator ended, key given up) ──▶ campaigning
 *                                    └── owned by another: asked again every 500 ms
 *
 * The coordinator is stopped when the session is lost, or when the key turns out to be another's: it looks while it leads.
 * A node whose coordinators break again and again only looks whose the key is, and campaigns once a minute; one whose
 * coordinator heard hardly anybody leaves the lead to another (term-health.ts).
 */
import { unreachable } from '#src/base/assert.ts';
import { failed, failure as failureOf, type Outcome } from '#src/base/failure.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf, parentOf, type Ref } from '#src/kernel/ref.ts';
import { coordinatorKey } from '#src/model/coordination-key.ts';
import type { CoordinationAnswer, CoordinationRequest } from '#src/ports/coordination.ts';
import {
  campaign,
  ownershipAfter,
  ownershipIn,
  resign,
  type Ownership,
} from '#src/ports/ownership.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import { patienceMsOf, type Answered, type Ask } from '#src/protocol/coordinator.ts';
import type { ElectorMessage } from '#src/protocol/elector.ts';
import type { NodesChanged } from '#src/protocol/membership.ts';
import { mainRef, places } from '#src/protocol/nodes.ts';
import type { CoordinatorProps } from './coordinator-state.ts';
import {
  freshTerms,
  isResting,
  termEnded,
  termLasted,
  yieldsUnheard,
  type TermHealth,
} from './term-health.ts';

/** What an elector is started with. */
export interface ElectorProps {
  readonly clusterId: string;
  /** Capture id of this node. */
  readonly self: string;
  /** Failing changefeeds are tried again within seconds, as somebody is looking. */
  readonly isPrompt: boolean;
  /** Changefeeds that this cluster may have. */
  readonly feedCountMax: number;
}

/** What is asked of the store: a campaign, whose key it is without one, or that the key is given up. */
type CallTag = 'campaign' | 'look' | 'resign';

/** Everything an elector receives. */
export type ElectorInbox =
  | ElectorMessage
  | {
      readonly kind: 'CoordinationAnswered';
      readonly tag: CallTag;
      readonly outcome: Outcome<CoordinationAnswer>;
    }
  | { readonly kind: 'ReportAnswered' }
  | { readonly kind: 'CampaignDue' }
  | { readonly kind: 'AskDue'; readonly requestId: number };

/** The state. */
export interface ElectorState {
  readonly props: ElectorProps;
  readonly view: NodesChanged;
  /** The key as it was seen last. */
  readonly ownership: Ownership | null;
  readonly coordinator: Ref | null;
  /** What the coordinator that is being started, or runs, was given; null while there is none. */
  readonly led: Ownership | null;
  readonly asks: ReadonlyMap<number, Ask>;
  readonly terms: TermHealth;
  /** Since when the present term is known here. */
  readonly termAtMs: number;
}

type S = ElectorState;

const campaignEveryMs = 500;
/** Who has led lets others campaign first. */
const yieldMs = 2 * campaignEveryMs;
/** Who leads looks this often whether the key is still its own. */
const lookEveryMs = 5_000;
const askCountMax = 1_000;

function init(props: ElectorProps, env: Env): Step<S> {
  const view: NodesChanged = {
    kind: 'NodesChanged',
    self: props.self,
    nodes: [],
    lease: null,
    members: [],
    isComplete: false,
  };
  const state: S = {
    props,
    view,
    ownership: null,
    coordinator: null,
    led: null,
    asks: new Map(),
    terms: freshTerms,
    termAtMs: env.now(),
  };
  return [state, []];
}

function receive(state: S, message: ElectorInbox, env: Env): Step<S> {
  return withNews(state, received(state, message, env), env);
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  return withNews(state, signalled(state, signal, env), env);
}

/** Whoever leads now, and whether coordinators of this node break, the process is told. */
function withNews(before: S, [after, effects]: Step<S>, env: Env): Step<S> {
  const isSameTerm = after.ownership?.revision === before.ownership?.revision;
  const state: S = isSameTerm ? after : { ...after, termAtMs: env.now() };
  const news: Effect[] = [];
  const leader = state.ownership?.owner ?? null;
  if (leader !== (before.ownership?.owner ?? null))
    news.push(tellProcess({ kind: 'Leader', leader }));
  const { trouble: failure } = state.terms;
  if (failure !== before.terms.trouble) {
    news.push(tellProcess({ kind: 'LeaderTrouble', failure }));
    if (failure !== null) {
      const detail = { message: failure.message };
      news.push({ kind: 'Log', level: 'error', event: 'coordinator-failing', detail });
    }
  }
  return [state, [...news, ...effects]];
}

function received(state: S, message: ElectorInbox, env: Env): Step<S> {
  switch (message.kind) {
    case 'NodesChanged':
      return message.isComplete ? viewChanged(state, message, env) : [state, []];
    case 'Ask':
      return asked(state, message);
    case 'Answered':
      return answered(state, message);
    case 'AskDue':
      return answered(state, {
        kind: 'Answered',
        requestId: message.requestId,
        outcome: failed(
          failureOf('COORDINATOR_ABSENT', 'no coordinator answered', { retry: 'Again' }),
        ),
      });
    case 'CampaignDue':
      return campaigning(state, env);
    case 'CoordinationAnswered':
      return coordinationAnswered(state, message.tag, message.outcome, env);
    case 'ReportAnswered':
      return [state, []];
    default:
      return unreachable(message);
  }
}

function signalled(state: S, signal: Signal, env: Env): Step<S> {
  switch (signal.kind) {
    case 'StopAsked': {
      const { led } = state;
      const give = led === null ? [] : [call(resign(led), 'resign')];
      return [state, [...give, { kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]];
    }
    case 'ChildStarted':
      return started(state, signal.ref);
    case 'ChildRefused':
    case 'Terminated':
      return stepDown({ ...state, terms: termEnded(state.terms, signal.exit, env.now()) });
  }
}

function started(state: S, ref: Ref): Step<S> {
  const next: S = { ...state, coordinator: ref };
  const watch: Effect = { kind: 'Watch', target: ref };
  // The claim may have gone while the cell was being started.
  if (!isOurs(state)) return [next, [watch, stopCell(ref)]];
  return [next, [watch, ...toLeader(state), campaignAfter(lookEveryMs)]];
}

/** The coordinator may go on: its node holds the same session, and the key is the one it was given. */
function isOurs({ led, ownership, view }: S): boolean {
  return led !== null && led.revision === ownership?.revision && led.lease === view.lease;
}

function viewChanged(state: S, view: NodesChanged, env: Env): Step<S> {
  const next: S = { ...state, view };
  const tell: readonly Effect[] =
    state.coordinator === null ? [] : [{ kind: 'Send', to: state.coordinator, message: view }];
  if (state.led !== null && view.lease !== state.view.lease) {
    // The claim is gone with the session: nothing may be written under it any more.
    const stop: readonly Effect[] = state.coordinator === null ? [] : [stopCell(state.coordinator)];
    return [next, stop];
  }
  const isNew = view.lease !== state.view.lease;
  if (view.lease === null || !(isNew || isDeserted(state, view))) return [next, tell];
  const [campaigned, effects] = campaigning(next, env);
  return [campaigned, [...tell, ...effects]];
}

/** Whoever led is gone, and the key with its session: nobody waits for the next look. */
function isDeserted({ ownership, view: before, led }: S, { nodes }: NodesChanged): boolean {
  const owner = ownership?.owner;
  if (owner === undefined || led !== null) return false;
  return before.nodes.includes(owner) && !nodes.includes(owner);
}

function campaigning(state: S, env: Env): Step<S> {
  const { view, props, terms } = state;
  if (view.lease === null) return [state, []];
  const key = coordinatorKey(props.clusterId);
  if (state.led === null && isResting(terms, env.now()))
    return [state, [call({ kind: 'Get', key }, 'look')]];
  return [state, [call(campaign(key, view.self, view.lease), 'campaign')]];
}

function coordinationAnswered(
  state: S,
  tag: CallTag,
  outcome: Outcome<CoordinationAnswer>,
  env: Env,
): Step<S> {
  if (tag === 'resign') return [state, []];
  const answer = outcome.ok ? outcome.value : null;
  if (answer?.kind !== 'Transacted' && answer?.kind !== 'Got')
    return [state, [...askAgain(state), campaignAfter(campaignEveryMs)]];
  const ownership = answer.kind === 'Got' ? ownershipIn(answer.entry) : ownershipAfter(answer);
  return keySeen(lasting(state, ownership, env), ownership, answer, env);
}

/** The term that was known already goes on: a trouble of long ago is over. */
function lasting(state: S, ownership: Ownership | null, env: Env): S {
  const isSame = ownership !== null && ownership.revision === state.ownership?.revision;
  if (!isSame) return state;
  return { ...state, terms: termLasted(state.terms, state.termAtMs, env.now()) };
}

function keySeen(
  state: S,
  ownership: Ownership | null,
  answer: CoordinationAnswer,
  env: Env,
): Step<S> {
  if (state.led !== null) return looked(state, ownership);
  // Ours, but not by this campaign: somebody has led under it before, and no two coordinators share a term.
  const hasWon = answer.kind === 'Transacted' && answer.succeeded;
  const isFormer = !hasWon && isHeldBy(state, ownership);
  if (isFormer && ownership !== null)
    return [state, [call(resign(ownership), 'resign'), campaignAfter(campaignEveryMs)]];
  return campaigned(state, ownership, env);
}

function isHeldBy({ view }: S, ownership: Ownership | null): boolean {
  return ownership?.owner === view.self && ownership.lease === view.lease;
}

function campaigned(state: S, ownership: Ownership | null, env: Env): Step<S> {
  const { view, props } = state;
  const next: S = { ...state, ownership };
  if (ownership === null || !isHeldBy(state, ownership)) {
    return [next, [...toLeader(next), campaignAfter(campaignEveryMs)]];
  }
  const coordinatorProps: CoordinatorProps = {
    clusterId: props.clusterId,
    self: view.self,
    nodes: view.nodes,
    members: view.members,
    ownership,
    isPrompt: props.isPrompt,
    feedCountMax: props.feedCountMax,
    yieldsUnheard: yieldsUnheard(state.terms, env.now()),
    elector: env.self,
  };
  const spawn: Effect = {
    kind: 'Spawn',
    team: parentOf(places.coordinator),
    id: idOf(places.coordinator),
    role: 'coordinator',
    props: coordinatorProps,
    thread: 'main',
    epoch: ownership.revision,
    owner: env.self.path,
  };
  return [{ ...next, led: ownership }, [spawn]];
}

/** What a look at the key has shown while a coordinator is here. */
function looked(state: S, ownership: Ownership | null): Step<S> {
  const next: S = { ...state, ownership };
  const again = campaignAfter(lookEveryMs);
  if (isOurs(next) || state.coordinator === null) return [next, [again]];
  return [next, [stopCell(state.coordinator), again]];
}

/** The coordinator has ended: the key is given up, so that the next term is another. */
function stepDown(state: S): Step<S> {
  const { ownership, view } = state;
  const isOther = ownership !== null && ownership.owner !== view.self;
  const next: S = {
    ...state,
    led: null,
    coordinator: null,
    ownership: isOther ? ownership : null,
  };
  const give = isOther || ownership === null ? [] : [call(resign(ownership), 'resign')];
  const pauseMs = view.nodes.length > 1 ? yieldMs : campaignEveryMs;
  return [next, [...give, campaignAfter(pauseMs)]];
}

// ── asks ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function asked(state: S, ask: Ask): Step<S> {
  if (state.asks.size >= askCountMax) {
    const why = failureOf('COORDINATOR_ABSENT', 'too many requests wait', { retry: 'Again' });
    return [state, [report({ kind: 'Answered', requestId: ask.requestId, outcome: failed(why) })]];
  }
  const next: S = { ...state, asks: new Map(state.asks).set(ask.requestId, ask) };
  const message: ElectorInbox = { kind: 'AskDue', requestId: ask.requestId };
  const due: Effect = {
    kind: 'SetTimer',
    key: `ask ${ask.requestId}`,
    afterMs: patienceMsOf(ask.request),
    message,
  };
  return [next, [due, ...forward(next, [ask])]];
}

/** Another node's coordinator is asked again what is open; the one of this node hears everything. */
function askAgain(state: S): readonly Effect[] {
  return state.led === null ? toLeader(state) : [];
}

/**
 * Asks that are open: nobody was known to lead when they came, whoever leads has not begun, or a link has lost them. The
 * coordinator does each number once.
 */
function toLeader(state: S): readonly Effect[] {
  return forward(state, [...state.asks.values()]);
}

function forward(state: S, asks: readonly Ask[]): readonly Effect[] {
  const owner = state.ownership?.owner;
  if (owner === undefined) return [];
  const to = mainRef(places.coordinator, owner, state.props.self);
  return asks.map((message) => ({ kind: 'Send', to, message }));
}

function answered(state: S, message: Answered): Step<S> {
  if (!state.asks.has(message.requestId)) return [state, []];
  const asks = new Map(state.asks);
  asks.delete(message.requestId);
  return [
    { ...state, asks },
    [{ kind: 'DropTimer', key: `ask ${message.requestId}` }, report(message)],
  ];
}

function report(answer: Answered): Effect {
  return tellProcess({ kind: 'Answer', answer });
}

function tellProcess(request: ReportRequest<never, Answered>): Effect {
  return { kind: 'CallPort', port: 'report', request, answer: 'ReportAnswered' };
}

// ── small things ────────────────────────────────────────────────────────────────────────────────────────────────────

function campaignAfter(afterMs: number): Effect {
  return { kind: 'SetTimer', key: 'campaign', afterMs, message: { kind: 'CampaignDue' } };
}

function stopCell(target: Ref): Effect {
  return { kind: 'Stop', target, exit: { kind: 'shutdown' } };
}

function call(request: CoordinationRequest, tag: CallTag): Effect {
  return { kind: 'CallPort', port: 'coordination', request, answer: 'CoordinationAnswered', tag };
}

/** See the top of this file. */
export const elector: Behaviour<ElectorState, ElectorInbox, ElectorProps> = {
  init,
  receive,
  signal,
  overview: (state) => ({
    leader: state.ownership?.owner ?? null,
    isLeading: state.led !== null,
    trouble: state.terms.trouble?.code ?? null,
    asks: state.asks.size,
  }),
};
