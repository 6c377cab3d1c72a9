/**
 * The maintainer manager of a node starts and ends maintainers as the coordinator of the newest term says, and reports
 * how they are.
 *
 *     none ──Add──▶ opening (ports) ──▶ starting ──▶ running ──last word, or it crashed──▶ stopped ──newer Add──▶ …
 *
 * Promises: at most one maintainer per changefeed; a newer Add waits until the old one has stopped (E9, E10: it is refused
 * and sent again); every Remove is answered, also for what is not here. Its door compares the coordinator's terms.
 */
import { unreachable } from '#src/base/assert.ts';
import type { Behaviour, Env, Step } from '#src/kernel/behaviour.ts';
import type { Effect } from '#src/kernel/effect.ts';
import { exitText } from '#src/kernel/exit.ts';
import type { Signal } from '#src/kernel/message.ts';
import { idOf } from '#src/kernel/ref.ts';
import {
  newState,
  registeredAs,
  toMaintainer,
  toMaintainers,
  type MaintainerManagerInbox,
  type MaintainerManagerProps,
  type MaintainerManagerState,
} from './manager-state.ts';
import { ended, report, reported, reportOn } from './reporting.ts';
import { add, opened, remove, started } from './starting.ts';

type S = MaintainerManagerState;

const tick: Effect = {
  kind: 'SetTimer',
  key: 'tick',
  afterMs: 200,
  message: { kind: 'TickDue' },
};

function receive(state: S, message: MaintainerManagerInbox, env: Env): Step<S> {
  return [state, effectsOf(state, message, env)];
}

function effectsOf(state: S, message: MaintainerManagerInbox, env: Env): readonly Effect[] {
  switch (message.kind) {
    case 'NodesChanged':
      if (!message.isComplete) return [];
      state.view = message;
      return toMaintainers(state, message);
    case 'BootstrapManager':
      state.coordinator = env.from;
      return report(state, true, env);
    case 'AddMaintainer':
      return add(state, message);
    case 'RemoveMaintainer':
      return remove(state, message, env);
    case 'AskTable':
      return toMaintainer(state.registry.get(message.id), message);
    case 'TableAnswered':
      if (state.coordinator === null) return [];
      return [{ kind: 'Send', to: state.coordinator, message }];
    case 'SetDrainTarget': {
      const { drain } = message;
      if (drain.number <= state.drain.number) return [];
      state.drain = drain;
      const told = toMaintainers(state, { kind: 'DrainChanged', drain });
      return [...told, ...report(state, false, env)];
    }
    case 'MaintainerReported':
      return reported(state, message, env);
    case 'FeedsAnswered':
      return opened(state, message.tag, message.outcome, env);
    case 'TickDue':
      return [...reportOn(state, env), tick];
    default:
      return unreachable(message);
  }
}

function signal(state: S, signal: Signal, env: Env): Step<S> {
  switch (signal.kind) {
    case 'StopAsked':
      return [state, [{ kind: 'Stop', target: 'self', exit: { kind: 'shutdown' } }]];
    case 'ChildStarted':
      return [state, started(state, signal.id, signal.ref)];
    case 'ChildRefused':
    case 'Terminated': {
      const id = signal.kind === 'Terminated' ? idOf(signal.ref.path) : signal.id;
      const known = registeredAs(state, id);
      return [state, known === undefined ? [] : ended(state, known, exitText(signal.exit), env)];
    }
  }
}

/** See the top of this file. */
export const maintainerManager: Behaviour<
  MaintainerManagerState,
  MaintainerManagerInbox,
  MaintainerManagerProps
> = {
  init: (props) => [newState(props), [tick]],
  receive,
  signal,
  overview: (state) => ({
    maintainers: [...state.registry.values()].map(({ id, epoch, is }) => ({ id, epoch, is })),
    coordinator: state.coordinator?.node ?? state.props.self,
    drain: state.drain.node,
  }),
};
