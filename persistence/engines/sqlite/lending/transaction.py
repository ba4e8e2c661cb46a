"""UserTransactions: a write transaction that is kept open for the user's SQL, through SQLAlchemy.

SQLAlchemy and aiosqlite get a leased connection (`connection`): they can't end the transaction, and once the lease has
ended none of their statements runs. That matters if a task is cancelled inside a statement. Then aiosqlite's thread may
still have the statement in its queue, and if it ran after our ROLLBACK it would commit by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from ....runtime import uncancelled
from ..worker import Worker
from .lease import Lease

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

__all__ = ("UserTransactions",)


class UserTransactions:
    """Begins user transactions on one connection, one at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._engine: AsyncEngine | None = None
        self.lease: Lease | None = None

    @asynccontextmanager
    async def transaction(
        self, connection: sqlite3.Connection, mutex: Lock, where: str
    ) -> AsyncIterator[AsyncConnection]:
        """Run BEGIN IMMEDIATE, the block, then ROLLBACK, which undoes nothing after a commit."""
        if self.lease is not None:
            raise RuntimeError("a transaction is held already")
        lease = self.lease = Lease(connection, mutex, where)
        leased: AsyncConnection | None = None
        try:
            engine = self._connected()
            leased = engine.connect()
            await leased.start()
            await uncancelled(self._worker.call(lease.begin))
            yield leased
        finally:
            lease.end()
            await uncancelled(self._take_back(lease, leased))

    async def _take_back(self, lease: Lease, leased: AsyncConnection | None) -> None:
        try:
            await self._worker.call(lease.roll_back)
            if leased is not None:
                with suppress(Exception):
                    await leased.close()
        finally:
            self.lease = None

    def _connected(self) -> AsyncEngine:
        if self._engine is None:
            from sqlalchemy.ext.asyncio import create_async_engine  # late: nodes without user transactions needn't wait
            from sqlalchemy.pool import NullPool

            self._engine = create_async_engine("sqlite+aiosqlite://", poolclass=NullPool, async_creator=self._lease_out)
        return self._engine

    async def _lease_out(self) -> Any:
        from .connection import LeasedConnection  # imports aiosqlite, for the same reason late

        lease = self.lease
        assert lease is not None, "connections are only made inside a transaction"
        # Its thread inherits from the worker's that it is a daemon, so that an unclosed one doesn't hang the exit.
        return await (await self._worker.call(LeasedConnection, lease))
