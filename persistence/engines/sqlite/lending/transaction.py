"""UserTransactions: a write transaction that is kept open for the user's SQL, through SQLAlchemy.

SQLAlchemy and aiosqlite get a leased connection (`connection`): they can't end the transaction, and once the lease has
ended none of their statements runs. That matters if a task is cancelled inside a statement. Then aiosqlite's thread may
still have the statement in its queue, and if it ran after our ROLLBACK it would commit by itself.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from ....runtime import uncancelled
from ..worker import Worker
from .lease import Lease

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from .connection import LeasedConnection

__all__ = ("UserTransactions",)


class UserTransactions:
    """Begins user transactions on one connection, one at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._engine: AsyncEngine | None = None
        self._raw: LeasedConnection | None = None
        """The one connection of the engine's pool. It is lent each transaction in turn, as long as all goes well."""
        self.lease: Lease | None = None
        self.here = False
        """Whether the transaction that is held was begun on the loop's thread."""

    @asynccontextmanager
    async def transaction(
        self, connection: sqlite3.Connection, mutex: Lock, where: str, *, here: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """Run BEGIN IMMEDIATE, the block, then ROLLBACK, which undoes nothing after a commit.

        Args:
            here: begin on the loop's own thread, because that takes less time than the way to another.
        """
        if self.lease is not None:
            raise RuntimeError("a transaction is held already")
        lease = self.lease = Lease(connection, mutex, where)
        self.here = here
        leased: AsyncConnection | None = None
        try:
            if self._raw is not None:
                self._raw.lend(lease)
            leased = self._connected().connect()
            await leased.start()
            if here:
                lease.begin()
            else:
                await uncancelled(self._worker.call(lease.begin))
            yield leased
        finally:
            lease.end()
            if lease.settled:  # nothing is waited for, so nothing can be cancelled
                await self._take_back(lease, leased)
            else:
                await uncancelled(self._take_back(lease, leased))

    def _take_back(self, lease: Lease, leased: AsyncConnection | None) -> Coroutine[Any, Any, None]:
        return self._taken_back(lease, leased)

    async def _taken_back(self, lease: Lease, leased: AsyncConnection | None) -> None:
        try:
            if not lease.settled:
                await self._worker.call(lease.roll_back)
            whole = lease.lost is None
            if leased is not None:
                try:
                    await leased.close()
                except Exception:
                    whole = False
            if not whole or self._raw is None or not self._raw.fit:
                await self._discard()  # something of this transaction may be in the connection, or in its thread
        finally:
            self.lease = None

    async def _discard(self) -> None:
        engine, self._engine, raw, self._raw = self._engine, None, self._raw, None
        if raw is not None:
            with suppress(Exception):
                await raw.close()
        if engine is not None:
            with suppress(Exception):
                await engine.dispose()

    async def close(self) -> None:
        """End the connection's thread. No transaction is held."""
        await self._discard()

    def guard(self, connection: sqlite3.Connection) -> None:
        """Keep SQL of users from writing to greenroom's tables on a connection that is lent. Once a connection."""
        connection.set_authorizer(self._authorize)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: str | None) -> int:
        lease = self.lease
        if lease is None or lease.over:
            return sqlite3.SQLITE_OK
        lease.refused = lease.guard.refusal(action, first, second)
        return sqlite3.SQLITE_OK if lease.refused is None else sqlite3.SQLITE_DENY

    def _connected(self) -> AsyncEngine:
        if self._engine is None:
            from sqlalchemy.ext.asyncio import create_async_engine  # late: nodes without user transactions needn't wait
            from sqlalchemy.pool import StaticPool

            self._engine = create_async_engine(
                "sqlite+aiosqlite://", poolclass=StaticPool, pool_reset_on_return=None, async_creator=self._lease_out
            )
        return self._engine

    async def _lease_out(self) -> Any:
        from .connection import LeasedConnection  # imports aiosqlite, for the same reason late

        lease = self.lease
        assert lease is not None, "connections are only made inside a transaction"
        # Its thread inherits from the worker's that it is a daemon, so that an unclosed one doesn't hang the exit.
        self._raw = raw = await self._worker.call(LeasedConnection, lease)
        return await raw
