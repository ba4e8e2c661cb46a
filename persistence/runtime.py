"""Runtime: the one way to clock, randomness, scheduling and threads.

A lint rule keeps `time`, `random` and bare sleeps out of every other module, so that a whole node can run
under a virtual clock and a seeded scheduler.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, TypeVar

__all__ = ("Runtime", "failure_of", "uncancelled")

T = TypeVar("T")
K = TypeVar("K", bound="asyncio.Task[Any]")

_SINCE_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux: clock_gettime(2). `CLOCK_MONOTONIC` stands still while the machine sleeps."""


def _elapsed() -> float:
    return time.clock_gettime(_SINCE_BOOT) if _SINCE_BOOT is not None else time.monotonic()


class Runtime:
    """The real world. Subclass it to run a node under simulation."""

    now = staticmethod(time.time)
    """Wall clock, epoch seconds: for what is stored (due times, expiries)."""
    monotonic = staticmethod(time.monotonic)
    """Seconds that never go back: for waits within one process."""
    elapsed = staticmethod(_elapsed)
    """The same, but the time counts as well for which the machine sleeps, if the system tells: for due times."""
    perf = staticmethod(time.perf_counter)
    """The finest clock there is, in seconds: for measuring."""

    pauses = True
    """Whether `pause` blocks. If not, nothing is to be done in every round of the loop for its sake."""

    def pause(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def see_out(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        """An awaitable for an end that may need time to pass: a clock that tests move by hand moves for it."""
        return awaitable

    async def poll(self, seconds: float) -> None:
        """Sleep between two looks at something that sends no notice. A clock moved by hand needn't stop for it."""
        await self.sleep(seconds)

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, callback, *args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        return asyncio.get_running_loop().call_soon(callback, *args)

    async def wait(self, futures: Collection[asyncio.Future[Any]], timeout_s: float | None) -> bool:
        """Wait until all of `futures` are done, for at most `timeout_s` seconds. Cancels none of them.

        Returns:
            Whether all are done.
        """
        waiting = [future for future in futures if not future.done()]
        if not waiting or timeout_s is None:
            if waiting:
                await asyncio.wait(waiting)
            return True
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(timeout_s, over.set_result, None)
        try:
            while not over.done() and (waiting := [future for future in waiting if not future.done()]):
                await asyncio.wait((over, *waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        return not waiting

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(coroutine, name=name)

    def unhurried(self, task: asyncio.Task[Any], hurried: Callable[[], bool]) -> None:
        """Nothing limits the time of this task unless `hurried` says so. A clock moved by hand needn't wait for it."""

    def made(self, task: K) -> K:
        """A task of a class of the runtime's own was made. Returns it."""
        return task

    def uid(self) -> str:
        """A fresh 128-bit id in hex."""
        return os.urandom(16).hex()

    def random(self, seed: str | None = None) -> random.Random:
        return random.Random(seed)


def failure_of(task: asyncio.Task[Any]) -> BaseException | None:
    """The exception that a task ended with. None if it returned, or was cancelled."""
    return None if task.cancelled() else task.exception()


async def uncancelled(awaitable: Awaitable[T]) -> T:
    """Wait to the end even if the caller is cancelled; the cancellation is raised afterwards. For bounded waits."""
    future = asyncio.ensure_future(awaitable)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if not future.cancelled():
            future.exception()  # seen, so that nobody warns about it
        raise cancelled
    return future.result()
