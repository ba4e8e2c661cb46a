"""Lease: the right to run statements in one transaction, which ends when its owner says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock
from weakref import WeakSet

from ....errors import StoreError, TransactionMisused
from ..driver import translate
from ..statements import roll_back
from .guard import Guard

__all__ = ("Lease",)

ROLLBACKS_MAX, ROLLBACK_PAUSE_S = 1000, 0.001
"""How often, and after how many seconds each, a ROLLBACK that was interrupted is tried again."""


class Lease:
    """The right to run statements in one transaction."""

    def __init__(self, connection: sqlite3.Connection, mutex: Lock, where: str) -> None:
        self.connection = connection
        self.mutex = mutex
        """Held during each execution on `connection`."""
        self.where = where
        self.over = False
        self.settled = False
        """Whether the transaction has ended, and no statement of it is at work. (SQLite says that no transaction is
        open while COMMIT is still at work.)"""
        self.guard = Guard()
        self.refused: str | None = None
        """What the latest statement was refused for (`guard`)."""
        self.lost: StoreError | None = None
        """The error because of which SQLite rolled the transaction back on its own (a full disk, for one)."""
        self.cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def begin(self) -> None:
        with self.mutex:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise translate(error, self.where) from error

    def end(self) -> None:
        """Let no statement start any more, and interrupt one that runs."""
        if not self.over:
            self.over = True
            with suppress(sqlite3.Error):
                self.connection.interrupt()

    def roll_back(self) -> None:
        """After `end`, wait for the statement that runs, then undo everything. Never raises.

        It can't wait for a SELECT whose rows are being fetched. That is interrupted, and so is every statement that
        begins before it has ended, this ROLLBACK included. So the ROLLBACK is tried again. SQLite: c3ref/interrupt.html
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
        """For the caller that adds the last statements and commits: the lease is over, the transaction still open.

        The caller holds the mutex.

        Raises:
            TransactionMisused: the lease was over before.
            StoreError: SQLite rolled the transaction back.
        """
        self.check()
        self.over = True
        self._close_cursors()
        try:
            yield self.connection
        finally:
            self.settled = not self.connection.in_transaction

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
