/**
 * How long it takes until `count` dynamic children on two threads have been started and announced to who asked for them.
 * Beside it Erlang/OTP: as many `supervisor:start_child` under `simple_one_for_one`.
 */
import { noErlang, runErlang } from './erlang.ts';
import { BenchSystem } from './fence-system.ts';
import { median, printLine, round2 } from './figures.ts';

/** Children started per second, median. */
export interface SpawnCase {
  readonly cells: number;
  readonly milliseconds: number;
  readonly perSecond: number;
  readonly erlangPerSecond?: number;
  readonly ratio?: number;
}

const runs = 9;
const counts = [1, 100, 1_000, 10_000];

/** Runs the bench; prints a table unless `json`. */
export async function spawn(options: { readonly json: boolean }): Promise<object> {
  const lines = runErlang('spawnpeer', erlangSource);
  const rows = lines as
    | readonly { readonly cells: number; readonly us: readonly number[] }[]
    | null;
  const bench = await BenchSystem.start();
  const cases: SpawnCase[] = [];
  for (const cells of counts) {
    const times: number[] = [];
    for (let run = -2; run < runs; run++) {
      const ms = await bench.spawn({ count: cells, does: 'wait', spinner: false });
      if (run >= 0) times.push(ms);
      await bench.system.fence('bench', 'bench/w');
      bench.system.revive('bench/w');
    }
    const milliseconds = median(times);
    const peer = rows?.find((row) => row.cells === cells);
    const perSecond = Math.round((cells / milliseconds) * 1000);
    const erlangPerSecond = peer === undefined ? 0 : Math.round((cells / median(peer.us)) * 1e6);
    cases.push({
      cells,
      milliseconds: round2(milliseconds),
      perSecond,
      ...(peer === undefined
        ? {}
        : { erlangPerSecond, ratio: round2(perSecond / erlangPerSecond) }),
    });
  }
  await bench.stop();
  if (!options.json) print(cases);
  const note = rows === null ? { note: noErlang } : {};
  return { name: 'spawn', unit: 'cells/s', peer: 'Erlang/OTP simple_one_for_one', cases, ...note };
}

const erlangSource = `
-module(spawnpeer).
-behaviour(supervisor).
-export([main/0, init/1, child/0, loop/0]).
main() -> [cases(N) || N <- [1, 100, 1000, 10000]].
cases(N) ->
  [once(N) || _ <- lists:seq(1, 2)],
  io:format("{\\"cells\\":~p,\\"us\\":~w}~n", [N, [once(N) || _ <- lists:seq(1, 9)]]).
once(N) ->
  process_flag(trap_exit, true),
  {ok, Sup} = supervisor:start_link(?MODULE, []),
  T0 = erlang:monotonic_time(microsecond),
  [supervisor:start_child(Sup, []) || _ <- lists:seq(1, N)],
  T1 = erlang:monotonic_time(microsecond),
  exit(Sup, kill),
  receive {'EXIT', Sup, _} -> ok end,
  max(1, T1 - T0).
init(_) ->
  {ok, {#{strategy => simple_one_for_one}, [#{id => c, start => {?MODULE, child, []}, restart => temporary, shutdown => brutal_kill}]}}.
child() -> {ok, spawn_link(?MODULE, loop, [])}.
loop() -> receive stop -> ok end.
`;

function print(cases: readonly SpawnCase[]): void {
  printLine(['cells', 'ms', 'cells/s', 'Erlang', 'ratio']);
  for (const { cells, milliseconds, perSecond, erlangPerSecond, ratio } of cases)
    printLine([`${cells}`, milliseconds, perSecond, erlangPerSecond ?? '', ratio ?? '']);
}
