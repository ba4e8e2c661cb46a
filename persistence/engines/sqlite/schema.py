"""The tables, one for each row class of `store/rows`, as one SQLAlchemy MetaData.

A table's columns are the fields of its row class, in the same order, so a row is inserted as it stands.

- `message` is a plain rowid table that is appended to, and deleted from by id. It has no AUTOINCREMENT and no secondary
  index, because an index on (mailbox, sequence) costs four fifths of the throughput; that index lives in memory. The
  body comes last but for the checksum, so that the scan at boot needn't walk over it.
- `idempotency_key` and `owner` are WITHOUT ROWID on SQLite, so that one B-tree is written instead of two. That pays for
  small rows only (SQLite: withoutrowid.html). An `actor` table of that kind was measured: from states of 1,000 bytes on
  it takes 2.5 times as long to write and three times the space, because rows of more than a quarter page overflow.
- `inbox` has AUTOINCREMENT, because other processes insert into it and an id must never come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, Table, Text
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.elements import quoted_name
from sqlalchemy.types import TypeEngine

from ...migrations.version import SCHEMA_VERSION, VERSION_TABLE, revision
from ...store.rows import OWNER_TABLE, ROWS, InboxRow, KeyRow, OwnerRow, columns

__all__ = ("ddl", "metadata")

_SMALL_BY_TEXT = (KeyRow, OwnerRow)

_TYPES: dict[type, TypeEngine[Any]] = {
    int: BigInteger().with_variant(Integer(), "sqlite"),  # only INTEGER can be the rowid
    float: Double().with_variant(sqlite.REAL(), "sqlite"),
    str: Text(),
}


def _columns(row: type, key: int) -> Iterator[Column[Any]]:
    for position, (name, kind, nullable) in enumerate(columns(row)):
        yield Column(
            name,
            _TYPES[kind],
            primary_key=position < key,
            nullable=nullable,
            autoincrement=row is InboxRow and position == 0,
        )


_VERSION_DDL = f"""CREATE TABLE {VERSION_TABLE} (
\tversion_num VARCHAR(32) NOT NULL,{" "}
\tCONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)
)"""
"""As alembic would write it."""

metadata = MetaData()

_tables: list[tuple[type, str, int]] = [(_row, _table.name, _table.key) for _row, _table in ROWS.items()]
for _row, _name, _key in (*_tables, (OwnerRow, OWNER_TABLE, 1)):
    Table(
        quoted_name(_name, quote=True),  # as SQLite writes the name of a table that was renamed
        metadata,
        *_columns(_row, _key),
        sqlite_with_rowid=_row not in _SMALL_BY_TEXT,
        sqlite_autoincrement=_row is InboxRow,
    )


@cache
def ddl() -> tuple[str, ...]:
    """The CREATE statements of a fresh SQLite database, alembic's stamp included."""
    dialect = sqlite.dialect()
    return (
        *(str(CreateTable(table).compile(dialect=dialect)).strip() for table in metadata.sorted_tables),
        _VERSION_DDL,
        f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('{revision(SCHEMA_VERSION)}')",
    )
