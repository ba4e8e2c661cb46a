"""InlineWorker, InlineTransactions: the user's SQL in a simulated turn, without the threads of a real store."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from ...persistence.engines.sqlite.lending.connection import LeasedConnection
from ...persistence.engines.sqlite.lending.lease import Lease
from ...persistence.engines.sqlite.lending.transaction import UserTransactions
from ...persistence.engines.sqlite.worker import Worker
from .life import Life
from .loop import NodeDied

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("InlineConnection", "InlineTransactions", "InlineWorker")

T = TypeVar("T")


class InlineWorker(Worker):
    """Calls are made in order, as in a thread, and take their time."""

    def __init__(self, life: Life) -> None:
        super().__init__("simulated")
        self._life = life
        self._until = 0.0

    @property
    def dead(self) -> bool:
        return self._life.dead

    def call(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        life, future = self._life, asyncio.get_running_loop().create_future()
        self.run(future, function, *args)
        if life.dead:
            raise NodeDied
        return future

    def run(self, future: asyncio.Future[Any] | None, function: Callable[..., Any], *args: Any) -> None:
        loop = self._life.loop
        takes_s = self._life.random.random() ** 3 * min(self._life.weather.delay_s, 0.01)
        self._until = max(self._until, loop.now_s) + takes_s
        loop.call_at(self._until, _answer, future, function, *args)

    async def stop(self) -> None:
        """There is no thread."""


class InlineTransactions(UserTransactions):
    """Lends connections that have no thread of their own."""

    def __init__(self, worker: InlineWorker) -> None:
        super().__init__(worker)
        self._inline = worker
        self._leased: AsyncConnection | None = None

    def _connected(self) -> Any:
        engine = super()._connected()

        def connect() -> AsyncConnection:
            self._leased = engine.connect()
            return self._leased

        return SimpleNamespace(connect=connect)

    @asynccontextmanager
    async def transaction(
        self, connection: sqlite3.Connection, mutex: Lock, where: str, *, here: bool = False
    ) -> AsyncIterator[Any]:
        try:
            async with super().transaction(connection, mutex, where, here=here) as leased:
                yield leased
        except NodeDied:
            with suppress(Exception):  # else SQLAlchemy would complain when it is collected
                if self._leased is not None and self._leased.sync_connection is not None:
                    self._leased.sync_connection.detach()
            raise

    def _take_back(self, lease: Lease, leased: AsyncConnection | None) -> Coroutine[Any, Any, None]:
        """On a loop that is dead there is nothing to wait for: the exception that ends the block goes on."""
        if self._inline.dead:
            raise sys.exc_info()[1] or NodeDied()
        return super()._take_back(lease, leased)

    async def _lease_out(self) -> Any:
        lease = self.lease
        assert lease is not None
        self._raw = raw = InlineConnection(lease, self._inline.run)
        return await raw


def _answer(future: asyncio.Future[Any] | None, function: Callable[..., Any], *args: Any) -> None:
    result: Any = None
    failure: Exception | None = None
    try:
        result = function(*args)
    except Exception as error:
        failure = error
    if future is None or future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


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
