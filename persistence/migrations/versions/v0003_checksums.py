"""Checksums over the JSON of a row, no longer over its `ascii()`.

A row whose old checksum doesn't fit keeps it: damaged before, damaged after.
"""

from __future__ import annotations

import sqlite3
from typing import Any
from zlib import crc32

import msgspec
from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = (
    "message", "actor", "attempt", "dead_letter", "timer", "idempotency_key", "inbox", "reply", "child", "monitor",
    "incident",
)  # fmt: skip
CHUNK_ROWS = 1000


def upgrade() -> None:
    connection: Any = op.get_bind().connection.driver_connection
    usual = connection.text_factory
    connection.text_factory = _escaped
    try:
        for table in TABLES:
            _convert(connection, table)
    finally:
        connection.text_factory = usual


def _convert(connection: sqlite3.Connection, table: str) -> None:
    info = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    columns = [row[1] for row in info]
    key = [row[1] for row in sorted(info, key=lambda row: row[5]) if row[5]]
    places = [columns.index(name) for name in key]
    keys = ", ".join(f'"{name}"' for name in key)
    marks = ", ".join("?" * len(key))
    names = ", ".join(f'"{name}"' for name in columns)
    after: list[Any] = []
    while True:
        where = f" WHERE ({keys}) > ({marks})" if after else ""
        rows = connection.execute(
            f'SELECT {names} FROM "{table}"{where} ORDER BY {keys} LIMIT {CHUNK_ROWS}', after
        ).fetchall()
        for row in rows:
            if crc32(ascii(row[:-1]).encode("ascii")) == row[-1]:
                connection.execute(
                    f'UPDATE "{table}" SET crc = ? WHERE ({keys}) = ({marks})',
                    (crc32(msgspec.json.encode(row[:-1])), *(row[place] for place in places)),
                )
        if len(rows) < CHUNK_ROWS:
            return
        after = [rows[-1][place] for place in places]


def _escaped(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
