/** A maintainer's schedulers (spec/01 §1.8): absent spans to the least loaded node, balance, drain, and moves by hand. */
import { must } from '#src/base/assert.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { balance, drain, drainSlots, placeAbsent, type Relocation } from '../placement/place.ts';
import { isPlacing, toManager, type MaintainerState } from './maintainer-state.ts';
import type { SpanRow } from './span-table.ts';

type S = MaintainerState;

/** Placements and moves of one round, and how often a balance is looked for. */
const addBatch = 10_000;
const moveBatch = 1_024;
const balanceEveryMs = 15_000;

/** Places what is absent, and sends what operators ask for. */
export function place(state: S, env: Env): readonly Effect[] {
  if (!isPlacing(state)) return [];
  const nowMs = env.now();
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
  return requests(state, nowMs);
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

/** A move that somebody asked for; nothing happens when the span is not there, is on its way, or is there already. */
export function relocate(state: S, span: string, to: string): void {
  const row = state.table.get(span);
  if (row === undefined || row.node === to || !isMovable(state)(row)) return;
  if (!destinations(state).includes(to)) return;
  move(state, [{ id: span, from: must(row.node, 'a node'), to }]);
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

/** Nodes whose stream runs, without the one that is being emptied, unless it is the only one. */
function destinations(state: S): readonly string[] {
  const running = [...state.nodes.values()]
    .filter((node) => node.isAdopted && node.isStreaming && !node.isClosed)
    .map(({ node }) => node);
  const kept = running.filter((node) => node !== state.drain.node);
  return kept.length > 0 ? kept : running;
}

function alive(state: S): ReadonlySet<string> {
  return new Set([...state.nodes.values()].flatMap((node) => (node.isAdopted ? [node.node] : [])));
}

function requests(state: S, nowMs: number): readonly Effect[] {
  return state.operators.due(nowMs).flatMap(({ kind, span, node, token }) => {
    const to = state.nodes.get(node);
    if (kind === 'stop') return toManager(to, { kind: 'StopDispatcher', span, token });
    const startTs = state.table.get(span)?.checkpointTs ?? state.checkpoint?.ts ?? 0;
    return toManager(to, { kind: 'ScheduleDispatcher', span, token, startTs });
  });
}
