%% The peer of the bench of messages: processes of Erlang/OTP that send what our cells send, under the same credit and
%% a guard on epoch and owner. Prints one line of JSON.
-module(messages).
-export([main/0]).

-define(EPOCH, 77).
-define(GRANT, 1000).
-define(UNDER_WAY, 8).

%% Both processes on one scheduler, then one on each of two.
main() ->
    Count = 1000000,
    Same = stream(Count, control, 1, 1),
    Cross = stream(Count, control, 1, 2),
    Rows = stream(50000, rows, 1, 2),
    {P50, P99} = round_trips(20000),
    io:format("{\"sameThread\":~w,\"crossThread\":~w,\"crossThreadRows\":~w,\"roundTripP50\":~w,\"roundTripP99\":~w}~n",
              [Same, Cross, Rows, P50, P99]).

%% Messages per second.
stream(Count, Load, A, B) ->
    Self = self(),
    Sender = spawn_opt(fun() -> receive {go, To} -> start(To, Count, Load) end end, [{scheduler, A}]),
    Receiver = spawn_opt(fun() -> receiver(Self, Sender, Count, 0) end, [{scheduler, B}]),
    T = erlang:monotonic_time(microsecond),
    Sender ! {go, Receiver},
    receive done -> ok end,
    Count * 1000000 div (erlang:monotonic_time(microsecond) - T).

start(To, Count, Load) ->
    sender(To, send_some(To, Count, ?GRANT * ?UNDER_WAY, Load), Load).

sender(_, 0, _) -> ok;
sender(To, Left, Load) ->
    receive {granted, ?EPOCH} -> sender(To, send_some(To, Left, ?GRANT, Load), Load) end.

send_some(_, 0, _, _) -> 0;
send_some(_, Left, 0, _) -> Left;
send_some(To, Left, Room, Load) ->
    To ! {self(), ?EPOCH, Left, message(Load, Left)},
    send_some(To, Left - 1, Room - 1, Load).

message(control, I) -> {dispatcher_watermark, <<"shop.orders_11">>, 123456789012 + I, I band 255, I band 127, 3, 1763700000000 + I};
message(rows, I) -> {dispatcher_watermark, <<"shop.orders_11">>, 123456789012 + I, I band 255, I band 127, 3, <<0:524288>>}.

receiver(Asker, _, 0, _) -> Asker ! done;
receiver(Asker, Owner, Left, Sum) ->
    receive
        {From, Epoch, _Seq, {dispatcher_watermark, _, _, Rows, _, _, _}} when Epoch =:= ?EPOCH, From =:= Owner ->
            (Left - 1) rem ?GRANT =:= 0 andalso (From ! {granted, ?EPOCH}),
            receiver(Asker, Owner, Left - 1, Sum + Rows)
    end.

%% Microseconds, of single messages there and back.
round_trips(Count) ->
    Self = self(),
    Echo = spawn_opt(fun echo/0, [{scheduler, 2}]),
    spawn_opt(fun() -> Self ! {times, [ping(Echo) || _ <- lists:seq(1, Count)]} end, [{scheduler, 1}]),
    receive {times, Times} ->
        Sorted = lists:sort(Times),
        {lists:nth(Count div 2, Sorted) / 1000, lists:nth(Count * 99 div 100, Sorted) / 1000}
    end.

ping(Echo) ->
    T = erlang:monotonic_time(nanosecond),
    Echo ! {self(), ?EPOCH, ping},
    receive pong -> erlang:monotonic_time(nanosecond) - T end.

echo() ->
    receive {From, ?EPOCH, ping} -> From ! pong, echo() end.
