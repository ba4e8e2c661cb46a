"""Functions to run as tasks, and a tree to run them in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from grounds import MemoryGround, tree

from greenroom import ActorSystem, ChildSpec, TaskSupervisor, WhichTasks
from greenroom.testing import VirtualRuntime


class Gate:
    """A task that waits in here until it is let through, and what became of it."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.inside = 0
        self.log: list[str] = []
        self.arrived = asyncio.Event()

    async def through(self, result: Any = None) -> Any:
        self.inside += 1
        self.arrived.set()
        try:
            await self.opened.wait()
            self.log.append("through")
            return result
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        finally:
            self.inside -= 1


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def fail(text: str = "no") -> None:
    raise ValueError(text)


def spec(*children: Any, **options: Any) -> Any:
    shutdown = options.pop("shutdown", 5.0)
    return tree(ChildSpec(id="tasks", actor=TaskSupervisor, args=options, shutdown=shutdown), *children)


@asynccontextmanager
async def running(clock: VirtualRuntime | None = None, *children: Any, **options: Any) -> AsyncIterator[ActorSystem]:
    async with MemoryGround().node(spec(*children, **options), runtime=clock) as system:
        yield system


async def which(system: ActorSystem) -> list[Any]:
    return await system.ref("/t/tasks").ask(WhichTasks())


async def result_of(task: Any) -> Any:
    return await task
