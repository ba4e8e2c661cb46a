%% Runs scenarios on OTP's own supervisor, and says what happened. otp_peer.py talks to it.
%%
%% It reads one term a line, {Tree, Plans, Actions}, and answers with one line of JSON: a list with one
%% [Result, Trace, State] for the start and for each action. A scenario is over before the next one begins.
%%
%% What supervision of ours keeps over a supervisor's restart (children that came by start_child, terminated and
%% deleted ones) is kept here by `init`, which is the business of a callback module and not of supervisor.erl.
-module(otp_driver).
-export([main/0, init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, start_worker/1, start_sup/1,
         start_stopped/2]).

-define(TIMEOUT, 5000).

main() ->
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    ets:new(world, [named_table, public]),
    ets:new(trace, [named_table, public, ordered_set]),
    io:setopts(standard_io, [binary, {encoding, latin1}]),
    loop().

loop() ->
    case io:get_line(standard_io, "") of
        eof -> halt(0);
        Line ->
            {ok, Tokens, _} = erl_scan:string(binary_to_list(Line)),
            {ok, Term} = erl_parse:parse_term(Tokens),
            io:put_chars([json(scenario(Term)), "\n"]),
            loop()
    end.

scenario({Tree, Plans, Actions}) ->
    ets:delete_all_objects(world),
    ets:delete_all_objects(trace),
    ets:insert(world, [{seq, 0}, {root, element(2, Tree)}]),
    [ets:insert(world, {{plan, Id}, Plan}) || {Id, Plan} <- Plans],
    remember(Tree),
    First = case supervisor:start_link(otp_driver, {sup, element(2, Tree)}) of
                {ok, _} -> ok;
                {error, _} -> failed
            end,
    Start = entry(First),
    Log = [entry(act(Action)) || Action <- Actions],
    Stop = entry(end_root(root())),
    flush(),
    [Start] ++ Log ++ [Stop].

end_root(undefined) -> ok;
end_root(Pid) ->
    Ref = monitor(process, Pid),
    exit(Pid, shutdown),
    receive {'DOWN', Ref, _, _, _} -> ok end.

flush() ->
    receive _ -> flush() after 0 -> ok end.

entry(Result) ->
    quiet(),
    Trace = [Event || {_, Event} <- ets:tab2list(trace)],
    ets:delete_all_objects(trace),
    [Result, Trace, state()].

%% -- the tree -------------------------------------------------------------------------------------------

%% {worker, Id, Restart, Significant, Shutdown}
%% {sup, Id, Strategy, Intensity, Period, AutoShutdown, Restart, Significant, Shutdown, Children}
%% {dyn, Id, ChildRestart, Intensity, Period, ChildShutdown, Restart, Significant, Shutdown, []}

remember({worker, _, _, _, _}) -> ok;
remember(Sup) ->
    Children = element(10, Sup),
    ets:insert(world, {{spec, element(2, Sup)}, setelement(10, Sup, [])}),
    ets:insert(world, {{children, element(2, Sup)}, Children}),
    [remember(Child) || Child <- Children].

children(Id) ->
    ets:lookup_element(world, {children, Id}, 2).

child_spec({worker, Id, Restart, Significant, Shutdown}) ->
    #{id => Id, start => {?MODULE, start_worker, [Id]}, restart => Restart, significant => Significant,
      shutdown => Shutdown, type => worker};
child_spec({_, Id, _, _, _, _, Restart, Significant, Shutdown, _}) ->
    #{id => Id, start => {?MODULE, start_sup, [Id]}, restart => Restart, significant => Significant,
      shutdown => Shutdown, type => supervisor}.

%% A child that administration has stopped is there when its supervisor starts anew, without a process.
kept_spec(Sup, Child) ->
    Spec = #{id := Id, start := Start} = child_spec(Child),
    case ets:member(world, {stopped, Sup, Id}) of
        true -> Spec#{start => {?MODULE, start_stopped, [Id, Start]}};
        false -> Spec
    end.

start_stopped(Id, {M, F, A}) ->
    case put({offered, Id}, true) of
        undefined -> ignore;
        true -> apply(M, F, A)
    end.

start_worker(Id) ->
    not_stopped(Id),
    gen_server:start_link(?MODULE, {worker, Id}, []).

start_sup(Id) ->
    not_stopped(Id),
    supervisor:start_link(?MODULE, {sup, Id}).

%% Administration has started it, or a restart of its group has.
not_stopped(Id) -> ets:match_delete(world, {{stopped, '_', Id}}).

init({sup, Id}) ->
    ets:insert(world, {{pid, Id}, self()}),
    say([$*, atom_to_list(Id)]),
    case ets:lookup_element(world, {spec, Id}, 2) of
        {sup, Id, Strategy, Intensity, Period, Auto, _, _, _, _} ->
            {ok, {#{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => Auto},
                  [kept_spec(Id, Child) || Child <- children(Id)]}};
        {dyn, Id, Restart, Intensity, Period, Shutdown, _, _, _, _} ->
            {ok, {#{strategy => simple_one_for_one, intensity => Intensity, period => Period},
                  [#{id => any, start => {?MODULE, start_worker, []}, restart => Restart, shutdown => Shutdown}]}}
    end;
init({worker, Id}) ->
    process_flag(trap_exit, true),
    case ets:lookup(world, held) of
        [{held, Id, Driver}] ->
            Driver ! {holding, self()},
            receive go -> ok end;
        _ -> ok
    end,
    case next(Id) of
        ok ->
            ets:insert(world, {{pid, Id}, self()}),
            say([$+, atom_to_list(Id)]),
            {ok, {Id, says}};
        ignore ->
            say([$?, atom_to_list(Id)]),
            ignore;
        fail ->
            say([$!, atom_to_list(Id)]),
            {stop, planned}
    end.

next(Id) ->
    case ets:lookup(world, {plan, Id}) of
        [{_, [Next | Rest]}] ->
            ets:insert(world, {{plan, Id}, Rest}),
            Next;
        _ -> ok
    end.

say(Event) ->
    ets:insert(trace, {ets:update_counter(world, seq, 1), iolist_to_binary(Event)}).

%% -- workers --------------------------------------------------------------------------------------------

handle_call({link, Pid}, _From, State) ->
    link(Pid),
    {reply, ok, State}.

handle_cast({crash, normal}, State) -> {stop, normal, State};
handle_cast({crash, shutdown}, State) -> {stop, shutdown, State};
handle_cast({crash, info}, State) -> {stop, {shutdown, info}, State};
handle_cast({crash, error}, State) -> {stop, boom, State}.

%% As a process that traps no exits, but for `terminate`.
handle_info({'EXIT', _, normal}, State) -> {noreply, State};
handle_info({'EXIT', _, killed}, {Id, _}) -> {stop, killed, {Id, silent}};
handle_info({'EXIT', _, Reason}, State) -> {stop, Reason, State};
handle_info(_, State) -> {noreply, State}.

terminate(_, {_, silent}) -> ok;
terminate(Reason, {Id, says}) -> say([$-, atom_to_list(Id), " ", kind(Reason)]).

kind(normal) -> "normal";
kind(shutdown) -> "shutdown";
kind({shutdown, _}) -> "shutdown";
kind(killed) -> "killed";
kind(_) -> "error".

%% -- actions --------------------------------------------------------------------------------------------

act({crash, Id, How}) ->
    crash(Id, How);
act({age, Seconds}) ->
    [age(Pid, Seconds) || {{spec, Id}, _} <- ets:tab2list(world), Pid <- [pid(Id)], Pid =/= undefined],
    ok;
act({link, A, B}) ->
    case {pid(A), pid(B)} of
        {undefined, _} -> noproc;
        {_, undefined} -> noproc;
        {P, Q} -> gen_server:call(P, {link, Q})
    end;
act({plan, Id, Plan}) ->
    ets:insert(world, {{plan, Id}, Plan}),
    ok;
act({during, Id, How, Others, Tries}) ->
    ets:insert(world, {held, Id, self()}),
    Crashed = {done, crash(Id, How)},
    Results = tries(Others, Tries, [Crashed]),
    ets:delete(world, held),
    heard(Results);
act(Request) ->
    hear(send(Request)).

%% While a start is held the crashes of others come first, then the requests; then it goes on. All wait meanwhile, and
%% may wait over several tries. `Sent` is what they came to so far.
tries(Others, [], Sent) ->
    Sent ++ crashes(Others);
tries(Others, [Requests | Rest], Sent) ->
    quiet(),
    receive
        {holding, Pid} ->
            Crashed = crashes(Others),
            More = [send(Request) || Request <- Requests],
            case Rest of
                [] -> ets:delete(world, held);
                _ -> ok
            end,
            Pid ! go,
            tries([], Rest, Sent ++ Crashed ++ More)
    after 0 ->
        ets:delete(world, held),
        Before = [{done, Result} || Result <- heard(Sent)],
        Crashed = crashes(Others),
        quiet(),
        More = [{done, act_quietly(Request)} || Request <- Requests],
        tries([], Rest, Before ++ Crashed ++ More)
    end.

crashes(Others) -> [{done, crash(Id, How)} || {Id, How} <- Others].

act_quietly(Request) ->
    Result = act(Request),
    quiet(),
    Result.

crash(Id, How) ->
    case pid(Id) of
        undefined -> noproc;
        Pid ->
            Ref = monitor(process, Pid),
            case How of
                kill -> exit(Pid, kill);
                _ -> gen_server:cast(Pid, {crash, How})
            end,
            receive {'DOWN', Ref, _, _, _} -> ok after ?TIMEOUT -> stuck end
    end.

send({Kind, Sup, What} = Request) ->
    case pid(Sup) of
        undefined -> {done, noproc};
        Pid ->
            case message(Kind, dynamic(Sup), Sup, What) of
                {answer, Result} -> {done, Result};
                Message -> asker(Request, Pid, Message)
            end
    end.

%% A process of its own asks, and notes the answer before the supervisor does more than it has to.
asker({Kind, Sup, What}, Pid, Message) ->
    Driver = self(),
    Asker = spawn(fun() ->
        process_flag(priority, high),
        RequestId = gen_server:send_request(Pid, Message),
        Driver ! {asked, self()},
        Answer = case gen_server:receive_response(RequestId, ?TIMEOUT) of
                     {reply, Reply} -> done(Kind, Sup, What, Reply);
                     {error, _} -> noproc;
                     timeout -> stuck
                 end,
        Driver ! {answer, self(), Answer}
    end),
    receive {asked, Asker} -> Asker end.

message(which, _, _, _) -> which_children;
message(start, true, _, Child) -> {start_child, [element(2, Child)]};
message(start, false, _, Child) ->
    forget_below(Child),
    {start_child, child_spec(Child)};
message(terminate, true, _, Id) ->
    case pid(Id) of
        undefined -> {answer, not_found};
        Pid -> {terminate_child, Pid}
    end;
message(terminate, false, _, Id) -> {terminate_child, Id};
message(restart, _, _, Id) -> {restart_child, Id};
message(delete, _, _, Id) -> {delete_child, Id}.

%% The spec of a supervisor that is there already stays as it is.
forget_below({worker, _, _, _, _}) -> ok;
forget_below(Sup) ->
    case ets:member(world, {spec, element(2, Sup)}) of
        true -> ok;
        false -> remember(Sup)
    end.

heard(Sent) -> [hear(One) || One <- Sent].

hear({done, Result}) -> Result;
hear(Asker) -> receive {answer, Asker, Result} -> Result end.

done(which, Sup, _, Children) ->
    [[name(Id, Pid), status(Pid)] || {Id, Pid, _, _} <- Children, dynamic(Sup) =:= false orelse Pid =/= undefined];
done(start, Sup, Child, Reply) ->
    Result = result(Reply),
    case (Result =:= ok orelse Result =:= ignored) andalso not dynamic(Sup) of
        true ->
            case restart_of(Child) of
                temporary -> ok;
                _ ->
                    Id = element(2, Child),
                    ets:delete(world, {stopped, Sup, Id}),
                    ets:insert(world, {{children, Sup}, [C || C <- children(Sup), element(2, C) =/= Id] ++ [Child]})
            end;
        false -> ok
    end,
    Result;
done(terminate, Sup, Id, ok) ->
    case dynamic(Sup) orelse [C || C <- children(Sup), element(2, C) =:= Id, restart_of(C) =/= temporary] of
        [_] -> ets:insert(world, {{stopped, Sup, Id}});
        _ -> ok
    end,
    ok;
done(restart, Sup, Id, Reply) ->
    case result(Reply) of
        failed -> ets:insert(world, {{stopped, Sup, Id}}), failed;
        Other -> Other
    end;
done(delete, Sup, Id, ok) ->
    ets:insert(world, {{children, Sup}, [C || C <- children(Sup), element(2, C) =/= Id]}),
    ets:delete(world, {stopped, Sup, Id}),
    erase_spec(Id),
    ok;
done(_, _, _, Reply) -> result(Reply).

erase_spec(Id) ->
    case ets:member(world, {spec, Id}) of
        false -> ok;
        true ->
            [erase_spec(element(2, Child)) || Child <- children(Id)],
            ets:match_delete(world, {{stopped, Id, '_'}}),
            ets:delete(world, {spec, Id}),
            ets:delete(world, {children, Id})
    end.

restart_of({worker, _, Restart, _, _}) -> Restart;
restart_of(Sup) -> element(7, Sup).

result(ok) -> ok;
result({ok, undefined}) -> ignored;
result({ok, _}) -> ok;
result({error, {already_started, _}}) -> already_started;
result({error, simple_one_for_one}) -> refused;
result({error, Reason}) when is_atom(Reason), Reason =/= planned -> Reason;
result({error, _}) -> failed.

%% A minute passes: the restarts that a supervisor has on record are older by then.
age(Pid, Seconds) ->
    sys:replace_state(Pid, fun(State) ->
        setelement(8, State, [At - Seconds || At <- element(8, State)])
    end).

%% -- what there is ----------------------------------------------------------------------------------------

pid(Id) ->
    case ets:lookup(world, {pid, Id}) of
        [{_, Pid}] -> case is_process_alive(Pid) of true -> Pid; false -> undefined end;
        [] -> undefined
    end.

root() -> pid(ets:lookup_element(world, root, 2)).

dynamic(Id) ->
    case ets:lookup(world, {spec, Id}) of
        [{_, Spec}] -> element(1, Spec) =:= dyn;
        [] -> false
    end.

state() ->
    case root() of
        undefined ->
            receive {'EXIT', _, shutdown} -> [dead, shutdown];
                    {'EXIT', _, Reason} -> [dead, iolist_to_binary(io_lib:format("~0p", [Reason]))]
            after 0 -> [dead]
            end;
        Pid -> state(ets:lookup_element(world, root, 2), Pid)
    end.

state(Id, Pid) ->
    Children = supervisor:which_children(Pid),
    Counts = supervisor:count_children(Pid),
    [Id, [proplists:get_value(Key, Counts) || Key <- [specs, active, supervisors, workers]],
     [below(name(Child, ChildPid), ChildPid, Type)
      || {Child, ChildPid, Type, _} <- Children, dynamic(Id) =:= false orelse ChildPid =/= undefined]].

below(Id, Pid, supervisor) when is_pid(Pid) -> [Id, running, state(Id, Pid)];
below(Id, Pid, _) -> [Id, status(Pid)].

name(undefined, Pid) when is_pid(Pid) ->
    [[Id]] = ets:match(world, {{pid, '$1'}, Pid}),
    Id;
name(undefined, _) -> restarting;
name(Id, _) -> Id.

status(Pid) when is_pid(Pid) -> running;
status(restarting) -> restarting;
status(undefined) -> stopped.

%% Return once every process of the tree waits for a message, again and again.
quiet() -> quiet(12).

quiet(0) -> ok;
quiet(Passes) ->
    erlang:yield(),
    Known = [Pid || [Pid] <- ets:match(world, {{pid, '_'}, '$1'})],
    case lists:all(fun resting/1, tree(Known)) of
        true -> quiet(Passes - 1);
        false -> quiet(12)
    end.

%% With the processes that are linked to them: those of starts that aren't over.
tree(Known) ->
    Linked = [Other || Pid <- Known, {links, Links} <- [process_info(Pid, links)], Other <- Links, is_pid(Other)],
    lists:usort(Known ++ Linked) -- [self(), whereis(user)].

resting(Pid) ->
    case process_info(Pid, [status, message_queue_len, current_function]) of
        undefined -> true;
        [{status, waiting}, {message_queue_len, 0}, _] -> true;
        [{status, waiting}, {message_queue_len, _}, {current_function, {Module, _, _}}] ->
            Module =:= proc_lib;  % it waits for a start that is held
        _ -> false
    end.

%% -- JSON -------------------------------------------------------------------------------------------------

json(Term) when is_list(Term) -> [$[, lists:join($,, [json(One) || One <- Term]), $]];
json(Term) when is_binary(Term) -> [$", Term, $"];
json(Term) when is_atom(Term) -> [$", atom_to_list(Term), $"];
json(Term) when is_integer(Term) -> integer_to_list(Term).
