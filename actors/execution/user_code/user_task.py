"""UserTask: a task of the runtime's own in which user code runs. It tells where a cancellation of it came from.

A runner runs the handlers of many actors in one task, one after another. All of them see the same
`asyncio.current_task()`, so a time limit that one of them leaves armed would cancel another actor's handler. Therefore
`cancel` looks at the turn whose code calls it. asyncio runs a callback in the context in which the callback was made,
so the turn is known there, too.

| the caller of `cancel` | the cancellation |
| --- | --- |
| the runtime (`interrupt`) | goes through |
| the turn that waits in this task | goes through: its own doing, and its failure if nothing catches it |
| a turn in its first step, before it has waited | goes through when the turn begins to wait; else it is dropped |
| a turn that is over | is dropped, because it was meant for that turn |
| any other code | goes through without a charge, if a turn waits in this task; else it is dropped |
| the end of the loop, or of the node | goes through |
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import Context
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...kernel.current import turn_here
from ...kernel.turn import OPEN, Turn
from .containment import Guarded

if TYPE_CHECKING:
    from collections.abc import Generator

    from ...kernel.kernel import Kernel

__all__ = ("UserTask", "interrupt", "spawn")

T = TypeVar("T")


class UserTask(asyncio.Task[T]):
    """A task of the runtime's own in which user code runs."""

    turn: Turn | None = None
    """The turn that waits in this task."""
    foreign = False
    """Whether code that has nothing to do with the turn has cancelled it."""
    marked = False
    """Whether it was cancelled since a turn last began to wait in it. The next one calls `enter` then."""
    _asked: Turn | None = None
    """The turn that has cancelled this task in its first step."""

    _must_cancel: bool
    """Of asyncio: whether `CancelledError` is raised at its next await."""

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], *, kernel: Kernel, name: str, context: Context | None = None
    ) -> None:
        self._kernel = kernel
        guarded = cast("Coroutine[Any, Any, T]", Guarded(coroutine))
        super().__init__(guarded, loop=asyncio.get_running_loop(), name=name, context=context)

    def cancel(self, msg: Any | None = None) -> bool:
        if self.done():
            return False
        asking = turn_here()
        if asking is not None:
            if asking is self.turn:
                return super().cancel(msg)
            if asking.status is not OPEN:
                return False
        loop = self.get_loop()
        if asyncio.current_task(loop) is self:
            self._asked, self.marked = asking, True
            return asking is not None
        # A loop that ends cancels all tasks in a row. So that is known a moment later.
        loop.call_soon(self._cancelled_by_others)
        return True

    def _cancelled_by_others(self) -> None:
        turn = self.turn
        strikes = turn is not None and not turn.cell.definition.cls._supervises  # a supervisor's turn runs our own code
        if strikes or self._kernel.closing or self._kernel.cut_short:
            self.foreign = self.marked = True
            super().cancel()

    def enter(self) -> None:
        """A turn begins to wait in this task. Forget what was asked for before, but by the turn itself."""
        self.foreign = self.marked = False
        asked, self._asked = self._asked, None
        if asked is not None and asked is self.turn:
            super().cancel()

    @coroutine
    def settle(self) -> Generator[None, None, None]:
        """A turn waits no more, and has left a cancellation. End it, because the next turn would see it."""
        if self._must_cancel:  # asked for in the turn's last step: it is raised at the next await
            with suppress(asyncio.CancelledError):
                yield
        while self.cancelling():
            self.uncancel()


def spawn(kernel: Kernel, coroutine: Coroutine[Any, Any, T], name: str, context: Context | None = None) -> UserTask[T]:
    """Start a task in which user code runs."""
    return kernel.runtime.made(UserTask(coroutine, kernel=kernel, name=name, context=context))


def interrupt(task: asyncio.Task[Any]) -> None:
    """Cancel a task, because the runtime wants its end."""
    asyncio.Task.cancel(task)
