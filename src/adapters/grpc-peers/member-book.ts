/** The members of the cluster as this capture knows them, and which certificate belongs to which capture id. */
import type { PeerMember } from '../../ports/peers.ts';

/** See the top of this file. */
export class MemberBook {
  #members: ReadonlyMap<string, PeerMember> = new Map();
  /** First name of the certificate that a capture id was seen with; entries live as long as the member. */
  readonly #bound = new Map<string, string>();

  /** Replaces the members; answers those that are gone. */
  replace(members: readonly PeerMember[]): readonly string[] {
    const next = new Map(members.map((member) => [member.captureId, member]));
    const gone = [...this.#members.keys()].filter((id) => !next.has(id));
    for (const id of gone) this.#bound.delete(id);
    this.#members = next;
    return gone;
  }

  has(captureId: string): boolean {
    return this.#members.has(captureId);
  }

  /** Binds the certificate to the capture id; a sentence when another one is bound already, or expected. */
  bind(captureId: string, names: readonly string[]): string | null {
    const expected = this.#members.get(captureId)?.certificateName ?? this.#bound.get(captureId);
    if (expected !== undefined && !names.includes(expected)) {
      return `the certificate of ${names[0] ?? 'nobody'} does not belong to capture ${captureId}`;
    }
    const first = names[0];
    if (expected === undefined && first !== undefined) this.#bound.set(captureId, first);
    return null;
  }
}
