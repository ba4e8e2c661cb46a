"""Tasks: coroutines under the supervision of a `TaskSupervisor`. This module is the side of callers, who start them.

    tasks = system.tasks("/app/tasks")
    page = await tasks.run(fetch, url, timeout_s=10.0)     # waits for its result
    task = tasks.start(refresh, restart="transient")       # doesn't wait; may be awaited later
    async for page in tasks.map(fetch, urls, limit=20):    # in order, twenty at a time
        ...

A task is no turn: it runs beside the actors, in an asyncio task of its own, and lives in memory only. Its tells are
tells from outside. The model is Elixir's `Task.Supervisor`: `run` is async_nolink and await, `start` is start_child,
`map` is async_stream_nolink.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from ....persistence.home import Home
from ...definition.options import Backoff
from ...delivery.guard import checked_timeout
from ...kernel.cell import UP
from ...kernel.errors import ActorNotFound
from ...kernel.kernel import Kernel
from .task import NEVER, Restart, RestartRule, Task, TaskHost

__all__ = ("Tasks",)

T = TypeVar("T")
A = TypeVar("A")
MAP_LIMIT = 10
NAME_LENGTH_MAX = 200


_NAME_IT = 'Name a TaskSupervisor: ChildSpec(id="tasks", actor=TaskSupervisor)'
_START_IT = "Start it first (RestartChild, or `greenroom actors start`), or wait for its restart"


class Tasks:
    """A way to start tasks under one `TaskSupervisor`. It is cheap, and good for as long as the system.

    A start takes effect at once. In a handler it is an outside effect, which is repeated when the turn is.
    """

    __slots__ = ("_kernel", "address")

    def __init__(self, kernel: Kernel, address: str) -> None:
        self._kernel = kernel
        self.address = address

    async def run(
        self, function: Callable[..., Awaitable[T]], *args: Any, timeout_s: float | None = None, **kwargs: Any
    ) -> T:
        """Run `function(*args, **kwargs)` under supervision and return its result.

        It waits for room when as many tasks run as may. A cancelled caller cancels the task, and waits for nothing.

        Args:
            timeout_s: seconds it may take, the wait for room included.

        Raises:
            TaskTimeout: it took longer, and was cancelled.
            TaskCancelled: its supervisor has stopped, or the store has failed and the tree was reset.
            TasksFull: too many wait for room already.
            ActorNotFound: no TaskSupervisor runs at the address.
            Exception: the function's own exception. It is no exit of any actor.
        """
        task = self._task(function, args, kwargs, NEVER, timeout_s, waits=True)
        try:
            return await task
        finally:
            task.abandon()  # if it isn't done, its caller was cancelled

    def start(
        self,
        function: Callable[..., Awaitable[T]],
        *args: Any,
        restart: Restart = "temporary",
        max_restarts: int = 3,
        period_s: float = 5.0,
        backoff: Backoff | None = None,
        timeout_s: float | None = None,
        **kwargs: Any,
    ) -> Task[T]:
        """Run `function(*args, **kwargs)` under supervision, without waiting. A function that takes
        keywords of these names is given as a `functools.partial`.

        A failure is an event and in the log, whether a caller awaits the task or not. It is no exit of any actor.

        Args:
            restart: "transient": run it again when it raised; "temporary": never.
            max_restarts: so many restarts within `period_s` seconds are borne; at one more the task has failed for
                good. OTP: supervisor(3), "Maximum restart intensity"; here each task has its own.
            backoff: the wait before each restart; the series starts anew after an attempt that lasted `period_s`
                seconds. None: no wait.
            timeout_s: seconds it may take, restarts included; None: no limit.

        Raises:
            TasksFull: as many tasks run as may.
            ActorNotFound: no TaskSupervisor runs at the address.
            SystemStopped, StoreFull, StoreUnavailable: nothing runs at the moment.
            TypeError: `function` is not async, or doesn't take these arguments.
        """
        rule = RestartRule(restart, max_restarts, period_s, backoff)
        return self._task(function, args, kwargs, rule, timeout_s, waits=False)

    async def map(
        self,
        function: Callable[[A], Awaitable[T]],
        items: Iterable[A],
        *,
        limit: int = MAP_LIMIT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[T, None]:
        """Yield `await function(item)` for each item, in their order. At most `limit` of them run, or lie finished.

        The first failure is raised in its place, and ends it. A caller that leaves early closes it, as any async
        generator, with `contextlib.aclosing`; the tasks that still run are cancelled then.

        Args:
            timeout_s: seconds each item may take, the wait for room included.

        Raises: as `run`.
        """
        if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
            raise ValueError(f"limit={limit!r}: write a whole number of at least 1")
        window: deque[Task[T]] = deque()
        try:
            for item in items:
                if len(window) == limit:
                    result = await window[0]
                    window.popleft()
                    yield result
                window.append(self._task(function, (item,), {}, NEVER, timeout_s, waits=True))
            while window:
                result = await window[0]
                window.popleft()
                yield result
        finally:
            for task in window:
                task.abandon()

    def _task(
        self,
        function: Callable[..., Awaitable[T]],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        rule: RestartRule,
        timeout_s: float | None,
        *,
        waits: bool,
    ) -> Task[T]:
        home = self._kernel.part(Home)
        home.check("starting a task")
        name = _check_call(function, args, kwargs)
        if timeout_s is not None:
            checked_timeout(timeout_s)
        host = self._host()
        task: Task[T] = Task(host, self.address, name, partial(function, *args, **kwargs), rule, int(waits), home)
        host.admit(task, waits=waits)
        if timeout_s is not None:
            task.timer = self._kernel.runtime.call_later(timeout_s, task.expire, timeout_s)
        return task

    def _host(self) -> TaskHost:
        """
        Raises:
            ActorNotFound, SystemStopped, StoreError
        """
        cell = self._kernel.router.resolve(self.address)
        if not issubclass(cell.definition.cls, TaskHost):
            raise ActorNotFound(
                self.address, f"the actor there is a {cell.definition.name}, no TaskSupervisor", _NAME_IT
            )
        if cell.status is not UP or cell.incarnation is None:
            self._kernel.check_running()
            raise ActorNotFound(self.address, f"the TaskSupervisor there is {cell.status}", _START_IT)
        host = cell.incarnation.actor
        assert isinstance(host, TaskHost)
        return host

    def __repr__(self) -> str:
        return f"<Tasks {self.address}>"


def _check_call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The function's name.

    Raises:
        TypeError: it is no async function, or doesn't take these arguments. That is the caller's mistake,
            and not the task's.
    """
    if inspect.iscoroutine(function):
        function.close()
        raise TypeError(
            f"{function.__qualname__}(...) is a coroutine, which can run only once. "
            f"Give the function and its arguments apart: {function.__qualname__}, ..."
        )
    if not callable(function):
        raise TypeError(f"{function!r} can't be called. Give an async function and its arguments")
    inner = inspect.unwrap(function)
    while isinstance(inner, partial):
        inner = inner.func
    name = str(getattr(inner, "__qualname__", type(inner).__qualname__))[:NAME_LENGTH_MAX]
    if inspect.isasyncgenfunction(inner) or (inspect.isfunction(inner) and inspect.isgeneratorfunction(inner)):
        raise TypeError(f"{name} is a generator: write an async function that returns its result")
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(f"{name} can't be called so: {error}") from None
    except ValueError:
        pass  # a function of C, without a signature
    return name
