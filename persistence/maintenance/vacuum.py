"""Vacuum and migration of a store on which no node runs: a smaller file, and the current schema.

Neither runs beside a node, because a VACUUM holds the write lock while it writes the whole database anew, and all
commits would wait for it. A running node uses the pages again that it frees.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import NamedTuple

from ..engines.sqlite.driver import connect, translate
from ..engines.sqlite.sidecars.files import free_name, size_of
from ..engines.sqlite.sidecars.lock import owned
from ..engines.sqlite.upgrade import inspect, prepare
from ..errors import StoreUnavailable, no_store
from ..migrations.version import SCHEMA_VERSION
from ..runtime import Runtime
from .backup import back_up
from .progress import Progress, unseen
from .verify import INSTRUCTIONS, interrupted, look_for_signals

__all__ = ("Migrated", "Vacuumed", "migrate", "vacuum")


class Vacuumed(NamedTuple):
    """Sizes in bytes, of the database and its WAL together."""

    before: int
    after: int


class Migrated(NamedTuple):
    found: int
    """The schema version before."""
    now: int
    backup: str | None
    """The path of a copy of the database before; None if none was made."""


def vacuum(path: str) -> Vacuumed:
    """Write the database anew, without its free pages. Meanwhile it needs up to twice its size on the disk.

    SQLite: lang_vacuum.html

    Raises:
        StoreLocked: a node runs on it.
        StoreFull: there isn't so much room; the database stays as it was.
        StoreUnavailable, StoreCorrupt, SchemaTooNew
    """
    _check_present(path)
    with owned(path):
        before = size_of(path) + size_of(f"{path}-wal")
        try:
            with closing(connect(path, checkpoints=True)) as connection:
                connection.set_progress_handler(look_for_signals, INSTRUCTIONS)
                _check_used(inspect(connection, path), path)
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            if interrupted(error):
                raise KeyboardInterrupt from None
            raise translate(error, path) from error
        return Vacuumed(before, size_of(path) + size_of(f"{path}-wal"))


def migrate(path: str, runtime: Runtime, *, backup: bool = True, progress: Progress = unseen) -> Migrated:
    """Give the database the schema of this release, as the next start of its node would.

    Args:
        backup: whether to copy the database before, to `path.schema-N`.

    Raises:
        StoreLocked: a node runs on it.
        SchemaTooNew, StoreCorrupt
        StoreFull, StoreUnavailable: the database stays as it was.
    """
    _check_present(path)
    with owned(path):
        try:
            with closing(connect(path, reads_only=True)) as connection:
                found = inspect(connection, path)
        except sqlite3.Error as error:
            raise translate(error, path) from error
        _check_used(found, path)
        kept: str | None = None
        if found != SCHEMA_VERSION:
            if backup:
                kept = back_up(path, free_name(f"{path}.schema-{found}"), runtime, progress=progress).path
            prepare(path)
        return Migrated(found, SCHEMA_VERSION, kept)


def _check_present(path: str) -> None:
    """Check before the lock is taken, because that would leave a lock file."""
    if not os.path.exists(path):
        raise no_store(path)


def _check_used(version: int, path: str) -> None:
    if version == 0:
        raise StoreUnavailable(f"{path} is empty: no node has run on it")
