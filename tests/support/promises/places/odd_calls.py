"""Calls from wrong places, and values that come back different: what user code does with a node that it must not do.

Each call has to be refused by an error, and to leave nothing behind. What it would have sent has a forbidden number.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any

from door_actors import first_step
from odd_messages import Plain, Question, carrier
from odd_script import Script
from odd_values import BAD, GOOD, VALUES

from greenroom import ActorSystem, SystemStopped, TurnClosed, UndecodableMessage, WrongThread

__all__ = ("ABROAD", "DOORS", "INSIDE", "PLACES", "STRAYS", "attempt", "begin", "in_place", "stray", "stray_now")

Call = Callable[[], Any]


def _plain() -> Plain:
    return Plain(number=Script.forbid())


async def _nothing() -> None:
    Script.note("a task of a wrong call ran")


DOORS: dict[str, Callable[[ActorSystem, str], Any]] = {
    "tell": lambda s, to: s.ref(to).tell(_plain()),
    "tell with a key": lambda s, to: s.ref(to).tell(_plain(), key="forbidden"),
    "tell first": lambda s, to: s.ref(to).tell(_plain(), priority=1),
    "tell later": lambda s, to: s.ref(to).tell(_plain(), delay_s=0.0),
    "ask": lambda s, to: s.ref(to).ask(Question(number=Script.forbid())),
    "partition": lambda s, _: s.ref("/t/pool").partition("p"),
    "idle": lambda s, _: s.idle(),
    "stop": lambda s, _: s.stop(),
    "subscribe": lambda s, _: s.subscribe(),
    "trace": lambda s, to: s.trace(to),
    "tell all": lambda s, _: s.group("g").tell_all(_plain()),
    "tell one": lambda s, _: s.group("g").tell_one(_plain()),
    "start a task": lambda s, _: s.tasks("/t/tasks").start(_nothing),
    "run a task": lambda s, _: s.tasks("/t/tasks").run(_nothing),
}
INSIDE: dict[str, Callable[[Any], Any]] = {
    "stop itself": lambda a: a.stop(),
    "retire": lambda a: a.retire(),
    "monitor": lambda a: a.monitor(a.system.ref("/t/innocent")),
    "link": lambda a: a.link(a.system.ref("/t/innocent")),
    "schedule": lambda a: a.schedule(_plain(), after_s=0.0),
    "stash": lambda a: a.stash(),
    "join": lambda a: a.join("g"),
    "transaction": lambda a: a.transaction(),
    "settled": lambda a: a.turn.settled(),
    "tell itself": lambda a: a.ref.tell(_plain()),
}


def attempt(door: str, call: Call, *where: str) -> None:
    """Make a call that has to be refused with one of these `WrongThread.where`; note it if it isn't."""
    try:
        found = first_step(call())
    except WrongThread as error:
        if error.where not in where:
            Script.note(f"{door}: {error}")
    except TurnClosed:
        if door != "settled":  # `self.turn` of a turn that was cut off
            Script.note(f"{door}: the turn was asked for first")
    except BaseException as error:
        Script.note(f"{door}: {error!r}")
    else:
        Script.note(f"{door} was let in, and gave {found!r}")


def begin(job: Call, context: Context | None = None) -> Future[Any]:
    """Run a job in a thread, with the context of the caller if none is given."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # nobody can cancel a thread
    context = copy_context() if context is None else context

    def run() -> None:
        try:
            future.set_result(context.run(job))
        except BaseException as error:
            future.set_exception(error)

    Script.threads.append(future)
    threading.Thread(target=run, daemon=True).start()
    return future


def in_a_thread(door: str, call: Call) -> Future[Any]:
    return begin(lambda: attempt(door, call, "thread", "stopped"))


def in_a_bare_thread(door: str, call: Call) -> Future[Any]:
    return begin(lambda: attempt(door, call, "thread", "stopped"), Context())


def in_a_second_loop(door: str, call: Call) -> Future[Any]:
    return begin(lambda: on_another_loop(door, call))


def on_another_loop(door: str, call: Call) -> None:
    async def calls() -> None:
        attempt(door, call, "loop")

    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(calls())
    finally:
        loop.close()


def while_none_runs(door: str, call: Call) -> None:
    attempt(door, call, "stopped")


def in_a_child(door: str, call: Call) -> None:
    """In a forked child, whose copy of the node is put away."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads; the child doesn't need them
        pid = os.fork()
    if not pid:
        status = 1
        try:
            Script.loop = None
            Script.wrong.clear()
            attempt(door, call, "process")
            status = len(Script.wrong)
        finally:
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        Script.note(f"{door} wasn't refused in a forked child")


PLACES: dict[str, Callable[[str, Call], Future[Any]]] = {
    "a thread": in_a_thread,
    "a bare thread": in_a_bare_thread,
    "a second loop": in_a_second_loop,
}
"""The places that user code anywhere can reach."""
ABROAD: dict[str, Callable[[str, Call], None]] = {
    "no loop": while_none_runs,
    "the loop's place": on_another_loop,
    "a child": in_a_child,
}
"""The places where the node's loop stands still meanwhile."""


# -- as acts -----------------------------------------------------------------------------------------------


STRAYS = {
    "call": [f"calls {door}; {place}" for door in DOORS for place in PLACES],
    "call itself": [f"calls {door}; {place}" for door in INSIDE for place in PLACES],
    "keep": [f"keeps {name}" for name in VALUES],
    "tell": [f"tells {name}" for name in BAD]
    + [f"tries to {verb} {name}" for name in BAD for verb in ("tell", "schedule")],
}
"""The names of acts, by what they need: nothing; a life; a state that is stored; a life."""


def in_place(what: str, actor: Any) -> Future[Any] | None:
    """Begin the call of an act: "calls <door>; <place>"."""
    door, _, place = what.partition(" ")[2].partition("; ")
    if door in INSIDE:
        return PLACES[place](door, lambda: INSIDE[door](actor))
    system = Script.system
    return None if system is None else PLACES[place](door, lambda: DOORS[door](system, "/t/a"))


async def stray(what: str, actor: Any) -> None:
    if what.startswith("calls "):
        future = in_place(what, actor)
        if future is not None:
            await asyncio.wrap_future(future)
    else:
        with_value(what, actor)


def stray_now(what: str, actor: Any) -> None:
    if what.startswith("calls "):
        future = in_place(what, actor)
        if future is not None:
            future.result()
    else:
        with_value(what, actor)


def with_value(what: str, actor: Any) -> None:
    verb, _, name = what.partition(" ")
    if verb == "keeps":
        field, value = VALUES[name]
        if actor.state.kept.names.get(field) in BAD:
            return  # another message of this batch has kept it, and is to fail for it
        setattr(actor.state.kept, field, value)
        actor.state.kept.names[field] = name
        return
    if verb == "tries":
        verb, _, name = what.removeprefix("tries to ").partition(" ")
    assert name not in GOOD
    message = carrier(Script.forbid(), name)
    try:
        if verb == "schedule":
            actor.schedule(message, after_s=0.0)
        else:
            system = actor.system if actor is not None else Script.system
            system.ref("/t/light" if message.number % 2 else "/t/a").tell(message)
    except (UndecodableMessage, SystemStopped):
        if what.startswith("tells "):
            raise
    else:
        Script.note(f"{what}: it was accepted")
