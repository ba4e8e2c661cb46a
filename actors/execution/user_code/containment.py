"""Containment: `SystemExit` in a task that user code has made ends that task, and not the event loop.

asyncio lets `SystemExit` out of a task through the loop, which ends the program. That is no way for a handler to fail.
So a child task of a handler, of a supervised task, or of anything else that these have made ends with `ExitInTask`, a
failure as any other. The same holds for `GeneratorExit`, which no task can hand on. A Ctrl-C still ends the loop. Tasks
of the program beside the node aren't touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import GeneratorType
from typing import Any, cast

from ...kernel.current import current_turn
from ...kernel.errors import ExitInTask

__all__ = ("Guarded", "beside_turns", "contained_exits")

CLOSING = "async_generator_athrow"
"""The type of the coroutine by which the loop closes an async generator that nobody has closed. Nobody knows whose
it was."""

beside_turns: ContextVar[bool] = ContextVar("greenroom_beside_turns", default=False)
"""Whether this code is a supervised task, or belongs to one."""


class Guarded:
    """A coroutine, as its task sees it, but that no `GeneratorExit` is thrown into it.

    A task throws the error of the future that it awaits. A thrown `GeneratorExit` would close all the coroutines that
    wait for each other there, and they couldn't tell it from the end of the program.
    """

    __slots__ = ("_coroutine", "close", "send")

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine
        self.send: Callable[[Any], Any] = coroutine.send  # a call of C
        self.close: Callable[[], None] = coroutine.close

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*_carried(*error))

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._coroutine.__await__())

    def __getattr__(self, name: str) -> Any:  # its name, its frame and its state, for those who print tasks
        return getattr(self._coroutine, name)


class Contained(Guarded):
    """The same for a task that user code has made: `SystemExit` and `GeneratorExit` come out of it as `ExitInTask`."""

    __slots__ = ()

    def __init__(self, coroutine: Any) -> None:
        super().__init__(coroutine)
        self.send = self._send

    def _send(self, value: Any) -> Any:
        try:
            return self._coroutine.send(value)
        except (SystemExit, GeneratorExit) as error:
            raise ExitInTask(error) from error

    def throw(self, *error: Any) -> Any:
        try:
            return super().throw(*error)
        except (SystemExit, GeneratorExit) as left:
            raise ExitInTask(left) from left


def _carried(error: Any, *more: Any) -> tuple[Any, ...]:
    if not isinstance(error, GeneratorExit):
        return (error, *more)
    carried = ExitInTask(error)
    carried.__cause__ = error
    return (carried,)


cast(Any, Coroutine).register(Guarded)


class TaskFactory:
    """Makes the tasks of a loop on which nodes run."""

    def __init__(self, before: Callable[..., Any] | None) -> None:
        self.before = before
        self.nodes = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        context = options.get("context")
        if context is None:
            inside = current_turn.get() is not None or beside_turns.get()
        else:
            inside = context.get(current_turn) is not None or context.get(beside_turns, False)
        if (inside or type(coroutine).__name__ == CLOSING) and not isinstance(coroutine, GeneratorType):
            coroutine = Contained(coroutine)
        if self.before is not None:
            return self.before(loop, coroutine, **options)
        return asyncio.Task(coroutine, loop=loop, **options)


@contextmanager
def contained_exits(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Contain `SystemExit` on this loop for the length of the block. Nodes on one loop share the containment."""
    factory: Any = loop.get_task_factory()
    if not isinstance(factory, TaskFactory):
        factory = TaskFactory(factory)
        loop.set_task_factory(factory)
    factory.nodes += 1
    try:
        yield
    finally:
        factory.nodes -= 1
        now: Any = loop.get_task_factory()
        if not factory.nodes and now is factory:
            loop.set_task_factory(factory.before)
