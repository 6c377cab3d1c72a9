/** A node of a cluster that consists of its claim: joins, sees others, is fenced. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CellOverview } from '#src/kernel/shell.ts';
import type { Peers } from '#src/ports/peers.ts';
import { bareSettings } from '#test/fixtures/bare-settings.ts';
import { ActorSystem } from '#workers/actor-system.ts';
import { claimProps } from '#workers/claim-props.ts';
import type { FenceProof } from '#workers/fence-proof.ts';
import { openPeers } from '#workers/open-peers.ts';
import type { ClusterSettings } from '#workers/settings.ts';
import { planOf, world, worldUrl } from './world.ts';

/** See the top of this file. */
export class ClaimNode {
  readonly captureId: string;
  readonly fences: FenceProof[] = [];
  #peers: Peers | null = null;
  readonly #directory: string;
  readonly #isTemporary: boolean;
  #system: ActorSystem | null = null;

  private constructor(captureId: string, directory: string | null) {
    this.captureId = captureId;
    this.#isTemporary = directory === null;
    this.#directory = directory ?? mkdtempSync(join(tmpdir(), 'sluice-claim-'));
  }

  /** Starts a node of a cluster: its threads; joining follows. */
  static start(captureId: string, etcdUrls: string, leaseTtlMs: number): Promise<ClaimNode> {
    const cluster = {
      etcdUrls,
      leaseTtlMs,
      apiAddress: 'a:1',
      peerAddress: '127.0.0.1:0',
      tls: null,
      allowPlainText: false,
      version: '0',
    };
    return new ClaimNode(captureId, null).#start(cluster);
  }

  /** Starts a process with embedded coordination, kept in `directory`. */
  static startAlone(captureId: string, directory: string): Promise<ClaimNode> {
    return new ClaimNode(captureId, directory).#start(null);
  }

  async #start(cluster: ClusterSettings | null): Promise<ClaimNode> {
    const { captureId } = this;
    const settings = bareSettings(this.#directory, captureId, {
      isTemporary: this.#isTemporary,
      ...(cluster === null ? {} : { cluster }),
    });
    this.#system = await ActorSystem.start({
      plan: planOf(cluster === null),
      world,
      worldUrl,
      workThreadCount: 1,
      settings,
      isLeased: cluster !== null,
      props: (path, { tree, peerAddress }) => {
        const id = path.slice(path.lastIndexOf('/') + 1);
        if (id !== 'session' && id !== 'membership' && id !== 'peer-keeper') return null;
        return claimProps(id, settings, {
          peerAddress,
          session: tree.refOf('capture/claim/session'),
          membership: tree.refOf('capture/claim/membership'),
          followers: [],
        });
      },
      mainPorts: {},
      ...(cluster === null
        ? {}
        : {
            openPeers: async (events) => {
              this.#peers = await openPeers(settings, cluster, events);
              return this.#peers;
            },
          }),
      onOver: () => {},
      onFence: (proof) => this.fences.push(proof),
    });
    return this;
  }

  get system(): ActorSystem {
    if (this.#system === null) throw new Error('not started');
    return this.#system;
  }

  /** Captures that it has open links to, each named once for control and once for data. */
  links(): string {
    const links = this.#peers?.links() ?? [];
    return links
      .filter(({ phase }) => phase === 'open')
      .map(({ captureId }) => captureId)
      .sort()
      .join(',');
  }

  /** Whether a sink of this node would submit now. */
  mayWrite(): boolean {
    const { gate } = this.system;
    const index = 1;
    return gate.mayWrite({ gate: index, generation: Atomics.load(gate.words.lives, index) });
  }

  /** `id state` of the nodes this one sees. */
  async view(): Promise<string> {
    return String((await this.#cell('membership'))?.state['members'] ?? 'none');
  }

  /** Phase of its session. */
  async phase(): Promise<string> {
    return String((await this.#cell('session'))?.state['phase'] ?? 'none');
  }

  /** Its lease. */
  async lease(): Promise<string> {
    return String((await this.#cell('session'))?.state['lease'] ?? '');
  }

  /** Waits until the view is this one. */
  sees(...members: readonly string[]): Promise<void> {
    const expected = members.join(',');
    return until(
      async () => (await this.view()) === expected,
      async () => `${expected}: ${await this.view()}`,
    );
  }

  /** Leaves in order. */
  async stop(): Promise<void> {
    await this.system.stop();
    if (this.#isTemporary) rmSync(this.#directory, { recursive: true, force: true });
  }

  async #cell(id: string): Promise<CellOverview | undefined> {
    return (await this.system.overview()).find(({ path }) => path === `capture/claim/${id}`);
  }
}

/** Waits until `holds`, half a minute at most. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: () => string | Promise<string>,
): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await holds()) return;
    await sleep(50);
  }
  throw new Error(`never: ${await what()}`);
}
