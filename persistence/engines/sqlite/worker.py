"""Worker: one daemon thread that makes blocking calls, in order, for a loop.

A pool's threads would keep the interpreter from exiting while a disk is stuck, and its calls would have no order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar
from weakref import WeakSet

from ...runtime import uncancelled

__all__ = ("ALL", "Worker")

T = TypeVar("T")
_Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


ALL: WeakSet[Worker] = WeakSet()
"""Every worker there is. A clock that tests move waits for their calls."""


class Worker:
    """The thread starts with the first call, and again with a call after `stop`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.unsettled = 0
        """How many calls of that loop are queued or under way, as the loop sees it."""
        ALL.add(self)

    def call(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Queue a call. If the future is cancelled, the call runs nevertheless, and its result is dropped."""
        if self._thread is None:
            self._thread = Thread(target=_work, args=(self, self._jobs), name=self.name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = self._enter()
        self._jobs.put((future, function, args))
        return future

    def _enter(self) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # a loop that was closed takes in no ends of its calls
            self._loop, self.unsettled = loop, 0
        self.unsettled += 1
        return loop.create_future()

    @property
    def is_busy(self) -> bool:
        """Whether calls of the running loop are queued or under way."""
        return self.unsettled > 0 and self._loop is asyncio.get_running_loop()

    def settle(self, future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
        """A call has ended. Called on the loop's thread."""
        self.unsettled -= 1
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)

    async def stop(self) -> None:
        """Finish what is queued and end the thread."""
        if self._thread is None:
            return
        thread, self._thread = self._thread, None
        jobs, self._jobs = self._jobs, SimpleQueue()
        drained = self._enter()
        jobs.put((drained, _nothing, ()))
        jobs.put(None)
        await uncancelled(drained)
        thread.join()


def _nothing() -> None:
    return None


def _work(worker: Worker, jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        future, function, args = job
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function(*args)
        except BaseException as error:
            failure = error
        try:
            future.get_loop().call_soon_threadsafe(worker.settle, future, result, failure)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more
        del job, future, function, args, result, failure  # keep nothing alive while waiting
