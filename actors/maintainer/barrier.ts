/**
 * A DDL is a barrier over all nodes: every stream stops in front of it, everything before it is applied, the checkpoint before
 * it is saved, the statement runs once (the sink's intent and done rows), groups are read anew, and all streams go on.
 */
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { classifyStatement } from '#src/model/ddl-statement.ts';
import type { DdlEvent } from '#src/model/position.ts';
import { spanTables } from '#src/model/span.ts';
import type { SinkRequest } from '#src/ports/sink.ts';
import { callSink, toManager, type MaintainerState, type NodeState } from './maintainer-state.ts';
import { save } from './saving.ts';
import { beginMerge, checkAgain } from './table-asks.ts';

type S = MaintainerState;

/**
 * Looks whether a barrier begins or may go on; `ts` is how far everything is committed. A stream that stands before a DDL
 * that is done goes on at once: it had been started from before it.
 */
export function barrierOn(state: S, ts: number, env: Env): readonly Effect[] {
  const effects: Effect[] = [];
  for (const node of state.nodes.values()) {
    if (node.held === null || node.held.ddl.ts > state.doneDdlTs) continue;
    effects.push(...resume(state, node, state.doneDdlTs));
  }
  const first = earliestHeld(state);
  if (first !== null && isNext(state, first.ddl.ts))
    state.phase = { at: 'barrier', step: 'draining', ...first };
  const { phase } = state;
  if (phase.at !== 'barrier' || phase.step !== 'draining') return effects;
  if (ts < phase.resolved.ts || !isEveryoneThere(state, phase.ddl.ts)) return effects;
  if (!isUndivided(state, phase.ddl)) return effects;
  state.phase = { ...phase, step: 'saving' };
  return [...effects, ...save(state, phase.resolved, env)];
}

/** A stream that was begun late may stand before a DDL that the others have passed: it is led through that one first. */
function isNext({ phase }: S, ddlTs: number): boolean {
  if (phase.at !== 'barrier') return phase.at === 'running';
  return phase.step === 'draining' && ddlTs < phase.ddl.ts;
}

function earliestHeld(state: S): NodeState['held'] {
  let first: NodeState['held'] = null;
  for (const { held } of state.nodes.values())
    if (held !== null && (first === null || held.ddl.ts < first.ddl.ts)) first = held;
  return first;
}

/** Streams stand before the DDL, or have passed it: then an earlier maintainer had let them go on, and it is done. */
function isEveryoneThere(state: S, ddlTs: number): boolean {
  return [...state.nodes.values()].every(
    ({ isStreaming, held, resolved }) =>
      !isStreaming || held?.ddl.ts === ddlTs || (resolved?.ts ?? 0) >= ddlTs,
  );
}

/**
 * A table whose definition changes is joined first, if it is split: its keys may be others afterwards (DESIGN §10). Nothing
 * is divided while the statement runs.
 */
function isUndivided(state: S, ddl: DdlEvent): boolean {
  const { table, operators } = state;
  const touched = table.splitTables().filter((whole) => mayChange(ddl, whole));
  for (const whole of touched) if (!operators.holds(whole)) beginMerge(state, whole);
  const isDividing = operators.list().some(({ kind }) => kind === 'split' || kind === 'merge');
  return touched.length === 0 && !isDividing;
}

function mayChange({ sql, schema }: DdlEvent, whole: string): boolean {
  const statement = classifyStatement(sql, schema);
  // A foreign key of another table ties the rows it refers to together.
  if (statement.kind !== 'ddl' || /\breferences\b/iu.test(sql)) return true;
  if (statement.action === 'truncate') return false;
  const isSame = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();
  return spanTables(whole).some(
    (name) =>
      statement.schemas.some((one) => isSame(one, name.schema)) ||
      statement.tables.some(
        (one) => isSame(one.schema, name.schema) && isSame(one.table, name.table),
      ),
  );
}

/** The statement is done: foreign keys may have changed. */
export function ddlDone(state: S): readonly Effect[] {
  const { phase } = state;
  if (phase.at !== 'barrier' || phase.step !== 'ddl') return [];
  state.phase = { ...phase, step: 'grouping' };
  state.ddlCount++;
  return [readGroups(state)];
}

/** Groups are known: every stream goes on. */
export function barrierOver(state: S, env: Env): readonly Effect[] {
  const { phase } = state;
  if (phase.at !== 'barrier' || phase.step !== 'grouping') return [];
  state.doneDdlTs = phase.ddl.ts;
  state.phase = { at: 'running' };
  state.progressAtMs = env.now();
  const resumed = [...state.nodes.values()].flatMap((node) => resume(state, node, phase.ddl.ts));
  state.heat.forgetRefusals();
  return [...resumed, ...checkAgain(state)];
}

function resume(state: S, node: NodeState, ddlTs: number): readonly Effect[] {
  node.held = null;
  return toManager(node, { kind: 'ResumeStream', ddlTs, routing: state.routing });
}

/** Asks the downstream which tables share a span. */
export function readGroups(state: S): Effect {
  const { id, rules } = state.props.config;
  const request: SinkRequest = { kind: 'ReadGroups', changefeed: id, rules };
  return callSink(state, request, 'groups');
}
