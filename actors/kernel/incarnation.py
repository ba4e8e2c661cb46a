"""Incarnation: one life of an actor between start and exit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from ..messages.signals import ExitReason
from .cell import Cell
from .hooks import Instance

__all__ = ("Incarnation",)


class Incarnation:
    """One life, numbered by (boot epoch, counter). A zombie still holds its own, and is told apart by that."""

    __slots__ = (
        "actor",
        "cell",
        "context",
        "ending",
        "exit_signal",
        "kernel",
        "number",
        "started",
        "stop_began",
        "watch",
    )

    def __init__(self, cell: Cell, number: int) -> None:
        self.cell = cell
        self.kernel = cell.kernel
        self.number = number
        self.actor: Instance = None  # type: ignore[assignment]  # set by the start, before anything runs
        self.context: Context = copy_context()
        """Handlers run in it, so that context variables behave as if the incarnation were a task."""
        self.watch: Callable[[Any], object] | None = None
        """Called with each turn at its beginning, if turns are observed (extensions/introspection)."""
        self.started = cell.kernel.runtime.now()
        """The time of its start, in epoch seconds."""
        self.exit_signal: ExitReason | None = None
        """The reason of an exit signal that came over a link while it started."""
        self.ending: asyncio.Future[None] | None = None
        """Pending while a task other than a runner ends it: one ends it at a time, and a second one waits."""
        self.stop_began = False
        """Whether its `on_stop` has begun."""

    @property
    def address(self) -> str:
        return self.cell.address

    def begin_end(self) -> None:
        """A task of the caller's ends it from now on."""
        self.ending = asyncio.get_running_loop().create_future()

    def finish_end(self) -> None:
        """The task that was to end it has done so, or was cancelled over it."""
        ending, self.ending = self.ending, None
        if ending is not None and not ending.done():
            ending.set_result(None)

    def exit_later(self, reason: ExitReason) -> None:
        """Note an exit signal that came while it starts: it comes up first, and exits then."""
        self.exit_signal = reason
