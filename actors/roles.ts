/** Every role with its behaviour and the guards of its protocol; shells start cells from here. */
import { peerKeeperGuards } from '#src/protocol/peer-keeper.ts';
import { role, type Role } from '#src/kernel/behaviour.ts';
import { coordinatorGuards } from '#src/protocol/coordinator.ts';
import { electorGuards } from '#src/protocol/elector.ts';
import { maintainerManagerGuards } from '#src/protocol/maintainer-manager.ts';
import { maintainerGuards } from '#src/protocol/maintainer.ts';
import { managerGuards } from '#src/protocol/manager.ts';
import { membershipGuards } from '#src/protocol/membership.ts';
import { sessionGuards } from '#src/protocol/session.ts';
import { orchestratorGuards } from '#src/protocol/orchestrator.ts';
import { dispatcherGuards, eventServiceGuards, logPullerGuards } from '#src/protocol/source.ts';
import { coordinator } from './coordinator/coordinator.ts';
import { elector } from './coordinator/elector.ts';
import { dispatcher } from './dispatcher/dispatcher.ts';
import { dispatcherOrchestrator } from './dispatcher-orchestrator/dispatcher-orchestrator.ts';
import { dispatcherManager } from './dispatcher-manager/dispatcher-manager.ts';
import { eventService } from './event-service/event-service.ts';
import { logPuller } from './log-puller/log-puller.ts';
import { maintainer } from './maintainer/maintainer.ts';
import { maintainerManager } from './maintainer-manager/maintainer-manager.ts';
import { membership } from './membership/membership.ts';
import { session } from './session/session.ts';
import { peerKeeper } from './peer-keeper/peer-keeper.ts';

/** Role name → behaviour and guards. */
export const roles: Readonly<Record<string, Role>> = {
  session: role(session, sessionGuards),
  membership: role(membership, membershipGuards),
  elector: role(elector, electorGuards),
  coordinator: role(coordinator, coordinatorGuards),
  'maintainer-manager': role(maintainerManager, maintainerManagerGuards),
  maintainer: role(maintainer, maintainerGuards),
  'peer-keeper': role(peerKeeper, peerKeeperGuards),
  'log-puller': role(logPuller, logPullerGuards),
  'event-service': role(eventService, eventServiceGuards),
  'dispatcher-orchestrator': role(dispatcherOrchestrator, orchestratorGuards),
  'dispatcher-manager': role(dispatcherManager, managerGuards),
  dispatcher: role(dispatcher, dispatcherGuards),
};
