"""SimulatedLoop: an asyncio event loop on a virtual clock, whose schedule comes from a seed.

The loop never waits: when nothing is ready, the clock jumps to the next timer. The promises of asyncio hold: callbacks
run in the order of `call_soon`, timers in the order of their times and never early. Everything else is drawn:

- a task's wake-up may take some rounds longer, as if there were some more awaits on its way;
- the loop may be late for its timers, as if something had kept it busy;
- every step, and every look at the clock, takes a little time;
- a call that runs in a thread takes as long as it likes.

A node can die at any step. `NodeDied` is then raised into its suspended coroutines until they have ended, on a loop
that schedules nothing any more.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

__all__ = ("NodeDied", "SimulatedLoop", "Stuck")

T = TypeVar("T")

STEPS_MAX = 200_000
"""How many steps one life may take: a life that takes more runs in a circle. A turn takes some ten."""
LATE_SHARE, LATE_S_MAX = 0.1, 0.03
"""The share of timers for which the loop is late, and by how many seconds at most."""
THREAD_S_MAX = 0.02
"""How many seconds a call of `asyncio.to_thread` takes at most."""
DEFER_MAX = 6
"""By how many rounds a wake-up may be late."""
UNWIND_MAX = 100
"""How many awaits the `finally` blocks of one coroutine may have when the node has died."""
TASKS_KEPT = 256


class NodeDied(BaseException):
    """The process of the node has died here. Nothing of the node runs after it but the `finally` blocks on the way."""


class Stuck(Exception):
    """Nothing is ready, and no timer will make anything so; or the life has taken more steps than any should."""

    def __init__(self, why: str, tasks: list[str]) -> None:
        self.tasks = tasks
        super().__init__(f"{why}. These wait: {'; '.join(tasks) or 'nothing'}")


class SimulatedLoop(asyncio.BaseEventLoop):
    """One life of a node."""

    def __init__(self, random: Random, *, start_s: float = 0.0, defer_share: float = 0.0, tick_s: float = 1e-5) -> None:
        """
        Args:
            defer_share: how many of the wake-ups of tasks are put off.
            tick_s: what a step, or a look at the clock, takes.
        """
        super().__init__()
        self.random = random
        self.now_s = start_s
        self.steps = 0
        self.dead = False
        self.ends_s = math.inf
        """When it must have come to its end."""
        self.dies_at: int | None = None
        """The step before which `die` is called."""
        self.die: Callable[[], object] = self.kill
        self.on_exception: Callable[[dict[str, Any]], object] = super().call_exception_handler
        self._defer_share = defer_share
        self.tick_s = tick_s
        """Seconds that a step, or a look at the clock, takes."""
        self._deferred: dict[asyncio.Handle, int] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._tasks_max = TASKS_KEPT
        self._ready: Any
        self._scheduled: list[Any]

    # -- the clock -------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds. A look at the clock takes time, so code that waits for time to pass comes to its end."""
        self.now_s += self.tick_s
        return self.now_s

    # -- what asyncio asks of a loop ---------------------------------------------------------------------

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if events._get_running_loop() is not self and not self.dead:
            raise RuntimeError("a simulated node has no threads: use asyncio.to_thread, which is simulated")
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            heapq.heappush(self._scheduled, (when, self._count(), timer))
        return timer

    def _count(self) -> int:
        self._timers_made += 1
        return self._timers_made

    _timers_made = 0
    _task_factory: Callable[..., asyncio.Task[Any]] | None

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays in the heap until its time has come, and is thrown away then."""

    def create_task(self, coro: Any, *, name: Any = None, context: Context | None = None) -> asyncio.Task[Any]:
        if self.dead:
            coro.close()
            return _Never(loop=self)  # type: ignore[return-value]
        task: asyncio.Task[Any]
        if self._task_factory is not None:
            task = self._task_factory(self, coro, name=name, context=context)
        else:
            task = asyncio.Task(coro, loop=self, name=name, context=context)
        self.keep(task)
        return task

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Remember a task, so that it is ended when the node dies."""
        self._tasks.append(task)
        if len(self._tasks) > self._tasks_max:
            self._tasks = [task for task in self._tasks if not task.done()]
            self._tasks_max = TASKS_KEPT + 2 * len(self._tasks)

    def run_in_executor(self, executor: Any, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """The call is made on the loop, at some moment."""
        future: asyncio.Future[T] = self.create_future()
        self.call_later(self.random.random() * THREAD_S_MAX, _call, future, function, *args)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.dead:
            self.on_exception(context)

    def _process_events(self, event_list: Any) -> None:
        """There is no I/O."""

    def _write_to_self(self) -> None:
        """No thread waits for I/O that would have to be woken."""

    # -- running -----------------------------------------------------------------------------------------

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run until `main` returns, or the node dies. Then the loop is over, and everything that still ran is ended.

        Raises:
            NodeDied: the node died. Stuck: `main` would never return.
        """
        before = events._get_running_loop()
        events._set_running_loop(self)
        self._thread_id: int | None = get_ident()  # as every loop of asyncio says that it runs here
        task = self.create_task(main, name="main")
        try:
            while not task.done():
                self._run_once()
            if self.dead:
                raise NodeDied
            result: T = task.result()
            return result
        finally:
            self._unwind()
            self._thread_id = None
            events._set_running_loop(before)
            self.close()

    def kill(self) -> None:
        """Nothing is scheduled, and nothing runs, any more."""
        self.dead = True

    def _run_once(self) -> None:
        ready, scheduled, draw, deferred = self._ready, self._scheduled, self.random.random, self._deferred
        if not ready:
            while scheduled and scheduled[0][2]._cancelled:
                heapq.heappop(scheduled)
            if not scheduled:
                raise Stuck("nothing is left that could go on", self.waiting())
            if self.now_s < scheduled[0][0]:
                self.now_s = scheduled[0][0]
                if draw() < LATE_SHARE:
                    self.now_s += draw() * LATE_S_MAX
        while scheduled and scheduled[0][0] <= self.now_s:
            timer = heapq.heappop(scheduled)[2]
            if not timer._cancelled:
                ready.append(timer)
        share = self._defer_share
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if share and draw() < share and isinstance(getattr(handle._callback, "__self__", None), asyncio.Task):
                rounds = deferred.get(handle, 0)
                if rounds < DEFER_MAX:
                    deferred[handle] = rounds + 1
                    ready.append(handle)
                    continue
            if deferred:
                deferred.pop(handle, None)
            if self.steps == self.dies_at:
                self.die()
            if self.dead:
                raise NodeDied
            self.steps += 1
            self.now_s += self.tick_s
            handle._run()
            if self.dead:
                raise NodeDied
        if self.steps > STEPS_MAX or self.now_s > self.ends_s:
            raise Stuck(f"the life has taken {self.steps:,} steps, {self.now_s:g} virtual seconds", self.waiting())

    def waiting(self) -> list[str]:
        """The tasks that aren't done, each with what it waits for."""
        return [_described(task) for task in self._tasks if not task.done()]

    def _unwind(self) -> None:
        """Raise `NodeDied` into everything that is suspended, until it has ended."""
        self.dead = True
        disabled = logging.root.manager.disable
        logging.disable(logging.CRITICAL)  # libraries complain of what they can't finish
        for task in self._tasks:
            if task.done():
                continue
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine: Any = task.get_coro()
            for _ in range(UNWIND_MAX):
                try:
                    coroutine.throw(NodeDied())
                except BaseException:
                    break
        logging.disable(disabled)
        self._tasks.clear()
        self._ready.clear()
        self._scheduled.clear()


class _Never(asyncio.Future[Any]):
    """It stands in for a task on a loop that is dead."""

    def get_name(self) -> str:
        return "of a dead node"

    def set_name(self, name: object) -> None: ...

    def uncancel(self) -> int:
        return 0

    def cancelling(self) -> int:
        return 0


def _call(future: asyncio.Future[Any], function: Callable[..., Any], *args: Any) -> None:
    if future.done():
        return
    try:
        result = function(*args)
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _described(task: asyncio.Task[Any]) -> str:
    frames = task.get_stack(limit=1)
    where = f" at {frames[0].f_code.co_filename.rpartition('/')[2]}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()}{where}"
