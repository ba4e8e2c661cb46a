"""A write transaction held open for the user's SQL, through SQLAlchemy, on a connection of ours.

What SQLAlchemy and aiosqlite get is lent (`lent`): they can't end the transaction, and from the moment the lease
ends none of their statements runs any more. That matters when a task is cancelled inside a statement:
aiosqlite's thread may still have that statement in its queue, and run after our ROLLBACK it would commit by
itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from threading import Event, Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ....errors import StoreError, TransactionMisused
from ..driver import translate
from ..statements import roll_back
from ..worker import Worker, uncancelled

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ("Held", "Lease")


ROLLBACKS_MAX, ROLLBACK_PAUSE_S = 1000, 0.001
"""How often, and after how many seconds each, a ROLLBACK that was interrupted is tried again."""


class Lease:
    """The right to run statements in one transaction."""

    def __init__(self, connection: sqlite3.Connection, mutex: Lock, where: str) -> None:
        self.connection = connection
        self.mutex = mutex
        """Held by whoever executes on `connection`."""
        self.where = where
        self.over = False
        self.lost: StoreError | None = None
        """Why the transaction is lost: SQLite rolled it back on its own (a full disk, for one)."""
        self.cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def begin(self) -> None:
        with self.mutex:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise translate(error, self.where) from error

    def end(self) -> None:
        """Let no statement start any more; one that runs is interrupted."""
        if not self.over:
            self.over = True
            with suppress(sqlite3.Error):
                self.connection.interrupt()

    def roll_back(self) -> None:
        """After `end`: wait for the statement that runs, then undo everything. Never raises.

        A SELECT whose rows are being fetched isn't waited for: it is interrupted, and so is whatever begins before it
        has ended, this ROLLBACK, too. SQLite: c3ref/interrupt.html
        """
        with self.mutex:
            for _ in range(ROLLBACKS_MAX):
                self._close_cursors()
                roll_back(self.connection)
                if not self.connection.in_transaction:
                    return
                Event().wait(ROLLBACK_PAUSE_S)

    @contextmanager
    def closing(self) -> Iterator[sqlite3.Connection]:
        """For whoever adds the last statements and commits: the lease is over, the transaction still open.

        Raises:
            TransactionMisused: the lease was over before.
            StoreError: SQLite rolled the transaction back.
        """
        with self.mutex:
            self.check()
            self.over = True
            self._close_cursors()
            yield self.connection

    def _close_cursors(self) -> None:
        for cursor in list(self.cursors):
            with suppress(sqlite3.Error):
                cursor.close()  # an unfinished SELECT would pin the WAL
        self.cursors.clear()

    def check(self) -> None:
        """
        Raises:
            TransactionMisused: the lease is over, or a cancelled statement ended it.
            StoreError: SQLite rolled the transaction back.
        """
        if self.lost is not None:
            raise self.lost
        if self.over:
            raise TransactionMisused("the turn's transaction is over")


class Held:
    """Hands out leases on one connection, one at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._engine: AsyncEngine | None = None
        self.lease: Lease | None = None

    @asynccontextmanager
    async def transaction(
        self, connection: sqlite3.Connection, mutex: Lock, where: str
    ) -> AsyncIterator[AsyncConnection]:
        """BEGIN IMMEDIATE, the block, ROLLBACK (which undoes nothing after a commit)."""
        if self.lease is not None:
            raise RuntimeError("a transaction is held already")
        lease = self.lease = Lease(connection, mutex, where)
        lent: AsyncConnection | None = None
        try:
            engine = self._connected()
            lent = engine.connect()
            await lent.start()
            await uncancelled(self._worker.call(lease.begin))
            yield lent
        finally:
            lease.end()
            await uncancelled(self._take_back(lease, lent))

    async def _take_back(self, lease: Lease, lent: AsyncConnection | None) -> None:
        try:
            await self._worker.call(lease.roll_back)
            if lent is not None:
                with suppress(Exception):
                    await lent.close()
        finally:
            self.lease = None

    def _connected(self) -> AsyncEngine:
        if self._engine is None:
            from sqlalchemy.ext.asyncio import create_async_engine  # only who uses SQL in turns pays for it
            from sqlalchemy.pool import NullPool

            self._engine = create_async_engine("sqlite+aiosqlite://", poolclass=NullPool, async_creator=self._lend)
        return self._engine

    async def _lend(self) -> Any:
        from .connection import LentConnection

        lease = self.lease
        assert lease is not None, "connections are only made inside a transaction"
        # Made on the worker, whose threads inherit that they are daemons: unclosed, it doesn't hang the exit.
        return await (await self._worker.call(LentConnection, lease))
