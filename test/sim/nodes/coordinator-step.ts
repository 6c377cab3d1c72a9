/** What a step of a coordinator says, as its checks read it: of the one changefeed that a run has. */
import type { Effect } from '#src/kernel/effect.ts';
import { changefeedInfoKey } from '#src/model/coordination-key.ts';
import type { CoordinationRequest } from '#src/ports/coordination.ts';
import type { ReportRequest } from '#src/ports/report.ts';
import { readRecord, type ChangefeedRecord } from '#src/protocol/changefeed-record.ts';
import { blankStatus, type ChangefeedStatus } from '#src/protocol/changefeed.ts';
import type { Answered, MaintainerReport } from '#src/protocol/coordinator.ts';
import type { RemoveMaintainer } from '#src/protocol/maintainer-manager.ts';
import { nodeOf } from '#src/protocol/nodes.ts';
import type { SeenStep } from '../observe.ts';
import { clusterId, feedId } from './sim-node.ts';

/** A changefeed in the overview of a coordinator. */
export interface FeedView {
  readonly id: string;
  readonly state: string;
  readonly epoch: number;
  /** Its maintainer: node and epoch; null when it has none. */
  readonly node: string | null;
  readonly maintainerEpoch: number | null;
  readonly operator: string | null;
}

/** The overview of a coordinator. */
export interface View {
  readonly phase: string;
  readonly nodes: readonly string[];
  readonly changefeeds: readonly FeedView[];
}

/** A maintainer, as `node epoch`. */
export type Owner = string;

/** What a node says of a maintainer. */
export interface Word {
  readonly owner: Owner;
  readonly node: string;
  readonly epoch: number;
  readonly isWorking: boolean;
  readonly status: ChangefeedStatus;
}

/** That a maintainer shall end. */
interface Removal {
  readonly owner: Owner;
  readonly cascade: boolean;
  readonly removed: boolean;
}

const infoKey = changefeedInfoKey(clusterId, feedId);

/** How the coordinator stands after the step. */
export function viewOf({ overview }: SeenStep): View {
  return overview() as unknown as View;
}

/** The changefeed, when the coordinator knows it. */
export function feedOf({ changefeeds }: View): FeedView | undefined {
  return changefeeds.find(({ id }) => id === feedId);
}

/** A maintainer's name here. */
export function ownerOf(node: string, epoch: number): Owner {
  return `${node} ${epoch}`;
}

/** Where it runs. */
export function nodeIn(owner: Owner): string {
  return owner.slice(0, owner.indexOf(' '));
}

/** What a node says of the changefeed's maintainers. */
export function wordsOf(node: string, reports: readonly MaintainerReport[]): readonly Word[] {
  return reports
    .filter(({ id }) => id === feedId)
    .map(({ epoch, isWorking, status }) => ({
      owner: ownerOf(node, epoch),
      node,
      epoch,
      isWorking,
      status,
    }));
}

/** The record that an effect writes; null when it writes none. */
export function recordIn(effect: Effect): ChangefeedRecord | null {
  if (effect.kind !== 'CallPort' || effect.port !== 'coordination') return null;
  const request = effect.request as CoordinationRequest;
  if (request.kind !== 'Transact') return null;
  const put = request.puts?.find(({ key }) => key === infoKey);
  return put === undefined ? null : readRecord(put.value);
}

/** What is shown of how the changefeed fares. */
export function shownIn(effects: readonly Effect[]): readonly ChangefeedStatus[] {
  return effects.flatMap((effect) => {
    if (effect.kind !== 'CallPort' || effect.port !== 'report') return [];
    const request = effect.request as ReportRequest<ChangefeedStatus>;
    return request.kind === 'Status' && request.status.id === feedId ? [request.status] : [];
  });
}

/** What of a status is its maintainer's alone: the checkpoint and the state are also the coordinator's. */
export function bodyOf(status: ChangefeedStatus): string {
  const { resolvedTs, newest, sourceMs, appliedMs, spanCount, placement, counts } = status;
  return JSON.stringify([resolvedTs, newest, sourceMs, appliedMs, spanCount, placement, counts]);
}

/** That of a maintainer which has said nothing yet. */
export const blankBody = bodyOf(blankStatus(feedId));

/** Maintainers of the changefeed that shall end. */
export function removalsIn(effects: readonly Effect[], self: string): readonly Removal[] {
  return effects.flatMap((effect) => {
    if (effect.kind !== 'Send' || effect.message.kind !== 'RemoveMaintainer') return [];
    const { id, epoch, cascade, removed } = effect.message as RemoveMaintainer;
    const owner = ownerOf(nodeOf(effect.to, self), epoch);
    return id === feedId ? [{ owner, cascade, removed }] : [];
  });
}

/** True when somebody's ask is answered with a failure. */
export function isRefused(effects: readonly Effect[]): boolean {
  return effects.some(
    (effect) =>
      effect.kind === 'Send' &&
      effect.message.kind === 'Answered' &&
      !(effect.message as unknown as Answered).outcome.ok,
  );
}
