"""The connection that SQLAlchemy and aiosqlite get in a user transaction: it can't end the transaction."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self, cast

import aiosqlite

from ....errors import TableReserved, TransactionMisused
from ..driver import translate
from .lease import Lease

__all__ = ("LeasedConnection",)

_FETCH_ROWS = 256

_CONTROL = re.compile(
    r"""(?: \s | ; | --[^\n]*\n | /\*.*?\*/ )*
    (?P<word> BEGIN | COMMIT | END | ROLLBACK (?! [^;]*? \b TO \b ) ) \b""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
"""Matches statements that would begin or end the transaction. A savepoint's ROLLBACK TO isn't one."""


class LeasedConnection(aiosqlite.Connection):
    """An aiosqlite connection with a thread of its own. It is lent a database connection for one transaction at a time.

    A hop to the thread and back costs as much as many a statement. So a statement makes one: it brings its first rows
    along, and what touches no database (a new cursor, the end of a read one) makes none.
    """

    def __init__(self, lease: Lease) -> None:
        super().__init__(lambda: cast(sqlite3.Connection, self._leased), _FETCH_ROWS)
        self._leased = _Leased(lease)
        self._stopped = False
        self.spoiled = False
        """Whether a call was cancelled: its statement may still be in the thread's queue. No other turn gets this."""

    @property
    def fit(self) -> bool:
        """Whether another transaction may be lent to it."""
        return not (self._stopped or self.spoiled)

    def lend(self, lease: Lease) -> None:
        """Run statements under this lease from now on. The one before is over."""
        self._leased = _Leased(lease)
        self._connection = cast(sqlite3.Connection, self._leased)

    async def _execute(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            self.spoiled = True
            raise

    def cursor(self) -> Any:
        return _Statement(self)

    async def commit(self) -> None:
        self._conn.commit()

    async def rollback(self) -> None:
        self._conn.rollback()

    def stop(self) -> asyncio.Future[Any] | None:
        """End the thread, once: it would never answer a second stop.

        SQLAlchemy stops a second time, without waiting, if it is cancelled again while it closes the connection.
        """
        if self._stopped:
            return None
        self._stopped = True
        return super().stop()

    async def close(self) -> None:
        """Interrupt the statement that runs, then close.

        SQLAlchemy closes a connection if a task is cancelled in one of its statements. The statement may have long to
        run, and closing would wait for it.
        """
        lease = self._leased.lease
        if not lease.over:
            lease.lost = TransactionMisused("the connection was closed, or a statement was cancelled")
            lease.end()
        await super().close()


class _Statement(aiosqlite.Cursor):
    """A cursor that makes one hop to the thread for a statement and its first rows."""

    def __init__(self, connection: LeasedConnection) -> None:
        super().__init__(connection, connection._conn.cursor())
        self._first: deque[Any] = deque()
        self._more = False
        """Whether there may be rows beyond the first ones."""

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Any = None) -> Self:
        await self._execute(self._run, sql, () if parameters is None else parameters)  # type: ignore[no-untyped-call]
        return self

    def _run(self, sql: str, parameters: Any) -> None:
        self._first.clear()
        self._more = False
        self._cursor.execute(sql, parameters)
        if self._cursor.description is not None:
            rows = self._cursor.fetchmany(_FETCH_ROWS)
            self._first.extend(rows)
            self._more = len(rows) == _FETCH_ROWS

    async def fetchone(self) -> Any:
        if self._first:
            return self._first.popleft()
        return await super().fetchone() if self._more else None

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        wanted = self.arraysize if size is None else size
        rows = [self._first.popleft() for _ in range(min(wanted, len(self._first)))]
        if self._more and len(rows) < wanted:
            rows += await super().fetchmany(wanted - len(rows))
        return rows

    async def fetchall(self) -> list[Any]:
        rows = list(self._first)
        self._first.clear()
        return [*rows, *await super().fetchall()] if self._more else rows

    async def __aiter__(self) -> AsyncIterator[Any]:
        while rows := await self.fetchmany(_FETCH_ROWS):
            for row in rows:
                yield row

    async def close(self) -> None:
        if self._more:
            await super().close()
        else:  # SQLite is through with it
            self._cursor.close()


class _LeasedCursor(sqlite3.Cursor):
    def __init__(self, connection: sqlite3.Connection, lease: Lease) -> None:
        super().__init__(connection)
        self._lease = lease

    def execute(self, sql: str, parameters: Any = (), /) -> _LeasedCursor:
        self._run(sql, super().execute, parameters)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> _LeasedCursor:
        self._run(sql, super().executemany, parameters)
        return self

    def executescript(self, sql: str, /) -> _LeasedCursor:
        raise TransactionMisused("executescript commits before it runs")

    def _run(self, sql: str, execute: Any, parameters: Any) -> None:
        lease = self._lease
        if control := _CONTROL.match(sql):
            raise TransactionMisused(f"{control['word'].upper()} was executed")
        with lease.mutex:
            lease.check()
            lease.guard.begin(sql)
            try:
                execute(sql, parameters)
            except sqlite3.Error as error:
                if lease.refused is not None:
                    refused, lease.refused = lease.refused, None
                    raise TableReserved(refused) from error
                if not lease.connection.in_transaction:
                    lease.lost = translate(error, lease.where)
                raise


class _Leased:
    """Stands where aiosqlite expects a connection of sqlite3."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease

    def __getattr__(self, name: str) -> Any:
        return getattr(self.lease.connection, name)

    def cursor(self, *_: Any) -> sqlite3.Cursor:
        lease = self.lease
        cursor = lease.connection.cursor(lambda connection: _LeasedCursor(connection, lease))
        lease.cursors.add(cursor)
        return cursor

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        return self.cursor().executemany(sql, parameters)

    def executescript(self, sql: str, /) -> sqlite3.Cursor:
        return self.cursor().executescript(sql)

    def commit(self) -> None:
        if not self.lease.over and self.lease.connection.in_transaction:
            raise TransactionMisused("commit() was called")

    def rollback(self) -> None:
        if not self.lease.over and self.lease.connection.in_transaction:
            raise TransactionMisused("rollback() was called")

    def close(self) -> None:
        """End nothing: the connection isn't aiosqlite's."""
