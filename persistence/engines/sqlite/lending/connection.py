"""The connection that SQLAlchemy and aiosqlite get in a user transaction: it can't end the transaction."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from typing import Any, cast

import aiosqlite

from ....errors import TransactionMisused
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
    """An aiosqlite connection with a thread of its own, on a leased database connection."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(lambda: cast(sqlite3.Connection, _Leased(lease)), _FETCH_ROWS)
        self._lease = lease
        self._stopped = False

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
        if not self._lease.over:
            self._lease.lost = TransactionMisused("the connection was closed, or a statement was cancelled")
            self._lease.end()
        await super().close()


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
            try:
                execute(sql, parameters)
            except sqlite3.Error as error:
                if not lease.connection.in_transaction:
                    lease.lost = translate(error, lease.where)
                raise


class _Leased:
    """Stands where aiosqlite expects a connection of sqlite3."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease.connection, name)

    def cursor(self, *_: Any) -> sqlite3.Cursor:
        lease = self._lease
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
        if not self._lease.over and self._lease.connection.in_transaction:
            raise TransactionMisused("commit() was called")

    def rollback(self) -> None:
        if not self._lease.over and self._lease.connection.in_transaction:
            raise TransactionMisused("rollback() was called")

    def close(self) -> None:
        """End nothing: the connection isn't aiosqlite's."""
