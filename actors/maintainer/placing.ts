/** A maintainer's schedulers (spec/01 §1.8): absent spans to the least loaded node, balance, drain, and moves by hand. */
import { must } from '#src/base/assert.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { portOf } from '#src/ports/port.ts';
import type { SinkRequest } from '#src/ports/sink.ts';
import { balance, drain, drainSlots, placeAbsent, type Relocation } from '../placement/place.ts';
import { alive, destinations } from './destinations.ts';
import { feedSlot, isPlacing, toManager, type MaintainerState } from './maintainer-state.ts';
import type { ReslotRequest } from './span-operator.ts';
import type { SpanRow } from './span-table.ts';
import { pursue } from './table-asks.ts';

type S = MaintainerState;

/** Placements and moves of one round, and how often a balance is looked for. */
const addBatch = 10_000;
const moveBatch = 1_024;
const balanceEveryMs = 15_000;

/** Places what is absent, and sends what operators ask for. */
export function place(state: S, env: Env): readonly Effect[] {
  if (!isPlacing(state)) return [];
  const nowMs = env.now();
  const answers = pursue(state);
  const absent = state.table.absent().filter((span) => {
    const loss = state.losses.get(span);
    return !state.operators.holds(span) && (loss === undefined || loss.notBeforeMs <= nowMs);
  });
  if (absent.length > 0) {
    const bounds = { nodes: destinations(state), loads: state.table.loads(), slots: addBatch };
    for (const { id: span, node } of placeAbsent(absent, bounds)) {
      const token = state.operators.mint();
      state.operators.push({ kind: 'add', span, node, token, phase: 'creating' }, alive(state));
    }
  }
  return [...answers, ...requests(state, nowMs)];
}

/** Moves spans off the drain target, or evens the load out, now and then, when nothing else is under way. */
export function rearrange(state: S, env: Env): void {
  if (state.phase.at !== 'running') return;
  const placed = [...state.table.rows()].filter(isMovable(state));
  const bounds = { nodes: destinations(state), loads: state.table.loads(), slots: moveBatch };
  const target = state.drain.node;
  const leaving = target === null ? 0 : state.table.on(target).length;
  if (target !== null && leaving > 0) {
    const slots = drainSlots(leaving) - state.operators.size;
    move(state, drain(target, placed.map(placementOf), { ...bounds, slots }));
    return;
  }
  if (env.now() - state.balancedAtMs < balanceEveryMs) return;
  if (state.operators.size > 0 || state.table.absent().length > 0) return;
  state.balancedAtMs = env.now();
  move(state, balance(placed.map(placementOf), bounds));
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

function placementOf(row: SpanRow): { readonly id: string; readonly node: string } {
  return { id: row.span, node: must(row.node, 'a node') };
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
