import type { Outcome } from '#src/base/failure.ts';
import type { EventStoreAnswer } from '#src/ports/event-store.ts';

/** Private messages: answers of the event store and the tick. */
export type EventServiceOwn =
  | {
      readonly kind: 'AppendAnswered';
      readonly tag: number;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | {
      readonly kind: 'ReadAnswered';
      readonly tag: string;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | {
      readonly kind: 'CollectAnswered';
      readonly tag: number;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | {
      readonly kind: 'DiscardAnswered';
      readonly tag: string;
      readonly outcome: Outcome<EventStoreAnswer>;
    }
  | { readonly kind: 'TickDue' };
