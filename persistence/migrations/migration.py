"""Runs the scripts of `versions/`. Only this module, and they, import alembic."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from ..errors import StoreCorrupt
from .version import APPLICATION_ID, VERSION_TABLE, revision

__all__ = ("migrate",)

_HERE = Path(__file__).parent


def migrate(
    connection: sqlite3.Connection, path: str, found: int, wanted: int, *, scripts: Sequence[Path] = ()
) -> None:
    """Bring the schema from version `found` (0: nothing there) to `wanted`, in one transaction.

    `scripts` are further folders of migrations.

    Raises:
        StoreCorrupt: the file's revision is unknown, or its tables aren't those of its version.
        sqlite3.Error: the file can't be written. In each case it stays as it was.
    """
    config = Config()
    config.set_main_option("script_location", _escaped(_HERE))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_path_separator", "os")  # its name before alembic 1.16
    folders = (_HERE / "versions", *scripts)
    config.set_main_option("version_locations", os.pathsep.join(map(_escaped, folders)))
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    try:
        with engine.connect() as migrating:
            # Ours, not SQLAlchemy's: alembic sees that a transaction is open and leaves it alone.
            migrating.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = migrating
            config.attributes["version_table"] = VERSION_TABLE
            if found:
                command.stamp(config, revision(found), purge=True)  # `user_version` is the truth
            command.upgrade(config, revision(wanted))
            migrating.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
            migrating.exec_driver_sql(f"PRAGMA user_version={wanted}")
            migrating.commit()
    except CommandError as error:
        raise StoreCorrupt(path, f"can't be migrated: {error}") from error
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and error.orig.sqlite_errorcode == sqlite3.SQLITE_ERROR:
            raise StoreCorrupt(path, f"can't be migrated: {error.orig}") from error  # no such table, and the like
        raise (error.orig or error) from error


def _escaped(path: Path) -> str:
    """For a config file's interpolation."""
    return str(path).replace("%", "%%")
