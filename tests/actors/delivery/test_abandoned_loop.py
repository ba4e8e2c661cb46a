"""A loop that was closed under its node takes the node along: nothing of it goes on in the loop that runs next."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import pytest
from grounds import Ground

from greenroom import (
    Actor,
    ActorSystem,
    ChildSpec,
    ExitReason,
    Message,
    SupervisorSpec,
    TaskSupervisor,
    TerminateChild,
    handler,
)


class Wait(Message):
    pass


class Waiter(Actor[None]):
    name = "abandoned-waiter"
    waiting = 0

    @handler
    async def wait(self, message: Wait) -> None:
        Waiter.waiting += 1
        await asyncio.get_running_loop().create_future()


class Light(Waiter):
    name = "abandoned-light"
    durable = False


def the_tree() -> SupervisorSpec:
    waiters = [ChildSpec(id=f"{cls.__name__}{index}", actor=cls) for cls in (Waiter, Light) for index in range(4)]
    return SupervisorSpec(id="t", children=[*waiters, ChildSpec(id="tasks", actor=TaskSupervisor)])


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def begin(ground: Ground, kept: list[Any]) -> None:
    """Start a node whose runners wait in handlers, with more to do."""
    Waiter.waiting = 0
    node: AbstractAsyncContextManager[ActorSystem] = ground.node(the_tree())
    kept.append(node)
    system = await node.__aenter__()
    for child in the_tree().children:
        if child.id != "tasks":
            for _ in range(3):
                system.ref(f"/t/{child.id}").tell(Wait())
    kept.append(asyncio.ensure_future(system.tasks("/t/tasks").run(forever)))
    while Waiter.waiting < 8:
        await asyncio.sleep(0)


def test_nothing_of_it_starts_in_the_next_loop(ground: Ground) -> None:
    loop, kept = asyncio.new_event_loop(), []
    loop.run_until_complete(begin(ground, kept))
    loop.close()
    ground.systems.clear()
    left: set[asyncio.Task[Any]] = set()

    async def next_loop() -> None:
        kept.clear()
        gc.collect()
        await asyncio.sleep(0)
        left.update(asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(next_loop())
    assert not left


class Untidy(Actor[None]):
    """Its code waits at one place. Its cleanup there awaits, or raises another error, though its coroutine ends."""

    name = "abandoned-untidy"
    place = ""
    awaits = False
    began: ClassVar[list[str]] = []

    async def on_start(self) -> None:
        await self.untidy("on_start")

    async def on_stop(self, reason: ExitReason) -> None:
        await self.untidy("on_stop")

    @handler
    async def wait(self, message: Wait) -> None:
        await self.untidy("handler")

    async def untidy(self, place: str) -> None:
        Untidy.began.append(place)
        if place == Untidy.place:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                if Untidy.awaits:
                    await asyncio.sleep(0)
                raise ValueError(place)


@pytest.mark.parametrize("awaits", [False, True], ids=["raises", "awaits"])
@pytest.mark.parametrize("place", ["on_start", "handler", "on_stop"])
def test_untidy_code_is_garbage_as_well(ground: Ground, place: str, awaits: bool) -> None:
    """No actor is charged, stopped, or started again for an error that its code raises as it is collected."""
    Untidy.place, Untidy.awaits, Untidy.began = place, awaits, []
    kept: list[Any] = []
    events: list[str] = []
    children = [ChildSpec(id="a", actor=Waiter), ChildSpec(id="b", actor=Untidy)]

    async def block() -> None:
        node = ground.node(SupervisorSpec(id="t", children=children), on_event=lambda event: events.append(event.name))
        async with node as system:
            for _ in range(3):
                system.ref("/t/b").tell(Wait())
            if place == "on_stop":
                await system.idle()
                kept.append(asyncio.ensure_future(system.ref("/t").ask(TerminateChild(id="b"))))
            await forever()

    async def begin() -> None:
        kept.append(asyncio.ensure_future(block()))
        while place not in Untidy.began:
            await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    began, reported = list(Untidy.began), list(events)
    pending = sorted(asyncio.all_tasks(loop), key=lambda task: not task.get_name().startswith("greenroom"))
    loop.close()
    ground.systems.clear()
    left: set[asyncio.Task[Any]] = set()

    async def next_loop() -> None:
        for task in pending:  # as the garbage collector does, but that it raises nothing to anybody
            task.get_coro().close()  # type: ignore[union-attr]
        left.update(asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run(next_loop())
    assert not left
    assert Untidy.began == began
    assert events == reported
