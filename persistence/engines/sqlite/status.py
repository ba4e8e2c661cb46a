"""The figures of a SQLite store, as `greenroom db status` prints them."""

from __future__ import annotations

import sqlite3
from typing import Any

from ...store.rows import ROWS, OwnerRow
from . import statements as sql
from .driver import wal_reset_bug
from .sidecars.files import size_of
from .sidecars.loss import find
from .sidecars.mark import read_mark
from .sidecars.openers import readers

__all__ = ("describe",)


def describe(connection: sqlite3.Connection, path: str) -> dict[str, Any]:
    """Plain names to plain values: versions, sizes in bytes, pages, counts of rows, the owner."""

    def pragma(name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    noted = read_mark(f"{path}.mark")  # before the rows: beside a running node both move on
    status: dict[str, Any] = {
        "engine": "sqlite",
        "path": path,
        "sqlite_version": sqlite3.sqlite_version,
        "wal_reset_bug": wal_reset_bug(sqlite3.sqlite_version_info[:3]),
        "schema_version": pragma("user_version"),
        "journal_mode": pragma("journal_mode"),
        "file_bytes": size_of(path),
        "wal_bytes": size_of(f"{path}-wal"),
        "wal_readers": readers(path),
        "page_bytes": pragma("page_size"),
        "pages": pragma("page_count"),
        "pages_free": pragma("freelist_count"),
    }
    for table in ROWS.values():
        status[f"rows_{table.noun}"] = connection.execute(f'SELECT count(*) FROM "{table.name}"').fetchone()[0]
    owner = connection.execute(sql.OWNER).fetchone() or (None,) * len(OwnerRow._fields)
    for name, value in zip(OwnerRow._fields, owner, strict=True):
        status[f"owner_{name}"] = value
    loss = find(connection, noted)
    status["commits_lost"] = 0 if loss is None else loss.commits
    status["submissions_lost"] = 0 if loss is None else loss.submissions
    return status
