/**
 * Which maintainers run on this node, at most one per changefeed (spec/04 E9, E10). Mutated in place by the maintainer
 * manager alone.
 */
import type { Ref } from '#src/kernel/ref.ts';
import type { MaintainerReport } from '#src/protocol/coordinator.ts';
import type { RemoveThis } from '#src/protocol/maintainer.ts';

/** One maintainer. */
export interface Registered {
  readonly id: string;
  readonly epoch: number;
  /** `opening`: its ports are being made ready. `stopped`: its cell has ended, or could not be started. */
  readonly is: 'opening' | 'starting' | 'running' | 'stopped';
  readonly ref: Ref | null;
  readonly report: MaintainerReport;
  /** A remove that came before the cell ran. */
  readonly removal: RemoveThis | null;
}

/**
 * What an Add of `epoch` does beside what is registered: `add`; `known` when it runs already under that epoch; `refused`
 * while another instance is not fully stopped, or is not older.
 */
export function admitAdd(
  known: Registered | undefined,
  epoch: number,
): 'add' | 'known' | 'refused' {
  if (epoch === 0) return 'refused';
  if (known === undefined) return 'add';
  if (known.epoch === epoch) return 'known';
  return known.is === 'stopped' && epoch > known.epoch ? 'add' : 'refused';
}

/**
 * What a Remove of `epoch` does: `forward` to the maintainer; `stopped` when there is none, or it has stopped: a
 * synthetic word with the request's own epoch is given; `close`: a maintainer is started that only closes managers on
 * all nodes; `stale` when it means another instance than the one that runs.
 */
export function admitRemove(
  known: Registered | undefined,
  request: { readonly epoch: number; readonly cascade: boolean },
): 'forward' | 'stopped' | 'close' | 'stale' {
  if (request.epoch === 0) return 'stale';
  if (known !== undefined && known.is !== 'stopped')
    return known.epoch === request.epoch ? 'forward' : 'stale';
  // One that has stopped under this very epoch, cascading, has closed everything.
  if (known?.epoch === request.epoch) return 'stopped';
  return request.cascade ? 'close' : 'stopped';
}
