"""Task: one coroutine under supervision, as its caller and its supervisor share it."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from typing import Any, Generic, Literal, TypeVar

from ....persistence.home import Home
from ...definition.options import Backoff
from ...delivery.guard import check_seconds
from ...execution.user_code.containment import beside_turns
from ...kernel.current import current_turn
from .errors import TaskTimeout

__all__ = ("NEVER", "Restart", "RestartRule", "Task", "TaskHost")

T_co = TypeVar("T_co", covariant=True)

Restart = Literal["temporary", "transient"]


class RestartRule:
    """When a task that failed is run again."""

    __slots__ = ("backoff", "max_restarts", "period_s", "restart")

    def __init__(
        self,
        restart: Restart = "temporary",
        max_restarts: int = 3,
        period_s: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        """
        Raises:
            TypeError, ValueError: a value is of the wrong type, or out of its range.
        """
        if restart not in ("temporary", "transient"):
            raise ValueError(
                f"restart={restart!r}: write 'temporary' (never run again) or 'transient' (run again when it failed)"
            )
        if not isinstance(max_restarts, int) or isinstance(max_restarts, bool):
            raise TypeError(f"max_restarts={max_restarts!r}: write a whole number")
        if max_restarts < 0:
            raise ValueError(f"max_restarts={max_restarts!r}: write a number of at least 0")
        check_seconds("period_s", period_s, above=0.0)
        if backoff is not None and not isinstance(backoff, Backoff):
            raise TypeError(f"backoff={backoff!r}: write Backoff(initial_s=1.0)")
        self.restart = restart
        self.max_restarts = max_restarts
        self.period_s = period_s
        self.backoff = backoff


NEVER = RestartRule()


class Task(Generic[T_co]):
    """One coroutine under supervision. Await it for its result, as often as you like, or don't.

    To cancel a caller that awaits it doesn't touch the task; `cancel` does.

    Raises:
        TaskCancelled: when awaited: it was cancelled, or its supervisor has stopped.
        TaskTimeout: when awaited: it took longer than its `timeout_s`.
        Exception: when awaited: what it raised itself, for good.
    """

    __slots__ = (
        "_home",
        "_host",
        "address",
        "awaited",
        "began",
        "call",
        "cancelling",
        "context",
        "future",
        "id",
        "name",
        "restarts",
        "rule",
        "since",
        "timer",
        "work",
    )

    def __init__(
        self,
        host: TaskHost,
        address: str,
        name: str,
        call: Callable[[], Awaitable[T_co]],
        rule: RestartRule,
        awaited: int,
        home: Home,
    ) -> None:
        self._host = host
        self._home = home
        self.address = address
        """The address of its supervisor."""
        self.id = 0
        """Its number under this incarnation of its supervisor, from 1."""
        self.name = name
        """The name of its function."""
        self.call = call
        self.rule = rule
        self.restarts = 0
        """The number of times that it was run again."""
        self.since = 0.0
        """The time of its first start, in epoch seconds; 0 while it waits for room."""
        self.began = 0.0
        """The time when its present attempt began, in monotonic seconds."""
        self.cancelling = ""
        """The reason why it is to end; "" if it isn't."""
        self.awaited = awaited
        """The number of callers that wait for its end."""
        self.work: asyncio.Task[Any] | None = None
        """Its present attempt, or the wait for the next one."""
        self.timer: asyncio.TimerHandle | None = None
        self.future: asyncio.Future[T_co] = asyncio.get_running_loop().create_future()
        # It inherits what an asyncio task would, but not the turn of its caller, because it is no part of that.
        self.context = copy_context()
        self.context.run(current_turn.set, None)
        self.context.run(beside_turns.set, True)

    def __await__(self) -> Generator[Any, None, T_co]:
        self._home.check("awaiting a task")
        self.awaited += 1
        try:
            # All callers share the future, so one that is cancelled must not cancel it for the others.
            return (yield from asyncio.shield(self.future).__await__())
        finally:
            self.awaited -= 1

    @property
    def done(self) -> bool:
        """Whether it has ended, or was given up."""
        return self.future.done()

    def cancel(self) -> bool:
        """Raise `CancelledError` in its coroutine; it isn't run again. False if it was done already.

        It returns at once. Await the task to wait for its end; that raises TaskCancelled unless the coroutine
        returned all the same.
        """
        if self.future.done():
            return False
        self._home.check("task.cancel()")
        self._host.let_go(self, "it was cancelled")
        return True

    def abandon(self) -> None:
        """Cancel it, because its only caller waits no more. If the caller is garbage of a closed loop, do nothing."""
        if self._home.is_here:
            self.cancel()

    def expire(self, timeout_s: float) -> None:
        """End the wait of its callers, because its time is up, whatever the coroutine still does."""
        self.timer = None
        if not self.future.done():
            self.settle(error=TaskTimeout(self.address, self.name, timeout_s))
            self._host.let_go(self, f"it took longer than {timeout_s:g} s")

    def settle(self, result: Any = None, error: BaseException | None = None) -> None:
        """Give its end to the callers that wait."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        else:
            self.future.set_exception(error)
            self.future.exception()  # it is reported elsewhere, so asyncio needn't if no caller awaits it

    def __repr__(self) -> str:
        state = "done" if self.future.done() else "running" if self.since else "waiting"
        return f"<Task {self.id} {self.name} of {self.address}, {state}>"


class TaskHost(abc.ABC):
    """The supervisor's side of a task."""

    @abc.abstractmethod
    def admit(self, task: Task[Any], *, waits: bool) -> None:
        """Run it, now or, if it `waits`, when there is room.

        Raises:
            TasksFull, ActorNotFound
        """

    @abc.abstractmethod
    def let_go(self, task: Task[Any], why: str) -> None:
        """Cancel a task."""
