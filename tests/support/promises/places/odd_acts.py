"""Acts: the odd things that user code does at a place, and how it may end there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from odd_values import BAD

__all__ = ("ASYNC_ACTS", "ERRORS", "HARMLESS", "SYNC_ACTS", "Act", "Odd", "perform", "perform_now")


STRAY = ("calls", "keeps", "tells", "tries")
"""The verbs of acts that wander off, or do it with values."""


class Odd(BaseException):
    """A user's own."""


ERRORS: dict[str, type[BaseException]] = {
    kind.__name__: kind for kind in (asyncio.CancelledError, SystemExit, GeneratorExit, StopIteration, Odd, ValueError)
}


class Act(NamedTuple):
    what: str
    waits: bool = False
    """Whether it waits before."""

    @property
    def fails(self) -> bool:
        verb, _, value = self.what.partition(" ")
        if self.is_stray:
            return verb in ("keeps", "tells") and value in BAD
        return self.what not in HARMLESS

    @property
    def is_stray(self) -> bool:
        """Whether it is one of odd_calls.py: a call from a wrong place, or a value that comes back different."""
        return self.what.partition(" ")[0] in STRAY


def task_of() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def awaits_a_cancelled_task() -> None:
    task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()
    await task


async def cancels_itself() -> None:
    task_of().cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(3600)


async def cancels_itself_later() -> None:
    asyncio.get_running_loop().call_soon(task_of().cancel)
    await asyncio.sleep(3600)


async def raises(error: type[BaseException]) -> None:
    await asyncio.sleep(0)
    raise error


async def has_a_child_that_exits() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(raises(SystemExit))
        await asyncio.sleep(3600)


async def awaits_a_child_that_exits() -> None:
    await asyncio.create_task(raises(SystemExit))


async def awaits_a_child_that_leaves() -> None:
    await asyncio.create_task(raises(GeneratorExit))


async def gathers_children() -> None:
    await asyncio.gather(raises(GeneratorExit), raises(SystemExit))


async def exits_in_a_thread() -> None:
    await asyncio.to_thread(sys.exit, 3)


async def leaves_in_a_thread() -> None:
    def leave() -> None:
        raise GeneratorExit

    await asyncio.to_thread(leave)


async def leaves_a_timeout() -> None:
    kept.append(pages := armed())
    async for _ in pages:
        break


async def leaves_a_timeout_at_once() -> None:
    kept.append(pages := armed(0.0))
    await anext(pages)


async def leaves_a_cancel() -> None:
    asyncio.get_running_loop().call_later(0.001, task_of().cancel)


async def leaves_a_cancel_of_a_child() -> None:
    task = task_of()

    async def late() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()

    kept.append(asyncio.create_task(late()))


async def cancels_at_the_end() -> None:
    task_of().cancel()


async def catches_its_cancel() -> None:
    task_of().cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


async def loses_a_child_that_exits() -> None:
    kept.append(asyncio.create_task(raises(SystemExit)))


async def loses_a_generator() -> None:
    async for _ in exits_as_it_closes():
        break


async def armed(after_s: float = 0.001) -> AsyncIterator[int]:
    async with asyncio.timeout(after_s):
        if after_s:
            await asyncio.sleep(0)
        yield 1
        await asyncio.sleep(3600)


async def exits_as_it_closes() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await asyncio.sleep(0)
        sys.exit(4)


kept: list[Any] = []
"""Everything that is left behind, so that it lives."""

FAILING: dict[str, Callable[[], Any]] = {
    "awaits a cancelled task": awaits_a_cancelled_task,
    "cancels itself": cancels_itself,
    "cancels itself later": cancels_itself_later,
    "has a child that exits": has_a_child_that_exits,
    "awaits a child that exits": awaits_a_child_that_exits,
    "awaits a child that leaves": awaits_a_child_that_leaves,
    "gathers children": gathers_children,
    "exits in a thread": exits_in_a_thread,
    "leaves in a thread": leaves_in_a_thread,
}
HARMLESS: dict[str, Callable[[], Any]] = {
    "leaves a timeout": leaves_a_timeout,
    "leaves a timeout at once": leaves_a_timeout_at_once,
    "leaves a cancel": leaves_a_cancel,
    "leaves a cancel of a child": leaves_a_cancel_of_a_child,
    "cancels at the end": cancels_at_the_end,
    "catches its cancel": catches_its_cancel,
    "loses a child that exits": loses_a_child_that_exits,
    "loses a generator": loses_a_generator,
}
SYNC_HARMLESS = ("leaves a cancel", "cancels at the end")

ASYNC_ACTS = [*ERRORS, *FAILING, *HARMLESS]
SYNC_ACTS = [*ERRORS, *SYNC_HARMLESS]


async def perform(act: Act) -> None:
    if act.waits:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    if act.what in ERRORS:
        raise ERRORS[act.what]("odd")
    await (FAILING.get(act.what) or HARMLESS[act.what])()


def perform_now(act: Act) -> None:
    match act.what:
        case "leaves a cancel":
            asyncio.get_running_loop().call_later(0.001, task_of().cancel)
        case "cancels at the end":
            task_of().cancel()
        case _:
            raise ERRORS[act.what]("odd")
