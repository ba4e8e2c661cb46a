"""InlineConnection: for the SQL of a simulated turn, without the thread that aiosqlite gives to each connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...persistence.engines.sqlite.lending.connection import LeasedConnection
from ...persistence.engines.sqlite.lending.lease import Lease

__all__ = ("InlineConnection",)


class InlineConnection(LeasedConnection):
    def __init__(self, lease: Lease, run: Callable[..., None]) -> None:
        """
        Args:
            run: makes a call some time later, in order, and settles a future with its result.
        """
        super().__init__(lease)
        self._thread: Any = _NoThread()
        self._tx: Any = _Inline(run)

    def __del__(self) -> None:
        """One that died with its node was never closed."""


class _NoThread:
    daemon = True

    def start(self) -> None: ...


class _Inline:
    """It stands in for the queue to the thread of aiosqlite."""

    def __init__(self, run: Callable[..., None]) -> None:
        self._run = run

    def put_nowait(self, item: tuple[Any, Callable[[], Any]]) -> None:
        self._run(*item)
