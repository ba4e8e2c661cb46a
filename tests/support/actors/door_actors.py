"""Actors and doors: every call by which something comes into a node, for tests of calls from wrong places."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from grounds import pool, tree

from greenroom import Actor, ActorSystem, Down, Message, Request, SupervisorSpec, TaskSupervisor, handler

__all__ = ("DOORS", "INSIDE", "TREE", "Front", "Go", "Inside", "Ping", "Room", "first_step")


class Go(Message):
    pass


class Inside(Message):
    """Make a call in a thread while this message's turn is open."""

    door: str


class Ping(Request[str]):
    pass


class Front(Actor[None]):
    """Two of these: one whose handlers make calls in threads, and one that has to live on."""

    handled: ClassVar[list[str]] = []
    raised: ClassVar[list[BaseException | None]] = []

    @handler
    def go(self, message: Go) -> None:
        Front.handled.append(self.address)

    @handler
    def ping(self, message: Ping) -> str:
        return "pong"

    @handler
    def down(self, message: Down) -> None: ...

    @handler
    async def inside(self, message: Inside) -> None:
        def call() -> None:
            try:
                first_step(INSIDE[message.door](self))
            except BaseException as error:
                Front.raised.append(error)
            else:
                Front.raised.append(None)

        await asyncio.to_thread(call)


class Light(Front):
    durable = False


class Room(Front):
    """Starts with its first message."""


class Tasks(TaskSupervisor):
    pass


TREE: SupervisorSpec = tree(("front", Front), ("other", Front), ("light", Light), ("tasks", Tasks), pool(Room, "rooms"))


def first_step(found: Any) -> Any:
    """Let a coroutine, or another awaitable, go to its first wait; or iterate, or enter, once."""
    if hasattr(found, "__anext__"):
        found = found.__anext__()
    elif hasattr(found, "__aenter__"):
        found = found.__aenter__()
    if not hasattr(found, "__await__"):
        return found
    steps = found.__await__()
    try:
        return steps.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


async def _nothing() -> None: ...


Door = Callable[[ActorSystem], Any]

DOORS: dict[str, Door] = {
    "tell": lambda s: s.ref("/t/front").tell(Go()),
    "tell with a key": lambda s: s.ref("/t/front").tell(Go(), key="k"),
    "tell, delayed": lambda s: s.ref("/t/front").tell(Go(), delay_s=1),
    "tell in memory": lambda s: s.ref("/t/light").tell(Go()),
    "tell that starts": lambda s: s.ref("/t/rooms/one").tell(Go()),
    "ask": lambda s: s.ref("/t/front").ask(Ping()),
    "ask in memory": lambda s: s.ref("/t/light").ask(Ping()),
    "ask that starts": lambda s: s.ref("/t/rooms/one").ask(Ping()),
    "partition": lambda s: s.ref("/t/rooms").partition("a"),
    "idle": lambda s: s.idle(),
    "stop": lambda s: s.stop(),
    "subscribe": lambda s: s.subscribe(),
    "trace": lambda s: s.trace("/t/front"),
    "group, all": lambda s: s.group("g").tell_all(Go()),
    "group, one": lambda s: s.group("g").tell_one(Go()),
    "task": lambda s: s.tasks("/t/tasks").start(_nothing),
    "task, run": lambda s: s.tasks("/t/tasks").run(_nothing),
    "tasks, map": lambda s: s.tasks("/t/tasks").map(_one, [1]),
}


async def _one(item: int) -> int:
    return item


INSIDE: dict[str, Callable[[Front], Any]] = {
    "stop": lambda a: a.stop(),
    "retire": lambda a: a.retire(),
    "monitor": lambda a: a.monitor(a.system.ref("/t/other")),
    "demonitor": lambda a: a.demonitor("m"),
    "link": lambda a: a.link(a.system.ref("/t/other")),
    "unlink": lambda a: a.unlink(a.system.ref("/t/other")),
    "schedule": lambda a: a.schedule(Go(), after_s=1),
    "cancel": lambda a: a.cancel("Go"),
    "stash": lambda a: a.stash(),
    "unstash": lambda a: a.unstash_all(),
    "join": lambda a: a.join("g"),
    "leave": lambda a: a.leave("g"),
    "transaction": lambda a: a.transaction(),
    "settled": lambda a: a.turn.settled(),
    "tell": lambda a: a.system.ref("/t/other").tell(Go()),
    "tell itself": lambda a: a.ref.tell(Go()),
    "ask": lambda a: a.system.ref("/t/other").ask(Ping()),
}
