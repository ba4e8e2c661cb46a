"""Says whether a SQLite file is ours and which schema it has, and gives it the current one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress

from loguru import logger

from ...errors import SchemaTooNew, StoreCorrupt, StoreUnavailable
from ...migrations.version import APPLICATION_ID, SCHEMA_VERSION, VERSION_TABLE
from ...store.rows import OWNER_TABLE, ROWS, OwnerRow
from .driver import connect, translate
from .statements import roll_back

__all__ = ("inspect", "prepare")

_COLUMNS = {**{table.name: row._fields for row, table in ROWS.items()}, OWNER_TABLE: OwnerRow._fields}


SWITCHES_MAX = 20
"""So often the switch to WAL is tried while others have the database."""


def inspect(connection: sqlite3.Connection, path: str) -> int:
    """The file's schema version; 0 if it has none of our tables yet.

    A file may hold tables of the user's beside ours, if its `application_id` and `user_version` are free.

    Raises:
        SchemaTooNew: a newer greenroom wrote it.
        StoreCorrupt: it is another application's, or our tables are damaged.
    """
    if connection.in_transaction:
        return _inspect(connection, path)
    connection.execute("BEGIN")  # everything is of one moment, because another process may make the tables meanwhile
    try:
        return _inspect(connection, path)
    finally:
        roll_back(connection)


def _inspect(connection: sqlite3.Connection, path: str) -> int:
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
    ours = tables & {*_COLUMNS, VERSION_TABLE}
    if application != APPLICATION_ID:
        if application or version:
            raise StoreCorrupt(
                path,
                f"is another application's database (application_id {application}, user_version {version})",
            )
        if not ours:
            return 0
        version = _restored_version(connection, tables, path, ours)
    if version > SCHEMA_VERSION:
        raise SchemaTooNew(path, version, SCHEMA_VERSION)
    if version < 1:
        raise StoreCorrupt(path, f"is marked as ours and says schema version {version}")
    if version == SCHEMA_VERSION:
        _check_columns(connection, path)
    return version


def _restored_version(connection: sqlite3.Connection, tables: set[str], path: str, ours: set[str]) -> int:
    """A dump that was read back has our tables, the version among them, but no marks in its header."""
    if VERSION_TABLE in tables:
        row = connection.execute(f'SELECT version_num FROM "{VERSION_TABLE}"').fetchone()
        with suppress(TypeError, ValueError):
            return int(row[0])
    raise StoreCorrupt(path, f"has tables of its own under names that greenroom needs: {', '.join(sorted(ours))}")


def _check_columns(connection: sqlite3.Connection, path: str) -> None:
    for name, fields in _COLUMNS.items():
        found = tuple(row[1] for row in connection.execute(f'PRAGMA table_info("{name}")'))
        if found != fields:
            what = f"has the columns {', '.join(found)}, not {', '.join(fields)}" if found else "is missing"
            raise StoreCorrupt(path, f"table {name} {what}")


def prepare(path: str, *, migrates: bool = True) -> None:
    """Give the file the current schema: at once if it has none, by alembic if it has an older one.

    One transaction: a failure leaves the file as it was. Several processes may give an empty file the schema at once.

    Args:
        migrates: bring an older schema up to date. Only for the owner, under its lock.

    Raises:
        SchemaTooNew, StoreCorrupt: as `inspect`.
        StoreFull, StoreUnavailable: it can't be written.
    """
    connection = connect(path)
    try:
        mode = _to_wal(connection)
        if mode != "wal":
            raise StoreUnavailable(f"{path}: the file system can't do WAL (it offers journal_mode {mode})")
        version = inspect(connection, path)
        if version == 0:
            _create(connection, path)
        elif not migrates:
            return
        elif version < SCHEMA_VERSION:
            from ...migrations.migration import (
                migrate,
            )  # alembic: imported only if it is needed, because that takes long

            logger.info("migrating {} from schema version {} to {}", path, version, SCHEMA_VERSION)
            migrate(connection, path, version, SCHEMA_VERSION)
        elif connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            _transact(connection, _marks(SCHEMA_VERSION))
    except sqlite3.Error as error:
        raise translate(error, path) from error
    finally:
        connection.close()


def _to_wal(connection: sqlite3.Connection) -> str:
    """Switch to WAL. SQLite doesn't wait for another process that does the same, or makes the tables."""
    for _ in range(SWITCHES_MAX):
        try:
            return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            connection.execute("BEGIN IMMEDIATE")  # this waits
            roll_back(connection)
    return str(connection.execute("PRAGMA journal_mode=WAL").fetchone()[0])


def _marks(version: int) -> tuple[str, ...]:
    return (f"PRAGMA application_id={APPLICATION_ID}", f"PRAGMA user_version={version}")


def _create(connection: sqlite3.Connection, path: str) -> None:
    from .schema import ddl  # SQLAlchemy: its import takes a third of a second, which only a new database needs

    statements = (*ddl(), *_marks(SCHEMA_VERSION))
    _transact(connection, statements, unless=lambda: inspect(connection, path) > 0)


def _transact(
    connection: sqlite3.Connection, statements: tuple[str, ...], unless: Callable[[], bool] = lambda: False
) -> None:
    """
    Args:
        unless: asked in the transaction, because another process may have done it meanwhile.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not unless():
            for statement in statements:
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
