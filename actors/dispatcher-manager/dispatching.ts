/** A dispatcher manager and its dispatchers: one per span, on the least loaded work thread. */
import { failure as failureOf, type Failure } from '#src/base/failure.ts';
import type { Env } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText, type Exit } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf, parentOf } from '#src/kernel/ref.ts';
import { isPart } from '#src/model/span.ts';
import type {
  DispatcherWatermark,
  ScheduleDispatcher,
  StopDispatcher,
} from '#src/protocol/manager.ts';
import type { DispatcherProps } from '../dispatcher/dispatcher-state.ts';
import { endSource } from './closing.ts';
import { isClosing, type DispatcherManagerState } from './manager-state.ts';
import { stopAssignment } from './served-spans.ts';

type S = DispatcherManagerState;

/** How the end of a dispatcher is told. */
type Lost = Extract<Signal, { readonly kind: 'ChildRefused' | 'Terminated' }>;

/** Takes an assignment on: its dispatcher starts now, once the span's former one has ended, or once the stream runs. */
export function schedule(state: S, message: ScheduleDispatcher, env: Env, effects: Effect[]): void {
  const { served } = state;
  const known = served.get(message.span);
  if (isClosing(state)) return served.miss(message.span, message.token);
  if (known !== undefined && known.status !== 'ended') {
    if (known.token === message.token) return served.tellAgain(known);
    if (known.token > message.token) return served.miss(message.span, message.token);
    served.defer(message);
    state.seq++;
    return stopAssignment(known, effects);
  }
  // It failed already under this very token: the report is under way.
  if (known?.token === message.token) return served.tellAgain(known);
  // Before the stream runs there is nobody to subscribe to.
  if (state.phase !== 'streaming') {
    served.defer(message);
    state.seq++;
    return;
  }
  effects.push(spawn(state, message, env));
}

/** The effect that starts the dispatcher of an assignment, which counts from now on. */
export function spawn(state: S, message: ScheduleDispatcher, env: Env): Effect {
  const { props, eventService } = state;
  const { memoryQuota } = props;
  const loads = [...state.served.loads(props.workThreads)];
  const [thread] = loads.reduce((least, entry) => (entry[1] < least[1] ? entry : least));
  state.served.start(message, thread);
  // Its first events will not be its first sight any more; of a part, the event service tells.
  if (!isPart(message.span)) state.known.add(message.span);
  state.seq++;
  const dispatcherProps: DispatcherProps = {
    changefeed: props.changefeed,
    span: message.span,
    token: message.token,
    startTs: message.startTs,
    manager: env.self,
    eventService: eventService ?? env.self,
    creditBytes: Math.max(1 << 20, Math.floor(memoryQuota / 16)),
    batchBytes: Math.max(256 << 10, Math.min(4 << 20, Math.floor(memoryQuota / 64))),
  };
  return {
    kind: 'Spawn',
    team: `${parentOf(parentOf(env.self.path))}/dispatchers`,
    id: `dispatcher:${props.changefeed}:${encodeURIComponent(message.span)}`,
    role: 'dispatcher',
    props: dispatcherProps,
    thread,
    epoch: props.epoch,
    owner: env.self.path,
  };
}

/** Ends an assignment; one that is not here is answered as stopped, its position not known. */
export function stopOne(state: S, message: StopDispatcher, effects: Effect[]): void {
  const { span, token } = message;
  const deferred = state.served.takeDeferred(span);
  if (deferred !== undefined && deferred.token !== token) state.served.defer(deferred);
  const known = state.served.get(span);
  if (known?.token !== token) return state.served.miss(span, token);
  if (known.status === 'ended') return state.served.tellAgain(known);
  stopAssignment(known, effects);
}

/** A dispatcher has committed more. */
export function takeWatermark(state: S, message: DispatcherWatermark, env: Env): void {
  const { totals } = state;
  state.totals = {
    ...totals,
    rows: totals.rows + message.rows,
    writtenRows: totals.writtenRows + message.writtenRows,
    transactions: totals.transactions + message.transactions,
  };
  const assignment = state.served.get(message.span);
  if (assignment === undefined) return;
  // A late word of the span's former dispatcher says nothing about this one's life.
  if (assignment.ref !== null && assignment.ref.incarnation !== env.from.incarnation) return;
  assignment.rows += message.rows;
  assignment.checkpointTs = Math.max(assignment.checkpointTs, message.checkpointTs);
  state.served.works(assignment);
}

/** A dispatcher has ended, asked or not, or was never started; who waited for the span comes next. */
export function lost(state: S, signal: Lost, env: Env, effects: Effect[]): void {
  const { served } = state;
  const { exit } = signal;
  const isOver = signal.kind === 'Terminated';
  const span = spanOf(state, isOver ? idOf(signal.ref.path) : signal.id);
  const assignment = served.get(span);
  if (assignment === undefined || assignment.status === 'ended') return;
  const wasAsked = assignment.status === 'stopping';
  // The exit and the dispatcher's last word travel apart: a late word of the span's former one says nothing about this one.
  const { lastWord } = assignment;
  const isItsOwn = isOver && lastWord?.incarnation === signal.ref.incarnation;
  const said = exit.kind === 'failure' ? exit.failure : isItsOwn ? lastWord.failure : null;
  const failure = said ?? failureOfExit(span, exit);
  served.ended(assignment, wasAsked ? null : failure);
  const next = served.takeDeferred(span);
  if (next !== undefined && !isClosing(state)) effects.push(spawn(state, next, env));
  if (state.phase === 'ending') endSource(state, effects);
}

function failureOfExit(span: string, exit: Exit): Failure {
  return failureOf('INTERNAL_FAULT', `the dispatcher of ${span} ended: ${exitText(exit)}`, {
    retry: 'Again',
    scope: 'Table',
  });
}

/** The span of a dispatcher, from the name of its cell. */
export function spanOf(state: S, id: string): string {
  return decodeURIComponent(id.slice(`dispatcher:${state.props.changefeed}:`.length));
}
