/** A maintainer's schedulers (spec/01 §1.8): absent spans to the least loaded node, balance, drain, and moves by hand. */
import { must } from '#src/base/assert.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { isPart, wholeSpan } from '#src/model/span.ts';
import { portOf } from '#src/ports/port.ts';
import type { SinkRequest } from '#src/ports/sink.ts';
import {
  balanceEveryMs,
  balanceGroups,
  drain,
  drainCooldownMs,
  drainSlots,
  placeAbsent,
  spreadAbsent,
  type Placement,
  type PlacementBounds,
  type Relocation,
} from '../placement/place.ts';
import { alive, destinations } from './destinations.ts';
import { feedSlot, isPlacing, toManager, type MaintainerState } from './maintainer-state.ts';
import type { ReslotRequest } from './span-operator.ts';
import type { SpanRow } from './span-table.ts';
import { pursue } from './table-asks.ts';

type S = MaintainerState;

/** Placements and moves of one round. */
const addBatch = 10_000;
const moveBatch = 1_024;

/** Places what is absent, and sends what operators ask for. */
export function place(state: S, env: Env): readonly Effect[] {
  if (!isPlacing(state)) return [];
  const nowMs = env.now();
  const answers = pursue(state);
  const absent = state.table.absent().filter((span) => {
    const loss = state.losses.get(span);
    return !state.operators.holds(span) && (loss === undefined || loss.notBeforeMs <= nowMs);
  });
  const wholes = absent.filter((span) => !isPart(span));
  if (wholes.length > 0) add(state, placeAbsent(wholes, boundsOf(state, addBatch)));
  for (const [table, parts] of Map.groupBy(absent.filter(isPart), wholeSpan)) {
    const held = new Map<string, number>();
    for (const part of state.table.partsOf(table)) {
      const node = state.table.get(part)?.node ?? null;
      if (node !== null) held.set(node, (held.get(node) ?? 0) + 1);
    }
    add(state, spreadAbsent(parts, boundsOf(state, addBatch), held));
  }
  return [...answers, ...requests(state, nowMs)];
}

function add(state: S, placements: readonly Placement[]): void {
  for (const { id: span, node } of placements) {
    const token = state.operators.mint();
    state.operators.push({ kind: 'add', span, node, token, phase: 'creating' }, alive(state));
  }
}

function boundsOf(state: S, slots: number): PlacementBounds {
  return { nodes: destinations(state), loads: state.table.loads(), slots };
}

/** Moves spans off the drain target, or evens the load out, now and then, when nothing else is under way. */
export function rearrange(state: S, env: Env): void {
  if (state.phase.at !== 'running') return;
  const target = state.drain.node;
  if (target !== null) {
    state.balancedAtMs = env.now() + drainCooldownMs - balanceEveryMs;
    const leaving = state.table.on(target).length;
    if (leaving === 0) return;
    const slots = drainSlots(leaving) - state.operators.size;
    return move(state, drain(target, placed(state), boundsOf(state, slots)));
  }
  if (env.now() - state.balancedAtMs < balanceEveryMs) return;
  if (state.operators.size > 0 || state.table.absent().length > 0) return;
  state.balancedAtMs = env.now();
  const all = placed(state);
  const groups = Map.groupBy(
    all.filter(({ id }) => isPart(id)),
    ({ id }) => wholeSpan(id),
  );
  const others = all.filter(({ id }) => !isPart(id));
  move(state, balanceGroups([...groups.values()], others, boundsOf(state, moveBatch)));
}

function move(state: S, relocations: readonly Relocation[]): void {
  for (const { id: span, from, to } of relocations) {
    const origin = { node: from, token: must(state.table.get(span), span).token };
    state.operators.push(
      { kind: 'move', span, phase: 'removing', origin, dest: to, destToken: 0 },
      alive(state),
    );
  }
}

function isMovable(state: S): (row: SpanRow) => boolean {
  return (row) => row.state === 'replicating' && !state.operators.holds(row.span);
}

function placed(state: S): readonly Placement[] {
  return [...state.table.rows()]
    .filter(isMovable(state))
    .map(({ span, node }) => ({ id: span, node: must(node, 'a node') }));
}

function requests(state: S, nowMs: number): readonly Effect[] {
  return state.operators.due(nowMs).flatMap((request): readonly Effect[] => {
    const { span, token } = request;
    if (request.kind === 'reslot') return [reslot(state, request)];
    const to = state.nodes.get(request.node);
    if (request.kind === 'stop') return toManager(to, { kind: 'StopDispatcher', span, token });
    const startTs = state.table.get(span)?.checkpointTs ?? state.checkpoint?.ts ?? 0;
    return toManager(to, { kind: 'ScheduleDispatcher', span, token, startTs });
  });
}

/** The slots are the truth about how a table is divided: nothing of it is scheduled before they say so. */
function reslot(state: S, { span, token: spanToken, from, to }: ReslotRequest): Effect {
  const request: SinkRequest = { kind: 'Reslot', ...feedSlot(state), spanToken, from, to };
  const port = portOf('sink', state.props.config.id);
  const tag = `${spanToken} ${span}`;
  return { kind: 'CallPort', port, request, answer: 'ReslotAnswered', tag };
}
