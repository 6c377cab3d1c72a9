/** The event store port in memory. */
import { failed, failure, ok } from '#src/base/failure.ts';
import type { EventStoreAnswer, EventStoreRequest, StoredBlock } from '#src/ports/event-store.ts';
import type { LivingPort, PortWeather } from './sim-port.ts';
import type { World } from './world.ts';

interface Kept extends StoredBlock {
  readonly part: number;
}

/** A store of one life of a process: it performs its calls in order and fails some of them. */
export function simStore(world: World, weather: PortWeather): LivingPort {
  const spans = new Map<string, Kept[]>();
  let lastAt = 0;
  const arrive = (run: () => void): void => {
    lastAt = Math.max(lastAt, world.now + weather.delay(3));
    world.after(lastAt - world.now, run);
  };
  const execute = (request: EventStoreRequest): EventStoreAnswer => {
    switch (request.kind) {
      case 'Append':
        return append(spans, request.blocks);
      case 'Read':
        world.mark('store read');
        return read(spans.get(request.span) ?? [], request);
      case 'Collect': {
        const kept = spans.get(request.span) ?? [];
        const rest = kept.filter((block) => block.info.lastTs > request.ts);
        spans.set(request.span, rest);
        return { kind: 'Collected', byteCount: bytesOf(kept) - bytesOf(rest) };
      }
      case 'DiscardAfter':
        return discardAfter(world, spans, request.ts);
    }
  };
  return {
    call: (request, answered) => {
      // A disk that cannot be written says so; nothing of the call has happened.
      const willFail = weather.draw() !== 'fine';
      const copied = copy(request as EventStoreRequest);
      arrive(() => {
        const outcome = willFail
          ? failed(failure('STORE_FAILED', 'disk', { retry: 'Again' }))
          : ok(execute(copied));
        world.after(weather.delay(2), () => answered(outcome));
      });
    },
    close: () => {},
  };
}

function discardAfter(world: World, spans: Map<string, Kept[]>, afterTs: number): EventStoreAnswer {
  for (const [span, kept] of spans) {
    const rest = kept.filter((block) => block.info.lastTs <= afterTs);
    if (rest.length < kept.length && afterTs > 0)
      world.mark('incomplete group discarded from the store');
    spans.set(span, rest);
  }
  return { kind: 'Discarded' };
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
