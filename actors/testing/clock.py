"""VirtualRuntime: a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ...persistence.runtime import Runtime
from ..execution.user_code.stepping import breathe

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the Runtime

__all__ = ("VirtualRuntime",)

T = TypeVar("T")

SETTLE_ROUNDS = 60
"""Rounds of the loop after which every task that only waits for other tasks has come to rest."""


STUCK_ROUNDS = 50
"""The number of times that nothing may happen in `run`, because threads may be at work: most of a real second."""


class VirtualRuntime(Runtime):
    """A runtime whose time passes only in `advance` and `run`; everything else is as in `Runtime`.

    It is made for stores that work on the loop (`MemoryStore`), because the clock doesn't wait for a store's thread.
    """

    def __init__(self, *, epoch: float = 1_700_000_000.0, seed: str = "greenroom") -> None:
        self._epoch = epoch
        self._seed = seed
        self._elapsed = 0.0
        self._count = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._polls: list[asyncio.Future[None]] = []

    # -- what the node sees ----------------------------------------------------------------------------

    def now(self) -> float:
        return self._epoch + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def perf(self) -> float:
        return self._elapsed

    def pause(self, seconds: float) -> None:
        """Pause at no cost: no time passes here."""

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, _resolve, future)
        try:
            await future
        finally:
            timer.cancel()

    async def poll(self, seconds: float) -> None:
        """Wait until time passes, or nothing else can go on, because an hour would be 360,000 looks at the inbox."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._polls.append(future)
        await future

    def call_later(self, delay_s: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        when = self._elapsed + max(0.0, delay_s)
        handle = asyncio.TimerHandle(when, callback, args, loop)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def random(self, seed: str | None = None) -> Random:
        return super().random(self._seed if seed is None else seed)

    # -- what the test does ----------------------------------------------------------------------------

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass. Each timer runs at its moment, and its consequences before the next timer."""
        end = self._elapsed + seconds
        await self.settle()
        while self._fire_next(end):
            await self.settle()
        self._elapsed = end
        self._wake_polls()
        await self.settle()

    async def run(self, awaitable: Awaitable[T], *, limit_s: float = 86_400.0) -> T:
        """Wait for an awaitable, jumping from timer to timer whenever nothing else can go on.

        Raises:
            TimeoutError: it didn't end within `limit_s` seconds, or nothing is left that could end it.
        """
        end = self._elapsed + limit_s
        future = asyncio.ensure_future(awaitable)
        try:
            stuck = 0
            while not future.done():
                await self.settle(future)
                if not future.done():
                    if self._fire_next(end):
                        stuck = 0
                    else:
                        stuck += 1
                        self._wake_polls()
                        await asyncio.sleep(min(stuck, 20) / 1000)  # noqa: TID251 - threads work in real time
                if stuck > STUCK_ROUNDS:
                    raise TimeoutError(f"after {self._elapsed - end + limit_s:g} s nothing moves any more")
            return future.result()
        finally:
            future.cancel()

    def see_out(self, awaitable: Awaitable[T]) -> Awaitable[T]:
        return self.run(awaitable)

    async def settle(self, until: asyncio.Future[Any] | None = None) -> None:
        """Let every task run that can, without time passing."""
        for _ in range(SETTLE_ROUNDS):
            if until is not None and until.done():
                return
            await breathe()

    def _fire_next(self, end: float | None) -> bool:
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers or (end is not None and timers[0][0] > end):
            return False
        when, _, handle = heapq.heappop(timers)
        self._elapsed = max(self._elapsed, when)
        handle._run()
        self._wake_polls()
        return True

    def _wake_polls(self) -> None:
        polls, self._polls = self._polls, []
        for poll in polls:
            _resolve(poll)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
