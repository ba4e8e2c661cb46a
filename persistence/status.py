"""What can be said of a SQLite store from outside: `understudy db status`."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from . import sql
from .driver import wal_reset_bug
from .record import ROWS, OwnerRow

__all__ = ("describe",)


def describe(connection: sqlite3.Connection, path: str) -> dict[str, Any]:
    """Plain names to plain values: versions, sizes in bytes, pages, counts of rows, the owner."""

    def pragma(name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    status: dict[str, Any] = {
        "engine": "sqlite",
        "path": path,
        "sqlite_version": sqlite3.sqlite_version,
        "wal_reset_bug": wal_reset_bug(sqlite3.sqlite_version_info[:3]),
        "schema_version": pragma("user_version"),
        "journal_mode": pragma("journal_mode"),
        "file_bytes": _size(path),
        "wal_bytes": _size(f"{path}-wal"),
        "page_bytes": pragma("page_size"),
        "pages": pragma("page_count"),
        "pages_free": pragma("freelist_count"),
    }
    for table in ROWS.values():
        status[f"rows_{table.name}"] = connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0]
    owner = connection.execute(sql.OWNER).fetchone() or (None,) * len(OwnerRow._fields)
    for name, value in zip(OwnerRow._fields, owner, strict=True):
        status[f"owner_{name}"] = value
    return status


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
