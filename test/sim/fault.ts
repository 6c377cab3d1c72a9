/** What goes wrong in a run, as an explicit schedule: drawn from the seed, made smaller by shrinking, kept in regression files. */
import type { Dice } from './dice.ts';
import type { PortName } from './sim-port.ts';
import type { Mishap } from './sql/sim-machine.ts';
import { gatePaths, threadNames } from './sim-process.ts';

/** One fault. Times are virtual milliseconds. */
export type Fault = {
  /** When it happens, or from when on it waits for `on`. */
  readonly atMs: number;
  /** Happens this long after the mark of this name is next reached. */
  readonly on?: string;
  readonly delayMs?: number;
} & FaultKind;

/** The kinds of faults. */
export type FaultKind =
  /** A cell of a role ends as by a bug. */
  | { readonly kind: 'crash'; readonly role: string; readonly pick: number }
  /** A subtree is fenced; its next life begins `downMs` after the proof. */
  | { readonly kind: 'fence'; readonly team: string; readonly downMs: number }
  | { readonly kind: 'kill-thread'; readonly thread: string }
  /** SIGKILL; the next life starts after `downMs`. */
  | { readonly kind: 'kill-process'; readonly downMs: number }
  | { readonly kind: 'pause-thread'; readonly thread: string; readonly forMs: number }
  | { readonly kind: 'pause-process'; readonly forMs: number }
  /** The process is paused and another one started elsewhere; the first wakes up and lives on beside it for a while. */
  | { readonly kind: 'takeover'; readonly asleepMs: number; readonly awakeMs: number }
  | {
      readonly kind: 'slow-link';
      readonly from: string;
      readonly to: string;
      readonly factor: number;
      readonly forMs: number;
    }
  | {
      readonly kind: 'port';
      readonly port: PortName;
      readonly how: 'before' | 'after' | 'late';
      readonly chance: number;
      readonly forMs: number;
    }
  | { readonly kind: 'port-down'; readonly port: PortName; readonly forMs: number }
  | {
      readonly kind: 'slow-port';
      readonly port: PortName;
      readonly factor: number;
      readonly forMs: number;
    }
  | { readonly kind: 'sink-restart'; readonly downMs: number }
  /** Somebody else locks rows downstream, one after the other. */
  | {
      readonly kind: 'lock-rows';
      readonly pick: number;
      readonly count: number;
      readonly forMs: number;
    }
  /** The next batch, or what the sink writes after it, does not come through as it should. */
  | ({ readonly kind: 'break-batch' } & Mishap)
  | { readonly kind: 'upstream-cut' }
  /** Dies while it writes a large transaction, which never happened. */
  | { readonly kind: 'upstream-crash' }
  /** What the feed has saved as applied leaves the log. */
  | { readonly kind: 'purge' }
  /** Everything leaves the log. */
  | { readonly kind: 'purge-all' }
  /** The log ends before what was applied: the server was restored from an older state. */
  | { readonly kind: 'lose-tail' }
  /** The coordination store is restored from a backup, or starts empty. */
  | { readonly kind: 'restore-coordination' }
  | { readonly kind: 'stop-start'; readonly forMs: number };

const roleNames = [
  'dispatcher',
  'dispatcher',
  'dispatcher-manager',
  'maintainer',
  'log-puller',
  'event-service',
  'coordinator',
  'elector',
  'maintainer-manager',
  'dispatcher-orchestrator',
];

const ports: readonly PortName[] = ['upstream', 'sink', 'sink', 'event-store', 'coordination'];

/** Moments at which a fault hurts most. */
const moments = [
  'maintainer ddl saving',
  'maintainer ddl ddl',
  'maintainer ddl grouping',
  'maintainer raising',
  'maintainer finishing',
  'dispatcher raising',
  'dispatcher recovering',
  'large transaction staged',
  'batch of several lanes',
  'batch cut',
  'batch sent',
  'batch sent',
  'batch sent',
  'store read',
  'DDL ran',
];

/** A packet that was held up arrives within this time. */
const lateMsMax = 20_000;
/** A process that is cut off comes back within this time. */
const offlineMsMax = 2_000;

/** Draws what becomes of a write. */
export function drawMishap(dice: Dice): Mishap {
  return {
    how: dice.of(['lost', 'unanswered', 'late', 'late'] as const),
    // Mostly the batch itself; else what comes after it, which may be the question what became of it.
    after: dice.chance(0.7) ? 0 : dice.pick(4),
    brokenAfterMs: dice.next() * 10,
    // Late enough for what was sent again and the next batch to come before it.
    lateMs: 150 + dice.magnitude(lateMsMax),
    offlineMs: dice.chance(0.2) ? dice.magnitude(offlineMsMax) : 0,
  };
}

type Draw = (dice: Dice) => FaultKind;

const draws: Readonly<Record<FaultKind['kind'], Draw>> = {
  crash: (dice) => ({ kind: 'crash', role: dice.of(roleNames), pick: dice.pick(8) }),
  fence: (dice) => ({ kind: 'fence', team: dice.of(gatePaths), downMs: dice.magnitude(2_000) }),
  'kill-thread': (dice) => ({ kind: 'kill-thread', thread: dice.of(threadNames.slice(1)) }),
  'kill-process': (dice) => ({ kind: 'kill-process', downMs: dice.magnitude(3_000) }),
  'pause-thread': (dice) => ({
    kind: 'pause-thread',
    thread: dice.of(threadNames),
    forMs: dice.magnitude(8_000),
  }),
  'pause-process': (dice) => ({ kind: 'pause-process', forMs: dice.magnitude(15_000) }),
  takeover: (dice) => ({
    kind: 'takeover',
    asleepMs: dice.magnitude(8_000),
    awakeMs: dice.magnitude(2_000),
  }),
  'slow-link': (dice) => {
    const from = dice.of(threadNames);
    // A thread has no link to itself.
    const to = dice.of(threadNames.filter((name) => name !== from));
    return {
      kind: 'slow-link',
      from,
      to,
      factor: dice.magnitude(200),
      forMs: dice.magnitude(5_000),
    };
  },
  port: (dice) => ({
    kind: 'port',
    port: dice.of(ports),
    how: dice.of(['before', 'after', 'late'] as const),
    chance: 0.02 + dice.next() * 0.4,
    forMs: dice.magnitude(4_000),
  }),
  'port-down': (dice) => ({
    kind: 'port-down',
    port: dice.of(ports),
    forMs: dice.magnitude(4_000),
  }),
  'slow-port': (dice) => ({
    kind: 'slow-port',
    port: dice.of(ports),
    factor: dice.magnitude(200),
    forMs: dice.magnitude(4_000),
  }),
  'sink-restart': (dice) => ({ kind: 'sink-restart', downMs: dice.magnitude(2_000) }),
  'lock-rows': (dice) => ({
    kind: 'lock-rows',
    pick: dice.pick(64),
    count: dice.between(1, 4),
    forMs: 100 + dice.magnitude(12_000),
  }),
  'break-batch': (dice) => ({ kind: 'break-batch', ...drawMishap(dice) }),
  'upstream-cut': () => ({ kind: 'upstream-cut' }),
  'upstream-crash': () => ({ kind: 'upstream-crash' }),
  purge: () => ({ kind: 'purge' }),
  'purge-all': () => ({ kind: 'purge-all' }),
  'lose-tail': () => ({ kind: 'lose-tail' }),
  'restore-coordination': () => ({ kind: 'restore-coordination' }),
  'stop-start': (dice) => ({ kind: 'stop-start', forMs: dice.magnitude(4_000) }),
};

/** Kinds that end a feed in a failed state: few runs have them. */
const final: readonly FaultKind['kind'][] = ['purge-all', 'lose-tail'];

/** Draws the faults of one run: a few kinds, often few faults, sometimes many. */
export function drawFaults(dice: Dice, safetyMs: number): Fault[] {
  const kinds = (Object.keys(draws) as FaultKind['kind'][]).filter((kind) =>
    dice.chance(final.includes(kind) ? 0.02 : 0.35),
  );
  if (kinds.length === 0) return [];
  const count = Math.round(dice.magnitude(40));
  return faultsOf(dice, count, safetyMs, () => ({
    kind: draws[dice.of(kinds)](dice),
    on: dice.chance(0.4) ? dice.of(moments) : null,
  }));
}

/** What comes between a sink, its connections and its server while batches are under way. */
const sinkDraws: readonly Draw[] = [
  draws['break-batch'],
  draws['break-batch'],
  draws['break-batch'],
  draws['lock-rows'],
  draws['lock-rows'],
  draws['takeover'],
  draws['pause-process'],
  draws['kill-process'],
  draws['sink-restart'],
];

const sinkMoments = ['batch sent', 'batch sent', 'batch of several lanes'];

/** More of what a sink meets: without it few batches are under way when something breaks. */
export function drawSinkFaults(dice: Dice, safetyMs: number): Fault[] {
  const kinds = sinkDraws.filter(() => dice.chance(0.5));
  if (kinds.length === 0) return [];
  const count = 3 + Math.round(dice.magnitude(40));
  return faultsOf(dice, count, safetyMs, () => ({
    kind: dice.of(kinds)(dice),
    on: dice.chance(0.6) ? dice.of(sinkMoments) : null,
  }));
}

/** The stream breaks while somebody has half of a transaction: drawn like the others it mostly breaks between two. */
export function drawStreamFaults(dice: Dice, safetyMs: number): Fault[] {
  const count = dice.between(1, 6);
  return faultsOf(dice, count, safetyMs, () => ({
    kind: draws[dice.chance(0.8) ? 'upstream-cut' : 'upstream-crash'](dice),
    on: 'chunk ends within a transaction',
  }));
}

/** Somebody locks rows for longer than a transaction waits for them, again and again, mostly while one is under way. */
export function drawLockFaults(dice: Dice, safetyMs: number, secondMs: number): Fault[] {
  return faultsOf(dice, dice.between(8, 48), safetyMs, () => ({
    kind: {
      kind: 'lock-rows',
      pick: dice.pick(64),
      count: dice.between(1, 2),
      forMs: secondMs * (1 + dice.magnitude(30)),
    },
    on: dice.chance(0.7) ? 'batch sent' : null,
  }));
}

function faultsOf(
  dice: Dice,
  count: number,
  safetyMs: number,
  draw: () => { readonly kind: FaultKind; readonly on: string | null },
): Fault[] {
  const faults = Array.from({ length: count }, (): Fault => {
    const { kind, on } = draw();
    const atMs = Math.round(dice.next() * safetyMs);
    if (on === null) return { atMs, ...kind };
    return { atMs, on, delayMs: dice.next() * 8, ...kind };
  });
  return faults.sort((a, b) => a.atMs - b.atMs);
}
