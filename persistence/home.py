"""Home: the place where a node, or a client, lives: one event loop, on one thread, in one process.

None of their parts is safe for threads. So every door (`tell`, `ask`, `self.schedule`, …) first compares two numbers:
the ident of the calling thread, and the ident of the thread in which the loop runs at this moment. The loop itself
keeps the latter up to date, so the comparison finds a worker thread, a second loop, and a loop that doesn't run. A
forked child is found because the fork takes the homes of the child's copies away.
"""

from __future__ import annotations

import asyncio
import os
import threading
from asyncio import AbstractEventLoop
from asyncio.events import _get_running_loop
from collections.abc import Callable
from contextlib import suppress
from threading import get_ident
from typing import Any
from weakref import WeakSet

from .errors import NoEventLoop, WrongThread

__all__ = ("Home",)


def _running_loop(call: str) -> AbstractEventLoop:
    """The event loop that runs here.

    Args:
        call: the call that needs it, for the error.

    Raises:
        NoEventLoop: no event loop of asyncio runs here.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NoEventLoop(call) from None


def _nothing() -> None:
    """A client has nothing that could go on in a child."""


class Home:
    """Where a node lives. `loop._thread_id != get_ident()` is the whole check, which takes about 30 ns."""

    __slots__ = ("__weakref__", "_forked", "event_loop", "loop")

    def __init__(self, forked: Callable[[], object] = _nothing, call: str = "start()") -> None:
        """
        Args:
            forked: called in a forked child, whose copy of the node must not go on.
            call: the call that makes the home, for the error.

        Raises:
            NoEventLoop: no event loop of asyncio runs here.
        """
        self.event_loop = _running_loop(call)
        self.loop: Any = self.event_loop if hasattr(self.event_loop, "_thread_id") else _Foreign(self.event_loop)
        """Has `_thread_id`: the ident of the thread in which the loop runs; None while it doesn't run."""
        self._forked = forked
        _homes.add(self)

    @property
    def is_here(self) -> bool:
        """Whether the caller runs on the loop."""
        return bool(self.loop._thread_id == get_ident())

    @property
    def abandoned(self) -> bool:
        """Whether the caller is garbage of a loop that was closed under the node. A forked child isn't, because it goes
        on with its copy of the loop."""
        return not self.is_here and self.loop is not _NOWHERE

    def check(self, call: str) -> None:
        """
        Args:
            call: what was called, for the error: "tell()".

        Raises:
            WrongThread: the caller doesn't run on the node's loop.
        """
        if self.loop._thread_id != get_ident():
            raise self.stranger(call)

    def check_apart(self, call: str) -> None:
        """The opposite, for a call that blocks until the loop has done something.

        Raises:
            WrongThread: the caller runs on the node's loop, which would wait for itself; or it is a forked child.
        """
        if self.loop is _NOWHERE:
            raise WrongThread(call, "process")
        if self.is_here:
            raise WrongThread(call, "waits")

    def end_garbage(self, error: BaseException) -> None:
        """End a coroutine of the node that is garbage, because the loop was closed under the node.

        Then user code may have turned the `GeneratorExit` into any other error, and another loop may run by now.

        Args:
            error: the error that the coroutine has caught.
        """
        if not self.abandoned:
            return
        if isinstance(error, GeneratorExit):
            raise error
        raise GeneratorExit from error

    def stranger(self, call: str) -> WrongThread:
        """The error for a caller that doesn't run on the node's loop."""
        if self.loop is _NOWHERE:
            return WrongThread(call, "process")
        if _get_running_loop() is not None:
            return WrongThread(call, "loop")
        if not self.event_loop.is_running():
            return WrongThread(call, "stopped")
        return WrongThread(call, "thread", threading.current_thread().name)

    def leave(self) -> None:
        """This is a forked child: the node lives in the parent."""
        self.loop = _NOWHERE
        self._forked()


class _Nowhere:
    _thread_id = None


_NOWHERE = _Nowhere()


class _Foreign:
    """Stands for a loop that doesn't say in which thread it runs (uvloop)."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop

    @property
    def _thread_id(self) -> int | None:
        return get_ident() if _get_running_loop() is self._loop else None


_homes: WeakSet[Home] = WeakSet()


def _after_fork() -> None:
    homes: list[Home] = []
    with suppress(RuntimeError):  # another thread was changing the set when the fork came
        homes += _homes
    for home in homes:
        home.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
