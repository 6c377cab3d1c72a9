/** The event store port in memory. */
import { failed, failure, ok } from '#src/base/failure.ts';
import type { EventStoreAnswer, EventStoreRequest, StoredBlock } from '#src/ports/event-store.ts';
import type { SimPort } from './sim-thread.ts';
import type { World } from './world.ts';

interface Kept extends StoredBlock {
  readonly part: number;
}

/** A store that performs its calls in order and fails some of them. */
export function simStore(world: World, failChance: () => number): SimPort {
  const spans = new Map<string, Kept[]>();
  const arrive = world.channel(3);
  const execute = (request: EventStoreRequest): EventStoreAnswer => {
    switch (request.kind) {
      case 'Append':
        return append(spans, request.blocks);
      case 'Read':
        return read(spans.get(request.span) ?? [], request);
      case 'Collect': {
        const kept = spans.get(request.span) ?? [];
        const rest = kept.filter((block) => block.info.lastTs > request.ts);
        spans.set(request.span, rest);
        return { kind: 'Collected', byteCount: bytesOf(kept) - bytesOf(rest) };
      }
      case 'DiscardAfter':
        for (const [span, kept] of spans)
          spans.set(
            span,
            kept.filter((block) => block.info.lastTs <= request.ts),
          );
        return { kind: 'Discarded' };
    }
  };
  return (request, answered) => {
    const willFail = world.chance(failChance() / 10);
    const copied = copy(request as EventStoreRequest);
    arrive(() => {
      const outcome = willFail
        ? failed(failure('STORE_FAILED', 'disk', { retry: 'Again' }))
        : ok(execute(copied));
      world.after(world.random() * 2, () => answered(outcome));
    });
  };
}

/** The port copies at the call: the caller moves the bytes away right after. */
function copy(request: EventStoreRequest): EventStoreRequest {
  if (request.kind !== 'Append') return request;
  return {
    kind: 'Append',
    blocks: request.blocks.map(({ info, bytes }) => ({ info, bytes: bytes.slice() })),
  };
}

function append(spans: Map<string, Kept[]>, blocks: readonly StoredBlock[]): EventStoreAnswer {
  for (const block of blocks) {
    const kept = spans.get(block.info.span) ?? [];
    spans.set(block.info.span, kept);
    const last = kept.at(-1);
    const part = last?.info.lastTs === block.info.lastTs ? last.part + 1 : 0;
    kept.push({ ...block, part });
  }
  return { kind: 'Appended', byteCount: bytesOf(blocks) };
}

function read(
  kept: readonly Kept[],
  request: Extract<EventStoreRequest, { kind: 'Read' }>,
): EventStoreAnswer {
  const { after, untilTs, byteCountMax } = request;
  const found = kept.filter(
    ({ info, part }) =>
      (info.lastTs > after.ts || (info.lastTs === after.ts && part > after.part)) &&
      info.lastTs <= untilTs,
  );
  const taken: Kept[] = [];
  for (const block of found) {
    if (taken.length > 0 && bytesOf(taken) + block.info.byteCount > byteCountMax) break;
    taken.push({ ...block, bytes: block.bytes.slice() });
  }
  const last = taken.at(-1);
  return {
    kind: 'Blocks',
    blocks: taken,
    cursor: last === undefined ? after : { ts: last.info.lastTs, part: last.part },
    more: taken.length < found.length,
  };
}

function bytesOf(blocks: readonly StoredBlock[]): number {
  return blocks.reduce((sum, block) => sum + block.info.byteCount, 0);
}
