"""A loop that was closed under its node takes the node along: nothing of it goes on in the loop that runs next."""

from __future__ import annotations

import asyncio
import gc
from contextlib import AbstractAsyncContextManager
from typing import Any

from grounds import Ground

from greenroom import Actor, ActorSystem, ChildSpec, Message, SupervisorSpec, TaskSupervisor, handler


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
