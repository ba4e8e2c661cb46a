"""SqliteStore: a node's rows in one SQLite file, in WAL mode.

This is the owner's part: it takes the file, and writes. There is one writing connection, which one thread at a time
uses, under a mutex: the loop's in `commit_now`, the writer's own in `commit`. It alone checkpoints. Reads and
submissions are in `reader`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING

from ...errors import Fenced, Outcome, StoreCorrupt, StoreLost, StoreUnavailable
from ...runtime import Runtime, uncancelled
from ...store.commit import Commit
from ...store.rows import OwnerRow
from ..urls import locate
from . import statements as sql
from .driver import ERRORS, connect, create_file, translate
from .lending.lease import Lease
from .lending.transaction import UserTransactions
from .ownership import inbox_last_id, owner_row, raise_epoch, sign, wrong_owner
from .reader import _PARENTS, SqliteReader
from .sidecars.lock import LockFile, holder
from .sidecars.loss import Loss, adopt, judge, look, missing_database, refuse
from .sidecars.mark import Mark, read_mark
from .sidecars.presence import Presence
from .sidecars.slot_file import SlotFile
from .upgrade import prepare
from .worker import Worker

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("SqliteStore",)

NODE = "main"
"""A SQLite file holds one node."""

WAL_BYTES_KEPT = 64 << 20
"""A WAL that grew beyond this is cut at its next reset."""


class SqliteStore(SqliteReader):
    """`sqlite:///bank.db` is relative to the working directory, `sqlite:////srv/bank.db` absolute.

    `synchronous_level` is SQLite's `PRAGMA synchronous` for the writer: "FULL" loses nothing at a power cut, "NORMAL"
    may lose the last commits, but none before one that it keeps (SQLite: pragma.html#pragma_synchronous). The URL's
    `?synchronous=` takes precedence.

    `commit_now` blocks its thread for the disk's sync, and up to `driver.BUSY_TIMEOUT_S` while another process writes.
    """

    synchronous = True

    def __init__(self, url: str, runtime: Runtime, *, synchronous_level: str = "FULL") -> None:
        location = locate(url)
        super().__init__(location.path)
        self.url = url
        self.runtime = runtime
        self.synchronous_level = location.synchronous or synchronous_level
        self._accepts_loss = location.accept_loss or self.synchronous_level == "NORMAL"
        self._slot_file = self.attempts = SlotFile(f"{self.path}.slots", f"{self.path}.hang")
        self._mark = Mark(f"{self.path}.mark")
        self._lock = LockFile(f"{self.path}.lock", self.path)
        self._worker = Worker("greenroom-writer")
        self._transactions = UserTransactions(self._worker)
        self._mutex = Lock()
        self._writer: sqlite3.Connection | None = None
        self._presence = Presence(self.path)
        self._variables = 0
        self._epoch = 0
        self._writer_seen: int | None = None

    # -- life ---------------------------------------------------------------------------------------

    async def open(self) -> OwnerRow:
        if self._reader is not None:
            raise RuntimeError(f"{self.path} is open already")
        try:
            return await self._worker.call(self._take)
        except BaseException:
            await self.close()
            raise

    def disown(self) -> None:
        _PARENTS.append((self._writer, self._lock, self._transactions))
        self._writer, self._epoch = None, 0
        self._lock = LockFile(self._lock.path, self.path)
        self._mutex = Lock()  # a thread of the parent may hold the other
        self._worker = Worker("greenroom-writer")
        self._transactions = UserTransactions(self._worker)
        self._slot_file.disown()
        self._mark.disown()
        super().disown()

    async def close(self) -> None:
        await uncancelled(self._close())

    async def _close(self) -> None:
        await self._transactions.close()
        await self._close_reader()  # the writer goes last: SQLite's last connection checkpoints
        await self._worker.call(self._give_back)
        await self._worker.stop()

    async def reopen(self) -> OwnerRow:
        self._check_free()
        if not self._epoch:
            raise StoreUnavailable(f"{self.path} isn't open")
        return await uncancelled(self._reopen())

    async def _reopen(self) -> OwnerRow:
        """Reads that run meanwhile go on with the old connections; each is closed on the thread that uses it."""
        old = self._reader
        await self._side.call(self._disconnect)
        try:
            return await self._worker.call(self._connect_again)
        finally:
            if old is not None and old is not self._reader:
                old.close()

    def _take(self) -> OwnerRow:
        self._lock.acquire()
        create_file(self.path)
        self.loss = missing_database(self.path)
        if (loss := look(self.path)) is not None:
            self._bear(loss)
        prepare(self.path)
        noted = read_mark(self._mark.path)
        writer = self._connect()
        try:
            writer.execute("BEGIN IMMEDIATE")
            before = self._last_life(writer)
            inbox = inbox_last_id(writer)
            if (loss := judge(noted, before, inbox)) is not None:
                self._bear(loss)
                adopt(writer, loss)
            self.unclean = before is not None and before.pid != 0
            owner = raise_epoch(writer, NODE, os.getpid(), self.runtime.now())
            writer.execute("COMMIT")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        self._epoch = owner.epoch
        self.attempts.open()
        self._mark.open(owner, inbox if loss is None else max(inbox, loss.inbox), before)
        return owner

    def _last_life(self, writer: sqlite3.Connection) -> OwnerRow | None:
        """The owner row as the last life left it.

        Raises:
            StoreCorrupt: it makes no sense. (It has no checksum, because each commit writes it.)
        """
        if (why := wrong_owner(writer, NODE)) is not None:
            raise StoreCorrupt(self.path, f"its owner row is damaged: {why}. Restore a backup")
        return owner_row(writer)

    def _bear(self, loss: Loss) -> None:
        """Go on without the missing commits, if the URL says so.

        Raises:
            CommitsLost: it doesn't.
        """
        error = refuse(self.path, loss)
        if not self._accepts_loss:
            raise error
        self.loss = str(loss)

    def _connect(self) -> sqlite3.Connection:
        writer = self._writer = connect(self.path, checkpoints=True)
        try:
            writer.execute(f"PRAGMA synchronous={self.synchronous_level}")
            writer.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        self._variables = sql.variables(writer)
        self._transactions.guard(writer)
        self._reader = connect(self.path, reads_only=True)
        self._presence.note()
        return writer

    def _connect_again(self) -> OwnerRow:
        with self._mutex:
            self._disconnect_writer()
            if not os.path.lexists(self.path):
                raise self._presence.lost()
            writer = self._connect()
            try:
                # A small write proves that the store takes one. It also overwrites the frames that an ambiguous commit
                # may have left behind the WAL's end, from where a crash would bring them back. (There are two writes,
                # because SQLite doesn't write a value that doesn't change.)
                writer.execute("BEGIN IMMEDIATE")
                for pid in (0, os.getpid()):
                    if not sign(writer, NODE, self._epoch, pid):
                        raise Fenced(NODE, self._epoch)
                owner = OwnerRow._make(writer.execute(sql.OWNER).fetchone())
                if owner.commit_no < self._mark.commit_no:  # commits are missing that had returned before the failure
                    self._bear(Loss(self._mark.commit_no - owner.commit_no, 0, self._epoch, 0))
                writer.execute("COMMIT")
            except sqlite3.Error as error:
                sql.roll_back(writer)
                raise translate(error, self.path) from error
            except BaseException:
                sql.roll_back(writer)
                raise
            self._mark.note(owner.commit_no)
            return owner

    def _disconnect_writer(self) -> None:
        writer, self._writer, self._writer_seen = self._writer, None, None
        if writer is not None:
            with suppress(sqlite3.Error):
                writer.close()

    def _give_back(self) -> None:
        with self._mutex:
            if self._writer is not None and self._epoch:
                with suppress(sqlite3.Error):  # a store that broke stays marked as not given back
                    sign(self._writer, NODE, self._epoch, 0)
            self._disconnect_writer()
            if self._reader is not None:  # of an `open` that failed
                self._reader.close()
                self._reader = None
        self.attempts.close()
        self._mark.close()
        self._presence.forget()
        self._lock.release()
        self._epoch = 0

    # -- writing --------------------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> None:
        """As the contract says. Cancelling the caller doesn't stop the commit, it only hides its outcome."""
        self._check_free()
        await self._worker.call(self._write, commit)

    def commit_now(self, commit: Commit) -> None:
        self._check_free()
        self._write(commit)

    def _check_free(self) -> None:
        if self._transactions.lease is not None:
            raise RuntimeError("a turn holds the store's transaction: nothing else may commit")

    def _write(self, commit: Commit) -> None:
        with self._mutex:
            writer = self._writer
            if writer is None:
                raise StoreUnavailable(f"{self.path} isn't open")
            outcome: Outcome = "dropped"
            try:
                writer.execute("BEGIN IMMEDIATE")
                sql.write(writer, commit, NODE, self._epoch, self._variables)
                outcome = "unknown"
                writer.execute("COMMIT")
                self._check_presence(writer)
                self._mark.note(commit.number)
            except BaseException as error:
                sql.roll_back(writer)
                if isinstance(error, ERRORS):
                    raise translate(error, self.path, outcome=outcome) from error
                raise

    def _check_presence(self, writer: sqlite3.Connection) -> None:
        """Before a commit is acknowledged, check that it is in a file that anybody finds.

        Raises:
            StoreLost: a file was removed, renamed or replaced. If the database itself is there, the content of its log
                is brought into it, so that nothing that was acknowledged is lost.
        """
        try:
            self._presence.check()
        except StoreLost:
            if self._presence.database_is_there:
                with suppress(sqlite3.Error):
                    writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            raise

    @asynccontextmanager
    async def transaction(self, *, here: bool = False) -> AsyncIterator[AsyncConnection]:
        """As the contract says.

        In the block `commit()`, `rollback()`, BEGIN and the like raise `TransactionMisused`; savepoints
        (`begin_nested`) work. Statements after the block, or after `commit_transaction`, raise it, too.
        """
        if self._writer is None:
            raise StoreUnavailable(f"{self.path} isn't open")
        async with self._transactions.transaction(self._writer, self._mutex, self.path, here=here) as connection:
            yield connection

    async def commit_transaction(self, commit: Commit) -> None:
        lease = self._transactions.lease
        if lease is None:
            raise RuntimeError("no transaction is held")
        if self._transactions.here and lease.mutex.acquire(blocking=False):  # else a statement runs still
            try:
                self._write_transaction(lease, commit)
            finally:
                lease.mutex.release()
        else:
            await self._worker.call(self._write_transaction_alone, lease, commit)

    def _write_transaction_alone(self, lease: Lease, commit: Commit) -> None:
        with lease.mutex:
            self._write_transaction(lease, commit)

    def _write_transaction(self, lease: Lease, commit: Commit) -> None:
        outcome: Outcome = "dropped"
        with lease.closing() as writer:
            try:
                sql.write(writer, commit, NODE, self._epoch, self._variables)
                outcome = "unknown"
                writer.execute("COMMIT")
                self._check_presence(writer)
                self._mark.note(commit.number)
            except BaseException as error:
                sql.roll_back(writer)
                if isinstance(error, ERRORS):
                    raise translate(error, self.path, outcome=outcome) from error
                raise

    # -- other processes --------------------------------------------------------------------------------

    def holder(self) -> int | None:
        return holder(self._lock.path)

    def inbox_changed(self) -> bool:
        """Ask the writer, for which its own commits don't count as changes. While it is busy, ask the reader, for which
        they do. SQLite: pragma.html#pragma_data_version

        A node that commits nothing notices here that its files are gone: other processes then tell into others.
        """
        self._presence.check(index=True)
        if self._writer is None or self._transactions.lease is not None or self._worker.unsettled:
            return super().inbox_changed()
        with self._mutex:  # free, since the worker is: it isn't waited for
            try:
                seen, self._writer_seen = (
                    self._writer_seen,
                    self._writer.execute("PRAGMA data_version").fetchone()[0],
                )
            except ERRORS as error:
                raise translate(error, self.path) from error
        return seen != self._writer_seen
