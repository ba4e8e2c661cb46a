"""SQLite itself: how a database is opened, and which of our errors its errors become."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any

from ...errors import (
    Outcome,
    StoreCorrupt,
    StoreDataError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    no_store,
)
from ..urls import file_uri

__all__ = ("ERRORS", "connect", "create_file", "fetch", "translate", "wal_reset_bug")

BUSY_TIMEOUT_S = 5.0
"""So long a connection waits for another process's write transaction, which takes milliseconds."""

FILE_BYTES_MIN = 512
"""SQLite's smallest page. SQLite: fileformat.html"""

ERRORS = (sqlite3.Error, OverflowError, UnicodeEncodeError, MemoryError)
"""The exceptions that executing a statement may raise; `translate` knows them all."""


def not_made(path: str, error: OSError) -> str:
    """Why a file can't be made. A folder that is missing is the usual reason, and is told by its own name."""
    folder = os.path.dirname(path) or "."
    if isinstance(error, FileNotFoundError) and not os.path.isdir(folder):
        return f"there is no folder {folder}: make it first, or name another place"
    return f"{path} can't be made: {error.strerror}"


def create_file(path: str) -> bool:
    """Create the database's file, empty, readable by its owner alone. SQLite gives its mode to WAL and SHM.

    Returns:
        Whether it is new.

    Raises:
        StoreFull, StoreUnavailable
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileExistsError:
        return False
    except OSError as error:
        raise StoreUnavailable(not_made(path, error)) from error
    try:
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, 0o600)  # the umask may have taken bits of ours
    finally:
        os.close(descriptor)
    return True


def connect(path: str, *, reads_only: bool = False, checkpoints: bool = False) -> sqlite3.Connection:
    """A connection to an existing file, in autocommit mode. Any thread may use it, one at a time.

    Only the node's writer checkpoints, because a checkpoint that races another connection's commit can corrupt the
    database in SQLite 3.7.0 to 3.51.2 (SQLite: wal.html, "The WAL-Reset Bug").

    Raises:
        StoreUnavailable, StoreCorrupt
    """
    try:
        size = os.stat(path).st_size  # opening and closing the file would drop SQLite's own locks
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise no_store(path) from error
        raise StoreUnavailable(f"{path} can't be opened: {error.strerror}") from error
    if os.path.isdir(path):
        raise StoreUnavailable(f"{path} is a folder: name a file in it")
    if 0 < size < FILE_BYTES_MIN:  # SQLite would take it for an empty database, and overwrite it
        raise StoreCorrupt(path, "is no SQLite database")
    try:
        connection = sqlite3.connect(
            file_uri(path, "mode=rw"),
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
    except sqlite3.Error as error:
        raise translate(error, path) from error
    try:
        if not checkpoints:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            if sys.version_info >= (3, 12):
                connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE)
        if reads_only:
            connection.execute("PRAGMA query_only=1")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        connection.close()
        raise translate(error, path) from error
    return connection


_CORRUPT = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_DATA = frozenset({sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE})


def translate(error: BaseException, path: str, *, outcome: Outcome = "dropped") -> StoreError:
    """The store's error for one of the driver's. SQLite: rescode.html

    `outcome` is "unknown" if COMMIT itself failed. A refusal of the data leaves no doubt: nothing was written.
    """
    if isinstance(error, StoreError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if code is None:
        if isinstance(error, (OverflowError, UnicodeEncodeError, sqlite3.DataError, sqlite3.IntegrityError)):
            return StoreDataError(f"{name}: {error}")
        if isinstance(error, (sqlite3.ProgrammingError, sqlite3.InterfaceError)) and "closed" not in str(error):
            return StoreDataError(f"{name}: {error}")  # raised by the driver at binding
        return StoreUnavailable(f"{path}: {name}: {error}", outcome=outcome)
    primary = code & 0xFF
    if primary in _DATA:
        return StoreDataError(f"{name}: {error}")
    if primary in _CORRUPT:
        return StoreCorrupt(path, f"{name}: {error}")
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:  # no room for the WAL's index
        return StoreFull(f"{path}: {error}", outcome=outcome)
    return StoreUnavailable(f"{path}: {name}: {error}", outcome=outcome)


def wal_reset_bug(version: tuple[int, int, int]) -> bool:
    """Whether this SQLite has the WAL-reset bug. SQLite: wal.html, fixed in 3.51.3, 3.50.7 and 3.44.6."""
    if version[:2] == (3, 50):
        return version < (3, 50, 7)
    if version[:2] == (3, 44):
        return version < (3, 44, 6)
    return (3, 7, 0) <= version < (3, 51, 3)


def fetch(connection: sqlite3.Connection, text: str, parameters: Sequence[Any]) -> list[Any]:
    """Every row of a query. Text that isn't UTF-8 comes back with its bytes escaped, and fails its checksum.

    Raises:
        ERRORS: as the driver does.
    """
    try:
        return connection.execute(text, parameters).fetchall()
    except sqlite3.OperationalError as error:
        if "decode to UTF-8" not in str(error):
            raise
    usual, connection.text_factory = connection.text_factory, _escaped
    try:
        return connection.execute(text, parameters).fetchall()
    finally:
        connection.text_factory = usual


def _escaped(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
