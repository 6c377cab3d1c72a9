/**
 * Requests that wait while a changefeed's manager is being made (spec/04 §4b): one per changefeed and kind, the newest epoch
 * counts. Mutated in place by the orchestrator alone.
 */
import type { Ref } from '#src/kernel/ref.ts';
import type { OrchestratorMessage } from '#src/protocol/orchestrator.ts';

/** A request with its sender. */
export interface PendingRequest {
  readonly message: OrchestratorMessage;
  readonly from: Ref;
}

/** See the top of this file. */
export class PendingRequests {
  readonly #requests = new Map<string, PendingRequest>();

  /**
   * Takes a request on. A smaller epoch than the waiting one is dropped; an equal one too, except that a close for good
   * (`removed`) makes the waiting close one for good; a higher epoch replaces it in its place.
   */
  push(request: PendingRequest): void {
    const key = keyOf(request.message);
    const waiting = this.#requests.get(key);
    if (waiting === undefined || request.message.epoch > waiting.message.epoch) {
      this.#requests.set(key, request);
      return;
    }
    const isUpgrade =
      request.message.kind === 'CloseFeed' &&
      request.message.removed &&
      request.message.epoch === waiting.message.epoch;
    if (isUpgrade) this.#requests.set(key, request);
  }

  /** What waited for `id`, taken out, in the order it came. */
  take(id: string): readonly PendingRequest[] {
    const taken = [...this.#requests.values()].filter(({ message }) => idOfRequest(message) === id);
    for (const { message } of taken) this.#requests.delete(keyOf(message));
    return taken;
  }

  get size(): number {
    return this.#requests.size;
  }
}

function idOfRequest(message: OrchestratorMessage): string {
  return message.kind === 'BootstrapFeed' ? message.config.id : message.id;
}

function keyOf(message: OrchestratorMessage): string {
  return `${message.kind} ${idOfRequest(message)}`;
}
