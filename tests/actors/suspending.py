"""Cancel what runs at its k-th suspension, for k = 1, 2, … until it comes through: no await is left out.

A number of rounds of the event loop would hit some of them, and others never: those that a thread ends. So the
coroutine is driven by hand, and its suspensions are counted.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any

import anyio

__all__ = ("WAYS", "Watch", "counted", "cut")

HANG_S = 15.0
AT_MAX = 500

Strike = Callable[[Any], object]
"""Called with what the coroutine waits for, at the moment when it suspends."""


@coroutine
def counted(coro: Any, at: int, strike: Strike) -> Generator[Any, Any, Any]:
    """Drive a coroutine; `strike` when it suspends for the `at`-th time."""
    count = 0
    step: Callable[[Any], Any] = coro.send
    argument: Any = None
    while True:
        try:
            yielded = step(argument)
        except StopIteration as stop:
            return stop.value
        count += 1
        if count == at:
            strike(yielded)
        try:
            argument, step = (yield yielded), coro.send
        except GeneratorExit:
            coro.close()
            raise
        except BaseException as error:
            argument, step = error, coro.throw


# -- ways to cancel ------------------------------------------------------------------------------------------


class _Boom(Exception):
    pass


async def _as_it_waits(coro: Any, at: int, struck: Strike) -> None:
    task = asyncio.current_task()
    assert task is not None

    def strike(yielded: Any) -> None:
        struck(yielded)
        task.cancel()

    await counted(coro, at, strike)


async def _as_it_wakes(coro: Any, at: int, struck: Strike) -> None:
    """What it waited for is there; it is cancelled before it has taken it."""
    task = asyncio.current_task()
    assert task is not None

    def strike(yielded: Any) -> None:
        struck(yielded)
        if isinstance(yielded, asyncio.Future):
            yielded.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()

    await counted(coro, at, strike)


async def _by_a_scope(coro: Any, at: int, struck: Strike) -> None:
    """anyio cancels again at each await, also of what cleans up, until the scope is left."""
    with anyio.CancelScope() as scope:

        def strike(yielded: Any) -> None:
            struck(yielded)
            scope.cancel()

        await counted(coro, at, strike)


async def _by_a_timeout(coro: Any, at: int, struck: Strike) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:

            def strike(yielded: Any) -> None:
                struck(yielded)
                limit.reschedule(asyncio.get_running_loop().time())

            await counted(coro, at, strike)


async def _by_its_group(coro: Any, at: int, struck: Strike) -> None:
    """Another task of its group fails."""
    fail = asyncio.Event()

    async def sibling() -> None:
        await fail.wait()
        raise _Boom

    def strike(yielded: Any) -> None:
        struck(yielded)
        fail.set()

    async def run(strike: Strike) -> None:
        await counted(coro, at, strike)

    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as group:
            other = group.create_task(sibling())
            await group.create_task(run(strike))
            other.cancel()


WAYS: dict[str, Callable[[Any, int, Strike], Coroutine[Any, Any, None]]] = {
    "as it waits": _as_it_waits,
    "as it wakes": _as_it_wakes,
    "scope": _by_a_scope,
    "timeout": _by_a_timeout,
    "group": _by_its_group,
}


async def cut(way: str, at: int, coro: Coroutine[Any, Any, Any]) -> bool:
    """Run it in a task of its own, cancelled at its `at`-th suspension; False if it hasn't so many.

    What it raises by itself, this raises.
    """
    assert at < AT_MAX, "it suspends for ever"
    struck: list[Any] = []
    task = asyncio.ensure_future(WAYS[way](coro, at, struck.append))
    done, _ = await asyncio.wait((task,), timeout=HANG_S)
    assert done, f"cancelled at its suspension {at}, it hangs: {task.get_stack()}"
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    return bool(struck)


# -- what must not be left -----------------------------------------------------------------------------------


class Watch:
    """Sees what is left behind: tasks, threads, and what the event loop complains of."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._threads = set(threading.enumerate())
        self.complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: self.complaints.append(context))

    async def nothing_left(self, *, threads: bool = True) -> None:
        """Once the node, or the client, is closed."""
        left = asyncio.all_tasks() - self._tasks
        assert not left, f"left behind: {left}"
        if threads:
            others = {
                thread for thread in set(threading.enumerate()) - self._threads if thread.name.startswith("under")
            }
            assert not others, f"left behind: {others}"
        gc.collect()
        await asyncio.sleep(0)
        assert not self.complaints
