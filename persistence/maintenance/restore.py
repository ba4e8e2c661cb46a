"""Restore: a backup takes the place of a store, whose own files are kept beside it.

Afterwards this holds:

- The store is as it was at the moment of the backup. Messages handled since then are handled again, under the same
  `turn.key`; messages told since then are lost.
- No number of the abandoned history is given out again. Boot epochs, sequence numbers and the inbox's ids go on after
  those of the store that is replaced or, if it can't be read, after a gap wider than it can have crossed.
- The slot file stays with the old store. It names messages of that history as suspects, or as guilty of a crash, and
  the same messages may be in the backup, where nothing of the kind has happened.
- The owner row says that the last life ended in order, so its restarts don't count in the next.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import NamedTuple

from ..engines.sqlite.driver import FILE_BYTES_MIN, connect, translate
from ..engines.sqlite.ownership import inbox_last_id, owner_row, raise_numbers
from ..engines.sqlite.sidecars.files import SIDECARS, free_name, os_errors, partial, publish, size_of, sync_folder
from ..engines.sqlite.sidecars.lock import owned
from ..engines.sqlite.sidecars.openers import openers
from ..engines.urls import file_uri
from ..errors import FileInTheWay, RowsDamaged, StoreCorrupt, StoreError, StoreInUse, StoreUnavailable
from ..runtime import Runtime
from ..store.contract import ID_BOUND
from .backup import copy, open_still
from .progress import Progress, unseen
from .verify import Findings, verify_store

__all__ = ("Restored", "restore")

KEPT = ".before-restore"
EPOCHS_GAP = 1_000
"""The replaced store is taken to have had so many boots since the backup, if it can't be read."""
IDS_GAP = 10**12
"""The same for sequence numbers and the inbox's ids. There is room for millions of such gaps."""
ALONE_WAIT_S = 1.0
"""Other processes get so many seconds to close the database that is replaced."""


class Restored(NamedTuple):
    path: str
    bytes: int
    schema_version: int
    rows: int
    """0 for an older schema, whose rows are checked once they are migrated."""
    damaged: int
    kept: str | None
    """The path of the replaced database; None if there was none."""


class _Numbers(NamedTuple):
    """The highest numbers that were given out."""

    epoch: int
    last_id: int
    inbox: int


def restore(
    backup: str,
    path: str,
    runtime: Runtime,
    *,
    overwrite: bool = False,
    damaged: bool = False,
    copying: Progress = unseen,
    checking: Progress = unseen,
) -> Restored:
    """Put a copy of `backup` at `path`. The whole copy is checked before anything at `path` is touched.

    Args:
        overwrite: move a store that is there aside, to `path.before-restore`.
        damaged: take a backup even if it has damaged rows. One whose structure is damaged is never taken.

    Raises:
        StoreLocked: a node runs on `path`.
        StoreInUse: other processes have it open.
        FileInTheWay: there is a store, and it isn't to be overwritten; or the backup is that store itself.
        RowsDamaged, StoreCorrupt, SchemaTooNew: the backup is unfit. `path` is as it was.
        StoreFull, StoreUnavailable: `path` is as it was, too.
    """
    if not os.path.isfile(backup):
        raise StoreUnavailable(f"there is no backup at {backup}")
    backup = os.path.realpath(backup)
    if backup == path or (os.path.exists(path) and os.path.samefile(backup, path)):
        raise FileInTheWay(backup, "is the store itself", replaceable=False)
    with owned(path):
        if not overwrite and (os.path.lexists(path) or size_of(f"{path}-wal")):
            raise FileInTheWay(path)
        with partial(path) as copied:
            with closing(_open(backup)) as source:
                copy(source, backup, copied, path, runtime, copying)
            findings = _check(copied, backup, damaged, checking)
            usable = _is_usable(path)
            _renumber(copied, path, _numbers(path) if usable else None)
            _resemble(copied, path)
            size = size_of(copied)
            if usable:
                _close_down(path)
            kept = _set_aside(path)
            # Without this a power cut might leave the new database beside the old one's journal or WAL, which SQLite
            # would take for its own, because the file system chooses the order in which names reach the disk.
            sync_folder(os.path.dirname(path))
            publish(copied, path, overwrite=True)
    return Restored(path, size, findings.schema_version, findings.rows, findings.count, kept)


def _open(backup: str) -> sqlite3.Connection:
    """Open a backup. One of ours is a single file; a copy made by hand, or a store, may have a WAL of its own."""
    if any(size_of(backup + suffix) for suffix in SIDECARS[:3]):
        return connect(backup, reads_only=True)
    return open_still(backup)


def _check(copied: str, backup: str, damaged: bool, progress: Progress) -> Findings:
    with closing(open_still(copied)) as connection:
        findings = verify_store(connection, backup, progress)
    if findings.schema_version == 0:
        raise StoreCorrupt(backup, "holds no store: no node has run on it")
    if findings.structure:
        raise StoreCorrupt(backup, f"is damaged; nothing was restored. {findings.damages[0].why}")
    if findings.count and not damaged:
        first = findings.damages[0]
        raise RowsDamaged(backup, findings.count, " ".join((first.table, *first.key)))
    return findings


def _is_usable(path: str) -> bool:
    """Whether there is an old store that may be opened. Opening a damaged one could cost its WAL."""
    if size_of(path) < FILE_BYTES_MIN:
        return False
    try:
        open_still(path).close()
    except StoreError:
        return False
    return True


def _numbers(path: str) -> _Numbers | None:
    """The highest numbers that a store has given out so far; None if it can't be read."""
    try:
        with closing(connect(path, reads_only=True)) as connection:
            owner = owner_row(connection)
            found = None if owner is None else _Numbers(owner.epoch, owner.last_id, inbox_last_id(connection))
    except (StoreError, sqlite3.Error):
        return None
    if found is None:
        return None
    return found if all(isinstance(number, int) and 0 <= number < ID_BOUND for number in found) else None


def _renumber(copied: str, path: str, old: _Numbers | None) -> None:
    """Raise the numbers in the copy, as the head of this module says.

    Raises:
        StoreFull, StoreUnavailable, StoreCorrupt
    """
    try:
        with closing(sqlite3.connect(copied, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=MEMORY")
            connection.execute("BEGIN IMMEDIATE")
            owner = owner_row(connection)
            if owner is not None:
                if old is None:
                    inbox = inbox_last_id(connection)
                    old = _Numbers(owner.epoch + EPOCHS_GAP, owner.last_id + IDS_GAP, inbox + IDS_GAP)
                raise_numbers(connection, epoch=old.epoch, last_id=old.last_id, inbox=old.inbox, pid=0)
            connection.execute("COMMIT")
    except (sqlite3.Error, TypeError) as error:
        raise translate(error, path) from error


def _resemble(copied: str, path: str) -> None:
    """Give the copy the owner of the old file, because root may restore a store that another user runs."""
    if os.name != "posix":
        return
    with suppress(OSError):
        found = os.stat(path if os.path.exists(path) else os.path.dirname(path))
        if os.geteuid() == 0:
            os.chown(copied, found.st_uid, found.st_gid)


def _set_aside(path: str) -> str | None:
    """Move an old store aside, its database last, so that `path` is never free for a node to begin a new store there.

    Raises:
        StoreFull, StoreUnavailable
    """
    exists = os.path.lexists(path)
    kept = free_name(f"{path}{KEPT}")
    with os_errors(path):
        for suffix in (".mark", ".slots", ".hang", "-journal", "-wal"):
            with suppress(FileNotFoundError):
                os.rename(path + suffix, kept + suffix)
        with suppress(FileNotFoundError):
            os.unlink(f"{path}-shm")  # SQLite makes it from the WAL
        if not exists:
            return None
        try:
            os.link(path, kept)
        except OSError:  # a file system without links
            os.rename(path, kept)
    return kept


def _close_down(path: str) -> None:
    """Bring the WAL of the old store into its file, so that only the file is kept, and check that nobody has it open.

    A process that has it open would go on with the kept file, and a client's tells would be lost. Leaving WAL mode
    shows it, because that needs the database for itself (SQLite: wal.html, "To convert").

    Raises:
        StoreInUse
    """
    if pids := openers(path):
        raise StoreInUse(path, pids)
    connection = sqlite3.connect(file_uri(path, "mode=rw"), uri=True, isolation_level=None, timeout=ALONE_WAIT_S)
    with closing(connection):
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreInUse(path, openers(path)) from error
            # The database is damaged further on, or the disk is full. It is kept with its WAL.
