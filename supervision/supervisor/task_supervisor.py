"""TaskSupervisor: runs coroutines under supervision, bounded in number, in memory.

    tree = SupervisorSpec(id="app", children=[ChildSpec(id="tasks", actor=TaskSupervisor, args={"max_tasks": 100})])
    async with start(tree) as system:
        page = await system.tasks("/app/tasks").run(fetch, url)

The side that starts tasks is in actors/extensions/tasks/tasks.py. Elixir: Task.Supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import msgspec

from ...actors.actor import Actor, handler
from ...actors.execution.hook_turns import CANCEL_GRACE_S
from ...actors.extensions.tasks.errors import TaskCancelled, TasksFull
from ...actors.extensions.tasks.task import Task, TaskHost
from ...actors.kernel.errors import ActorNotFound, ExitInTask, SystemStopped
from ...actors.messages.message import Request
from ...actors.messages.signals import ExitReason
from .intensity import Intensity

if TYPE_CHECKING:
    from ...actors.kernel.cell import Cell
    from ...actors.kernel.incarnation import Incarnation

__all__ = ("TaskInfo", "TaskSupervisor", "WhichTasks")

_AGAIN = "Start the task again when its supervisor is up"


class TaskInfo(msgspec.Struct, frozen=True):
    """One task that runs, or waits for its next attempt."""

    id: int
    """Its number under this incarnation of its supervisor, from 1."""
    name: str
    """The name of the function."""
    since: float
    """When its first attempt began, in epoch seconds."""
    restarts: int
    """How often it was run again."""


class WhichTasks(Request[list[TaskInfo]]):
    """Asks a `TaskSupervisor` for the tasks that it runs, the oldest first. OTP: supervisor(3), which_children."""


class Outcome(NamedTuple):
    """How one attempt ended, if it wasn't cancelled."""

    result: Any
    error: BaseException | None


class TaskSupervisor(Actor[None], TaskHost):
    """Stands in the tree under a fixed id, and runs what `system.tasks(address)` brings.

    When it stops, in its place in the tree's order, its tasks are cancelled; those that haven't ended when the
    `shutdown` of its child spec has passed are abandoned (with `"brutal_kill"` after a second, for which nothing
    waits). A store that fails resets it with the tree.

    Args:
        max_tasks: tasks that run at a time, those in a backoff included.
        max_waiting: `run` and `map` wait for room in a line that is no longer than this.
    """

    name = "greenroom:TaskSupervisor"
    durable = False
    handler_timeout_s = None

    def __init__(self, *, max_tasks: int = 1_000, max_waiting: int = 10_000) -> None:
        """
        Raises:
            ValueError: a limit is out of its range.
        """
        if max_tasks < 1:
            raise ValueError(f"max_tasks={max_tasks!r}: write a number of at least 1")
        if max_waiting < 0:
            raise ValueError(f"max_waiting={max_waiting!r}: write a number of at least 0")
        self.max_tasks = max_tasks
        self.max_waiting = max_waiting
        self._running: dict[int, Task[Any]] = {}
        self._waiting: dict[int, Task[Any]] = {}
        """Tasks that wait for room, in order."""
        self._intensities: dict[int, Intensity] = {}
        """The intensities of transient tasks that have failed, by the id of the task."""
        self._in_a_row: dict[int, int] = {}
        """How many attempts in a row have failed, by the id of the task. One that lasted begins a new row."""
        self._started = 0
        self._closed = ""
        """Why it takes no more tasks; "" while it takes them."""

    # -- life ----------------------------------------------------------------------------------------

    @property
    def _cell(self) -> Cell:
        return cast("Incarnation", self._context).cell

    async def on_start(self) -> None:
        cell = self._cell
        if cell.on_demand:
            raise ValueError(
                f"{cell.address}: a TaskSupervisor under a template would leave memory when no message comes. "
                "Give it a ChildSpec of its own"
            )
        cell.on_end(self._orphaned)

    async def on_stop(self, reason: ExitReason) -> None:
        """Cancel every task and wait for them; the shutdown time ends the wait."""
        self._close(f"its supervisor has stopped ({reason})")
        try:
            await self._cell.kernel.runtime.wait(self._works(), None)
        finally:
            self._abandon_rest()

    def _orphaned(self) -> None:
        """This incarnation is over. If it was killed, or reset with the store, `on_stop` didn't run."""
        if self._closed:
            return
        self._close("its supervisor was killed, or reset with the store")
        if self._running:
            self._cell.kernel.background(self._reap(), f"greenroom reaper of {self._cell.address}")

    async def _reap(self) -> None:
        try:
            await self._cell.kernel.runtime.wait(self._works(), CANCEL_GRACE_S)
        finally:
            self._abandon_rest()

    def _close(self, why: str) -> None:
        self._closed = why
        waiting, self._waiting = self._waiting, {}
        for task in waiting.values():
            task.settle(error=self._cancelled(task, why))
        for task in list(self._running.values()):
            self.let_go(task, why)

    def _works(self) -> list[asyncio.Task[Any]]:
        return [task.work for task in self._running.values() if task.work is not None]

    def _abandon_rest(self) -> None:
        """Leave the tasks that still run alone: they swallow their cancellation, or take too long over it."""
        running, self._running = self._running, {}
        kernel = self._cell.kernel
        for task in running.values():
            if task.work is not None:
                kernel.disown(task.work)
            why = f"{task.cancelling}; it didn't end in time, and was abandoned"
            task.settle(error=self._cancelled(task, why))
            kernel.events.emit("task.abandoned", task.address, task=task.id, task_name=task.name)

    # -- starting and cancelling -----------------------------------------------------------------------

    def _cancelled(self, task: Task[Any], why: str) -> TaskCancelled:
        """The error of a task without a result. If the node's stop is its cause, it says so: nobody is charged then."""
        error = TaskCancelled(task.address, task.name, why)
        if self._cell.kernel.closing:
            error.__cause__ = SystemStopped(task.address)
        return error

    def admit(self, task: Task[Any], *, waits: bool) -> None:
        if self._closed and self._cell.kernel.closing:
            raise SystemStopped(task.address)
        if self._closed:
            raise ActorNotFound(task.address, self._closed, _AGAIN)
        full = len(self._running) >= self.max_tasks
        if full and not (waits and len(self._waiting) < self.max_waiting):
            raise TasksFull(task.address, self.max_tasks, self.max_waiting if waits else None)
        self._started += 1
        task.id = self._started
        if full:
            self._waiting[task.id] = task
        else:
            self._run(task)

    def let_go(self, task: Task[Any], why: str) -> None:
        if self._waiting.pop(task.id, None) is not None:
            task.settle(error=self._cancelled(task, why))
        elif task.work is not None:
            task.cancelling = task.cancelling or why  # also if its attempt has just failed, so that it isn't run again
            task.work.cancel()

    def _run(self, task: Task[Any]) -> None:
        task.since = self._cell.kernel.runtime.now()
        self._running[task.id] = task
        self._attempt(task)

    def _attempt(self, task: Task[Any]) -> None:
        task.began = self._cell.kernel.runtime.monotonic()
        self._work(task, _attempt(task, self._ends), self._attempted)

    def _work(self, task: Task[Any], coroutine: Coroutine[Any, Any, Any], then: Any) -> None:
        """Go on with a task in an asyncio task, each attempt in a fresh copy of the context it was started in."""
        context = task.context.copy()
        name = f"greenroom task {task.address}#{task.id} {task.name}"
        task.work = context.run(self._cell.kernel.background, coroutine, name)
        task.work.add_done_callback(partial(then, task), context=context)
        self._cell.kernel.runtime.unhurried(task.work, lambda: task.timer is not None or task.awaited > 0)

    # -- ends --------------------------------------------------------------------------------------------

    def _attempted(self, task: Task[Any], work: asyncio.Task[Any]) -> None:
        """An attempt is over. This is called before anything that waits for the task goes on."""
        if work.cancelled() and not self._ends(task):  # it has cancelled itself in its last step
            self._failed(task, _unasked(task))
            return
        if work.cancelled() or work.exception() is not None:  # the latter is a Ctrl-C, which ends the process
            self._end(task, error=self._cancelled(task, task.cancelling or "the node is stopping"))
            return
        outcome: Outcome = work.result()
        if outcome.error is None:
            self._end(task, outcome.result)
        else:
            self._failed(task, outcome.error)

    def _ends(self, task: Task[Any]) -> bool:
        """Whether a cancellation of the task is asked for by its supervisor, or by the end of the node."""
        kernel = self._cell.kernel
        return bool(task.cancelling) or kernel.closing or kernel.cut_short

    def _failed(self, task: Task[Any], error: BaseException) -> None:
        kernel = self._cell.kernel
        reason = ExitReason.from_exception(error)
        retry_s = self._retry_s(task)
        measures = {"task": task.id, "task_name": task.name, "error": reason.error, "text": reason.text}
        if retry_s is None:
            awaited = task.awaited > 0
            measures |= {"traceback": reason.traceback, "restarts": task.restarts, "awaited": awaited}
            kernel.events.emit("task.failed", task.address, **measures)
            self._end(task, error=error)
            return
        task.restarts += 1
        kernel.events.emit("task.restarting", task.address, **measures, restarts=task.restarts, retry_s=retry_s)
        if retry_s:
            self._work(task, kernel.runtime.sleep(retry_s), self._rested)
        else:
            self._attempt(task)

    def _retry_s(self, task: Task[Any]) -> float | None:
        """How many seconds it waits before it is run again; None if it isn't run again."""
        rule, kernel = task.rule, self._cell.kernel
        if rule.restart == "temporary" or task.cancelling or task.id not in self._running:
            return None
        now = kernel.runtime.monotonic()
        intensity = self._intensities.get(task.id)
        if intensity is None:
            intensity = self._intensities[task.id] = Intensity(rule.max_restarts, rule.period_s)
        if intensity.exceeded(now):
            return None
        if rule.backoff is None:
            return 0.0
        lasted = now - task.began >= rule.period_s
        self._in_a_row[task.id] = row = 1 if lasted else self._in_a_row.get(task.id, 0) + 1
        return rule.backoff.delay_s(row, kernel.jitter)

    def _rested(self, task: Task[Any], work: asyncio.Task[Any]) -> None:
        """The backoff is over."""
        if work.cancelled():
            self._end(task, error=self._cancelled(task, task.cancelling or "the node is stopping"))
        else:
            self._attempt(task)

    def _end(self, task: Task[Any], result: Any = None, error: BaseException | None = None) -> None:
        task.settle(result, error)
        self._intensities.pop(task.id, None)
        self._in_a_row.pop(task.id, None)
        if self._running.pop(task.id, None) is None:
            return  # abandoned long ago
        while self._waiting and len(self._running) < self.max_tasks:
            self._run(self._waiting.pop(next(iter(self._waiting))))

    # -- introspection -----------------------------------------------------------------------------------

    @handler
    def which(self, request: WhichTasks) -> list[TaskInfo]:
        return [TaskInfo(task.id, task.name, task.since, task.restarts) for task in self._running.values()]


def _unasked(task: Task[Any]) -> TaskCancelled:
    return TaskCancelled(task.address, task.name, "it, or something that it waited for, was cancelled")


async def _attempt(task: Task[Any], ends: Callable[[Task[Any]], bool]) -> Outcome:
    """Run the function once. Whatever it raises is an outcome: only a Ctrl-C, and a cancellation by its supervisor or
    by the end of the node, get out."""
    try:
        awaitable = task.call()
        if not hasattr(awaitable, "__await__"):
            raise TypeError(
                f"{task.name} returned {type(awaitable).__name__}, which can't be awaited. "
                "Write an async function; asyncio.to_thread runs a blocking one"
            )
        return Outcome(await awaitable, None)
    except KeyboardInterrupt:
        raise
    except StopIteration as error:  # which no future can carry
        return Outcome(None, RuntimeError(f"{task.name} raised {error!r}"))
    except asyncio.CancelledError as error:
        if ends(task):
            raise
        cancelled = _unasked(task)
        cancelled.__cause__ = error
        return Outcome(None, cancelled)
    except (SystemExit, GeneratorExit) as error:
        left = ExitInTask(error)
        left.__cause__ = error
        return Outcome(None, left)
    except BaseException as error:
        return Outcome(None, error)
