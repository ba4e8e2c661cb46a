"""VirtualRuntime: a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from ...persistence.engines.sqlite.worker import ALL as WORKERS
from ...persistence.runtime import Runtime
from ..execution.user_code.stepping import breathe
from .real_waits import real_wait

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the Runtime

__all__ = ("VirtualRuntime",)

T = TypeVar("T")
K = TypeVar("K", bound="asyncio.Task[Any]")

STUCK_ROUNDS = 50
"""How often nothing may happen in `run`, because unknown threads may be at work: most of a real second."""
LOOK_S = 0.02
"""The longest real time between two looks at something real that is waited for."""
BLIND_ROUNDS = 200
"""Rounds after which a loop that doesn't say what is ready, such as uvloop's, is taken to be at rest."""

_settling: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Future[None]] = WeakKeyDictionary()
"""The one task of each loop that waits for rest, because two of them would never find the loop at rest."""


class _Timer(asyncio.TimerHandle):
    """A timer that the event loop knows nothing of."""

    def cancel(self) -> None:
        asyncio.Handle.cancel(self)  # an asyncio loop counts the timers that it drops, and uvloop refuses strange ones


class VirtualRuntime(Runtime):
    """A runtime whose time passes only in `advance` and `run`; everything else is as in `Runtime`.

    Time passes when nothing else can happen: no callback of the loop is ready, no thread of the node is at work, and no
    task of the node waits for something real (real_waits.py). Something real takes real time, and no virtual time.
    """

    def __init__(self, *, epoch: float = 1_700_000_000.0, seed: str = "greenroom", patience_s: float = 30.0) -> None:
        """
        Args:
            epoch: the wall clock at the beginning, in epoch seconds.
            seed: the seed of all randomness.
            patience_s: real seconds that one step of the clock may wait for something real, or for work to end.
        """
        self._epoch = epoch
        self._seed = seed
        self._patience_s = patience_s
        self._elapsed = 0.0
        self._count = 0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._polls: list[asyncio.Future[None]] = []
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        """The tasks of the node, and what `run` waits for."""
        self._unhurried: WeakKeyDictionary[asyncio.Task[Any], Callable[[], bool]] = WeakKeyDictionary()
        """Whether the clock has to wait for these, too."""

    # -- what the node sees ----------------------------------------------------------------------------

    def now(self) -> float:
        return self._epoch + self._elapsed

    def monotonic(self) -> float:
        return self._elapsed

    def elapsed(self) -> float:
        return self._elapsed

    def perf(self) -> float:
        return self._elapsed

    pauses = False

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
        handle = _Timer(when, callback, args, loop)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def random(self, seed: str | None = None) -> Random:
        return super().random(self._seed if seed is None else seed)

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = super().spawn(coroutine, name)
        self._tasks.add(task)
        return task

    def unhurried(self, task: asyncio.Task[Any], hurried: Callable[[], bool]) -> None:
        self._unhurried[task] = hurried

    def made(self, task: K) -> K:
        self._tasks.add(task)
        return super().made(task)

    # -- what the test does ----------------------------------------------------------------------------

    async def advance(self, seconds: float) -> None:
        """Let so many seconds pass. Each timer runs at its moment, and its consequences before the next timer."""
        end = self._elapsed + seconds
        await self.settle()
        while self._fire_next(end):
            await self.settle()
        self._elapsed = max(self._elapsed, end)  # another task may have moved it further
        self._wake_polls()
        await self.settle()

    def set_clock(self, by_s: float) -> None:
        """Set the wall clock by so many seconds, back if below 0. No time passes."""
        self._epoch += by_s

    async def run(self, awaitable: Awaitable[T], *, limit_s: float = 86_400.0) -> T:
        """Wait for an awaitable, jumping from timer to timer whenever nothing else can go on.

        Raises:
            TimeoutError: it didn't end within `limit_s` seconds, or nothing is left that could end it; or it waits for
                something real, and so for more than `patience_s` real seconds.
        """
        return await self._run(awaitable, limit_s, self._patience_s)

    async def see_out(self, awaitable: Awaitable[T]) -> T:
        """The same for the node's end, where something real gets as many real seconds as the clock would give it."""
        return await self._run(awaitable, 86_400.0, None)

    async def _run(self, awaitable: Awaitable[T], limit_s: float, patience_s: float | None) -> T:
        end = self._elapsed + limit_s
        future = asyncio.ensure_future(awaitable)
        if isinstance(future, asyncio.Task):
            self._tasks.add(future)
        try:
            stuck = 0
            while not future.done():
                await self._settled(future, patience_s)
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

    async def settle(self, until: asyncio.Future[Any] | None = None) -> None:
        """Let everything happen that can, without time passing, or until a future is done.

        Raises:
            TimeoutError: after `patience_s` real seconds it still isn't at rest.
        """
        await self._settled(until, self._patience_s)

    async def _settled(self, until: asyncio.Future[Any] | None, patience_s: float | None) -> None:
        """
        Args:
            patience_s: None to wait for something real for as many real seconds as lie before the next timer.
        """
        loop = asyncio.get_running_loop()
        while (other := _settling.get(loop)) is not None:
            await asyncio.wait((other,))
        mine = _settling[loop] = loop.create_future()
        try:
            await self._settle(loop, until, patience_s)
        finally:
            del _settling[loop]
            mine.set_result(None)

    async def _settle(
        self, loop: asyncio.AbstractEventLoop, until: asyncio.Future[Any] | None, patience_s: float | None
    ) -> None:
        began, pause_s = loop.time(), 0.0
        while until is None or not until.done():
            at_rest = await _is_at_rest(loop, until)
            real = self._real() if at_rest else ""
            if at_rest and not real:
                return
            waited_s = loop.time() - began
            if patience_s is None:
                if real and waited_s >= self._next_s():
                    return
            elif waited_s >= patience_s:
                what = f"it waits for {real}" if real else f"work still goes on ({_ready_in(loop)})"
                raise TimeoutError(
                    f"the virtual clock can't move: after {patience_s:g} s of real time {what}. Real things take real "
                    "time; a handler that is to run into its time limit can wait for `asyncio.Event().wait()`"
                )
            if real:
                pause_s = min(LOOK_S, pause_s + 0.001)
                await asyncio.sleep(pause_s)  # noqa: TID251 - the real thing takes real time

    def _real(self) -> str:
        """Something real that the node waits for; "" if there is nothing."""
        if any(worker.is_busy for worker in WORKERS):
            return "a database's thread"
        return real_wait(task for task in self._tasks if self._unhurried.get(task, _always)())

    def _next_s(self) -> float:
        """Seconds until the next timer; 0 if there is none."""
        left = [when for when, _, handle in self._timers if not handle.cancelled()]
        return max(0.0, min(left) - self._elapsed) if left else 0.0

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


def _ready_in(loop: asyncio.AbstractEventLoop) -> str:
    """The tasks and callbacks that are ready, a few of them, for people to read."""
    found = [handle._callback for handle in list(getattr(loop, "_ready", ()))[:3]]
    return ", ".join(repr(getattr(callback, "__self__", callback)) for callback in found) or "nothing is known of it"


def _always() -> bool:
    return True


async def _is_at_rest(loop: asyncio.AbstractEventLoop, until: asyncio.Future[Any] | None) -> bool:
    """Give the loop a round, in which it takes in what has happened outside. Returns whether nothing is ready then."""
    ready = getattr(loop, "_ready", None)
    for _ in range(1 if ready is not None else BLIND_ROUNDS):
        if until is not None and until.done():
            break
        await breathe()
    return not ready
