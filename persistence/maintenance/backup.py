"""Backup: a copy of a store's database, made beside its running node or without one.

SQLite's backup API copies the pages, here within one read transaction. In WAL mode a reader keeps nobody waiting, and
sees the database as it was when it began (SQLite: isolation.html, wal.html). So the copy is of one moment between two
commits, however long it takes. Without the transaction the copy would begin again after each commit of another process
(SQLite: c3ref/backup_finish.html), and never end beside a busy node. The price is that the WAL grows by all commits of
the node until the copy is made.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from typing import NamedTuple

from ..engines.sqlite.driver import connect, translate
from ..engines.sqlite.sidecars.files import SIDECARS, os_errors, partial, publish, size_of
from ..engines.sqlite.sidecars.lock import holder
from ..engines.sqlite.sidecars.loss import preserve
from ..engines.sqlite.statements import roll_back
from ..engines.sqlite.upgrade import inspect
from ..engines.urls import file_uri
from ..errors import FileInTheWay, StoreCorrupt, StoreLocked, StoreUnavailable
from ..runtime import Runtime
from .progress import Progress, unseen

__all__ = ("Backup", "back_up", "check_destination", "copy", "open_still")

STEP_PAGES = 1024
"""So many pages are copied at once. They are 4 MiB as a rule, and take some milliseconds."""
PAUSE_S = 0.005
"""The pause in seconds after each step, so that the disk doesn't keep the node's own reads and syncs waiting."""
SYNC_BYTES = 32 << 20
"""The copy is synced after so many bytes, so that the node's own syncs never wait for more."""
HURRY_BYTES = 64 << 20
"""From this size of the WAL on there are no pauses, because the node writes faster than we copy."""


class Backup(NamedTuple):
    path: str
    """The path of the copy."""
    bytes: int
    schema_version: int
    seconds: float


def back_up(
    path: str, destination: str, runtime: Runtime, *, overwrite: bool = False, progress: Progress = unseen
) -> Backup:
    """Copy the database at `path` to a file of mode 0600. It is checked and synced, and it appears whole or not at all.

    Raises:
        FileInTheWay: something lies at the destination that isn't to be overwritten, or can't be.
        StoreFull: the destination's disk is full. Nothing is left of the copy.
        StoreUnavailable: there is no store at `path`, or one of the two files can't be read or written.
        StoreCorrupt, SchemaTooNew: the file at `path` is no store of ours, or its structure is damaged.
    """
    began = runtime.monotonic()
    destination = check_destination(path, destination, overwrite=overwrite)
    preserve(path)
    with closing(connect(path, reads_only=True)) as source, partial(destination) as copied:
        try:
            version = inspect(source, path)
        except sqlite3.Error as error:
            raise translate(error, path) from error
        if version == 0:
            raise StoreUnavailable(f"{path} is empty: no node has run on it")
        copy(source, path, copied, destination, runtime, progress)
        _check(copied, path, version)
        with suppress(
            OSError
        ):  # of a database that lay there before, and has run; it would say that this one lacks commits
            os.unlink(f"{destination}.mark")
        publish(copied, destination, overwrite=overwrite)
    return Backup(destination, size_of(destination), version, runtime.monotonic() - began)


def check_destination(path: str, destination: str, *, overwrite: bool) -> str:
    """Check that a copy of the database at `path` may be written to the destination, and return its absolute path.

    Raises:
        FileInTheWay
    """
    destination = os.path.realpath(destination)
    own = [path, *(path + suffix for suffix in SIDECARS)]
    if destination in own or any(_same_file(destination, name) for name in own):
        raise FileInTheWay(destination, "belongs to the store itself", replaceable=False)
    if os.path.isdir(destination):
        raise FileInTheWay(destination, "is a folder: name a file in it", replaceable=False)
    for suffix in SIDECARS[:3]:  # SQLite would take their content for the copy's own
        if os.path.lexists(destination + suffix):
            why = f"has {os.path.basename(destination + suffix)} beside it: a database that is open, or wasn't closed"
            raise FileInTheWay(destination, why, replaceable=False)
    if os.path.lexists(f"{destination}.lock") and (pid := holder(f"{destination}.lock")) is not None:
        raise StoreLocked(destination, pid)
    if not overwrite and os.path.lexists(destination):
        raise FileInTheWay(destination)
    return destination


def copy(
    source: sqlite3.Connection, path: str, target_path: str, name: str, runtime: Runtime, progress: Progress
) -> None:
    """Copy all pages of `source`, which is at `path`, into the empty file at `target_path`.

    The copy is one file, because it has a rollback journal and no WAL, whichever `source` has.

    Args:
        name: the target's name in errors.

    Raises:
        StoreFull, StoreUnavailable, StoreCorrupt
    """
    with os_errors(name):
        # It stays open to the end, because closing it would give up SQLite's locks on the file.
        descriptor = os.open(target_path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    try:
        _copy(source, path, target_path, descriptor, runtime, progress)
    except sqlite3.Error as error:
        full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
        raise translate(error, name if full else f"copying {path} to {name}") from error
    except OSError as error:
        with os_errors(name):
            raise error
    finally:
        os.close(descriptor)


def _copy(
    source: sqlite3.Connection, path: str, target_path: str, descriptor: int, runtime: Runtime, progress: Progress
) -> None:
    target = sqlite3.connect(file_uri(target_path, "mode=rw"), uri=True, isolation_level=None)
    synced = 0

    def stepped(_: int, remaining: int, total: int) -> None:
        nonlocal synced
        progress(total - remaining, total)
        written = os.fstat(descriptor).st_size
        if written - synced >= SYNC_BYTES:
            os.fsync(descriptor)
            synced = written
        if remaining and size_of(f"{path}-wal") < HURRY_BYTES:
            runtime.pause(PAUSE_S)

    with closing(target):
        # Nobody reads the copy until it is whole, so it needs no journal. It is synced by hand.
        target.execute("PRAGMA journal_mode=OFF")
        target.execute("PRAGMA synchronous=OFF")
        source.execute("BEGIN")
        try:
            source.execute(
                "SELECT count(*) FROM sqlite_schema"
            ).fetchone()  # the transaction begins with its first read
            source.backup(target, pages=STEP_PAGES, progress=stepped)
        finally:
            roll_back(source)
        target.execute("PRAGMA journal_mode=DELETE")  # the first page says WAL, as in the source


def open_still(path: str) -> sqlite3.Connection:
    """A connection to a database that nobody writes. It makes no sidecar files, and needs no right to write.

    Raises:
        StoreUnavailable, StoreCorrupt
    """
    if not os.path.isfile(path):
        raise StoreUnavailable(f"{path} is no file")
    connection = sqlite3.connect(
        file_uri(path, "mode=ro&immutable=1"), uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    return connection


def _check(copied: str, path: str, version: int) -> None:
    """Check that the copy is a whole database of ours. SQLite: pragma.html#pragma_quick_check

    Raises:
        StoreCorrupt: it isn't. As a rule the original is damaged.
    """
    with closing(open_still(copied)) as connection:
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise StoreCorrupt(path, f"is damaged, and so is the copy: {found}")
            if (there := inspect(connection, copied)) != version:
                raise StoreCorrupt(path, f"has schema version {version}, and its copy {there}")
        except sqlite3.Error as error:
            raise translate(error, path) from error


def _same_file(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
