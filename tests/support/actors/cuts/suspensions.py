"""Cancel what runs at its k-th suspension, for k = 1, 2, … until it comes through: no await is left out.

A number of rounds of the event loop would hit some of them, and others never: those that a thread ends. So the
coroutine is driven by hand, and its suspensions are counted.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Generator
from contextlib import suppress
from typing import Any

import anyio
from patience import Hung, patient

__all__ = ("WAYS", "Watch", "counted", "cut")

AT_MAX = 500

Strike = Callable[[Any], object]
"""Called with what the coroutine waits for, at the moment when it suspends."""


class Driven(Coroutine[Any, Any, Any]):
    """Drives a coroutine; `suspended` each time that it suspends."""

    def __init__(self, coro: Any, suspended: Strike) -> None:
        self._coro = coro
        self._suspended = suspended

    def send(self, value: Any) -> Any:
        yielded = self._coro.send(value)
        self._suspended(yielded)
        return yielded

    def throw(self, *error: Any) -> Any:
        yielded = self._coro.throw(*error)
        self._suspended(yielded)
        return yielded

    def close(self) -> None:
        self._coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]

    def __iter__(self) -> Driven:
        return self

    def __next__(self) -> Any:
        return self.send(None)


def nth(at: int, strike: Strike) -> Strike:
    """The `at`-th time that it is called, it strikes."""
    count = itertools.count(1)
    return lambda yielded: strike(yielded) if next(count) == at else None


def counted(coro: Any, at: int, strike: Strike) -> Driven:
    """Drive a coroutine; `strike` when it suspends for the `at`-th time."""
    return Driven(coro, nth(at, strike))


async def counted_with_its_tasks(coro: Any, at: int, strike: Strike) -> Any:
    """The same; and what the tasks suspend that are begun meanwhile counts as well."""
    loop, suspended = asyncio.get_running_loop(), nth(at, strike)

    loop.set_task_factory(lambda loop, inner, **more: asyncio.Task(Driven(inner, suspended), loop=loop, **more))
    try:
        return await Driven(coro, suspended)
    finally:
        loop.set_task_factory(None)


# -- ways to cancel ------------------------------------------------------------------------------------------


Run = Callable[[Strike], Any]
"""Runs what is to be cancelled, and strikes at its suspension."""


class _Boom(Exception):
    pass


async def _as_it_waits(run: Run, struck: Strike) -> None:
    task = asyncio.current_task()
    assert task is not None

    def strike(yielded: Any) -> None:
        struck(yielded)
        task.cancel()

    await run(strike)


async def _as_it_wakes(run: Run, struck: Strike) -> None:
    """Its wait is over, and it is cancelled before it has taken the result."""
    task = asyncio.current_task()
    assert task is not None

    def strike(yielded: Any) -> None:
        struck(yielded)
        if isinstance(yielded, asyncio.Future):
            yielded.add_done_callback(lambda _: task.cancel())
        else:
            task.cancel()

    await run(strike)


async def _by_a_scope(run: Run, struck: Strike) -> None:
    """anyio cancels again at each await, also of what cleans up, until the scope is left."""
    with anyio.CancelScope() as scope:

        def strike(yielded: Any) -> None:
            struck(yielded)
            scope.cancel()

        await run(strike)


async def _by_a_timeout(run: Run, struck: Strike) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:

            def strike(yielded: Any) -> None:
                struck(yielded)
                limit.reschedule(asyncio.get_running_loop().time())

            await run(strike)


async def _by_its_group(run: Run, struck: Strike) -> None:
    """Another task of its group fails."""
    fail = asyncio.Event()

    async def sibling() -> None:
        await fail.wait()
        raise _Boom

    def strike(yielded: Any) -> None:
        struck(yielded)
        fail.set()

    try:
        async with asyncio.TaskGroup() as group:
            other = group.create_task(sibling())
            await group.create_task(wrapped(run(strike)))
            other.cancel()
    except* _Boom:
        pass


async def wrapped(awaitable: Awaitable[Any]) -> None:
    await awaitable


WAYS: dict[str, Callable[[Run, Strike], Coroutine[Any, Any, None]]] = {
    "as it waits": _as_it_waits,
    "as it wakes": _as_it_wakes,
    "scope": _by_a_scope,
    "timeout": _by_a_timeout,
    "group": _by_its_group,
}


async def cut(way: str, at: int, coro: Coroutine[Any, Any, Any], *, deep: bool = False) -> bool:
    """Run it in a task of its own, cancelled at its `at`-th suspension; False if it hasn't so many.

    Deep: those of the tasks count as well that are begun meanwhile.

    An exception of its own is raised here, too.
    """
    assert at < AT_MAX, "it suspends for ever"
    struck: list[Any] = []
    count = counted_with_its_tasks if deep else counted
    task = asyncio.ensure_future(WAYS[way](lambda strike: count(coro, at, strike), struck.append))
    try:
        await patient(asyncio.wait((task,)))
    except Hung as hung:
        raise AssertionError(f"cancelled at its suspension {at}, it hangs: {hung}") from None
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

    async def nothing_left(self, *, threads: bool = True, names: Collection[str] = ()) -> None:
        """Once the node, or the client, is closed. While another runs: no tasks of these names."""
        left = asyncio.all_tasks() - self._tasks
        if names:
            left = {task for task in left if task.get_name() in names}
        assert not left, f"left behind: {left}"
        if threads:
            others = [one for one in threading.enumerate() if one not in self._threads and one.name.startswith("under")]
            for thread in others:
                thread.join(1.0)  # it has been told, at least
            assert not [thread for thread in others if thread.is_alive()], f"left behind: {others}"
        gc.collect()
        await asyncio.sleep(0)
        assert not self.complaints
