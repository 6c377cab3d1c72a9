/**
 * How long a fence takes, over cells on two threads: from the call to the last delivery, to the last submit, and to the proof
 * that all are dead. The cells wait for mail, or work without pause (then each core has more to run than one thread, and
 * the tail is the system's time slice), or work beside one that spins. Beside the waiting ones Erlang/OTP: a `one_for_all`
 * supervisor of as many waiting children that gives up when one is killed, until it is down.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { noErlang, runErlang } from './erlang.ts';
import { BenchSystem } from './fence-system.ts';
import { word } from './fence-world.ts';
import { percentile, printLine, round2 } from './figures.ts';

type Load = 'waiting' | 'working' | 'spinning';

/** Milliseconds of one kind of fence. */
export interface FenceCase {
  readonly cells: number;
  readonly load: Load;
  readonly runs: number;
  readonly lastDelivery: Spread;
  readonly lastSubmit: Spread;
  readonly allDead: Spread;
  /** Erlang's supervisor of as many children, down. */
  readonly erlang?: Spread;
  /** Medians: Erlang's / ours. */
  readonly ratio?: number;
}

interface Spread {
  readonly p50: number;
  readonly p99: number;
}

const runCounts: readonly (readonly [cells: number, runs: number, spinningRuns: number])[] = [
  [1, 100, 10],
  [100, 100, 10],
  [1_000, 100, 10],
  [10_000, 20, 5],
];

/** Runs the bench; prints a table unless `json`. */
export async function fence(options: { readonly json: boolean }): Promise<object> {
  const peer = erlang();
  const bench = await BenchSystem.start();
  const cases: FenceCase[] = [];
  for (const [cells, runs, spinningRuns] of runCounts) {
    cases.push(await measure(bench, { cells, load: 'waiting', runs }, peer?.get(cells)));
    cases.push(await measure(bench, { cells, load: 'working', runs }, undefined));
    cases.push(await measure(bench, { cells, load: 'spinning', runs: spinningRuns }, undefined));
  }
  await bench.stop();
  if (!options.json) print(cases);
  const note = peer === null ? { note: noErlang } : {};
  return {
    name: 'fence',
    unit: 'ms',
    peer: 'Erlang/OTP one_for_all, 2 schedulers',
    cases,
    ...note,
  };
}

async function measure(
  bench: BenchSystem,
  what: { readonly cells: number; readonly load: Load; readonly runs: number },
  peer: readonly number[] | undefined,
): Promise<FenceCase> {
  const { cells, load, runs } = what;
  const spinner = load === 'spinning';
  const does = load === 'waiting' ? 'wait' : 'work';
  const times = { delivery: [] as number[], submit: [] as number[], dead: [] as number[] };
  // The first runs warm up.
  for (let run = -3; run < runs; run++) {
    Atomics.store(bench.words, word.spinning, 0n);
    await bench.spawn({ count: cells, does, spinner });
    await sleep(2);
    // Among many cells its turn comes late.
    if (spinner) while (Atomics.load(bench.words, word.spinning) === 0n) await sleep(1);
    const calledNs = process.hrtime.bigint();
    const proof = await bench.system.fence('bench', 'bench/w');
    const deadMs = Number(process.hrtime.bigint() - calledNs) / 1e6;
    if (!proof.isProven) throw new Error('a fence was not proven');
    if (run >= 0) {
      times.delivery.push(bench.after(word.delivery, calledNs));
      times.submit.push(bench.after(word.submit, calledNs));
      times.dead.push(deadMs);
    }
    while (proof.terminated.length > 0 && !(await isWhole(bench))) await sleep(5);
    bench.system.revive('bench/w');
  }
  const erlang = peer === undefined ? {} : { erlang: spread(peer) };
  const ratio =
    peer === undefined ? {} : { ratio: round2(spread(peer).p50 / spread(times.dead).p50) };
  return {
    cells,
    load,
    runs,
    lastDelivery: spread(times.delivery),
    lastSubmit: spread(times.submit),
    allDead: spread(times.dead),
    ...erlang,
    ...ratio,
  };
}

/** Whether a terminated thread is up again. */
async function isWhole(bench: BenchSystem): Promise<boolean> {
  return Object.keys((await bench.system.inspect()).threads).length === 3;
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { p50: round3(percentile(sorted, 0.5)), p99: round3(percentile(sorted, 0.99)) };
}

function round3(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function erlang(): ReadonlyMap<number, readonly number[]> | null {
  const lines = runErlang('fencepeer', erlangSource);
  if (lines === null) return null;
  const rows = lines as readonly { readonly cells: number; readonly us: readonly number[] }[];
  return new Map(rows.map(({ cells, us }) => [cells, us.map((one) => one / 1000)]));
}

const erlangSource = `
-module(fencepeer).
-behaviour(supervisor).
-export([main/0, init/1, child/0, loop/0]).
main() -> [cases(N, Runs) || {N, Runs} <- [{1,100},{100,100},{1000,50},{10000,10}]].
cases(N, Runs) ->
  [once(N) || _ <- lists:seq(1, 3)],
  Us = [once(N) || _ <- lists:seq(1, Runs)],
  io:format("{\\"cells\\":~p,\\"us\\":~w}~n", [N, Us]).
once(N) ->
  process_flag(trap_exit, true),
  {ok, Sup} = supervisor:start_link(?MODULE, N),
  Ref = monitor(process, Sup),
  [{_, Pid, _, _} | _] = supervisor:which_children(Sup),
  T0 = erlang:monotonic_time(microsecond),
  exit(Pid, kill),
  receive {'DOWN', Ref, process, _, _} -> ok end,
  T1 = erlang:monotonic_time(microsecond),
  receive {'EXIT', Sup, _} -> ok end,
  T1 - T0.
init(N) ->
  logger:set_primary_config(level, none),
  {ok, {#{strategy => one_for_all, intensity => 0, period => 1},
    [#{id => I, start => {?MODULE, child, []}, restart => permanent, shutdown => brutal_kill} || I <- lists:seq(1, N)]}}.
child() -> {ok, spawn_link(?MODULE, loop, [])}.
loop() -> receive stop -> ok end.
`;

function print(cases: readonly FenceCase[]): void {
  printLine(['cells', 'last delivery', 'last submit', 'all dead', 'Erlang', 'ratio']);
  const text = (value: Spread | undefined): string =>
    value === undefined ? '' : `${value.p50} / ${value.p99}`;
  for (const { cells, load, lastDelivery, lastSubmit, allDead, erlang: peer, ratio } of cases) {
    printLine([
      `${cells} ${load}`,
      text(lastDelivery),
      text(lastSubmit),
      text(allDead),
      text(peer),
      ratio ?? '',
    ]);
  }
  process.stdout.write('ms, p50 / p99\n');
}
