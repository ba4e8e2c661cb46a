"""The owner row, and the highest numbers that a database has given out, as a schema of any version has them.

A loss is judged, and a backup is restored, before the schema is brought up to date. Up to version 3 the names of the
tables had no prefix.
"""

from __future__ import annotations

import sqlite3

from ...store.rows import OWNER_TABLE, PREFIX, ROWS, InboxRow, OwnerRow

__all__ = ("inbox_last_id", "owner_row", "raise_epoch", "raise_numbers", "sign", "wrong_owner")

INBOX_TABLE = ROWS[InboxRow].name

_HAS_TABLE = "SELECT count(*) FROM sqlite_schema WHERE name = ?"
_COLUMNS = ", ".join(OwnerRow._fields)
_RAISE_EPOCH = f"""INSERT INTO {OWNER_TABLE} (node, epoch, commit_no, pid, started, last_id) VALUES (?, 1, 0, ?, ?, 0)
    ON CONFLICT (node) DO UPDATE SET epoch = epoch + 1, pid = excluded.pid, started = excluded.started"""
_SIGN = f"UPDATE {OWNER_TABLE} SET pid = ? WHERE node = ? AND epoch = ?"


def owner_row(connection: sqlite3.Connection) -> OwnerRow | None:
    """The owner row; None if there is none yet.

    Raises:
        sqlite3.Error
    """
    row = connection.execute(f"SELECT {_COLUMNS} FROM {_named(connection, OWNER_TABLE)}").fetchone()
    return None if row is None else OwnerRow._make(row)


def inbox_last_id(connection: sqlite3.Connection) -> int:
    """The highest id that the inbox has given out; 0 if none.

    Raises:
        sqlite3.Error
    """
    name = _named(connection, INBOX_TABLE)
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
    return 0 if row is None else row[0]


def raise_numbers(
    connection: sqlite3.Connection, *, epoch: int, last_id: int, inbox: int, pid: int | None = None
) -> None:
    """In the open transaction, raise each number at least to the given one, so that none is given out twice.

    Args:
        pid: becomes the owner's pid, unless it is None.

    Raises:
        sqlite3.Error
    """
    inbox = max(inbox, inbox_last_id(connection))
    name = _named(connection, INBOX_TABLE)
    connection.execute(
        f"UPDATE {_named(connection, OWNER_TABLE)} SET epoch = max(epoch, ?), last_id = max(last_id, ?), "
        "pid = coalesce(?, pid)",
        (epoch, last_id, pid),
    )
    connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
    connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, inbox))


def raise_epoch(connection: sqlite3.Connection, node: str, pid: int, started: float) -> OwnerRow:
    """In the open transaction, begin a life: the owners before are fenced. The schema is the current one.

    Args:
        started: epoch seconds.

    Raises:
        sqlite3.Error
    """
    connection.execute(_RAISE_EPOCH, (node, pid, started))
    owner = owner_row(connection)
    assert owner is not None, "it was written just now"
    return owner


def sign(connection: sqlite3.Connection, node: str, epoch: int, pid: int) -> bool:
    """Write the owner's pid; 0 says that the life has ended in order.

    Returns:
        Whether the owner of that epoch is the owner still.

    Raises:
        sqlite3.Error
    """
    return connection.execute(_SIGN, (pid, node, epoch)).rowcount == 1


def wrong_owner(connection: sqlite3.Connection, node: str | None = None) -> str | None:
    """The reason why the owner row makes no sense, as far as can be told; None if it does, or there is none.

    (It has no checksum, because each commit writes it.)

    Raises:
        sqlite3.Error
    """
    rows = connection.execute(f"SELECT {_COLUMNS} FROM {_named(connection, OWNER_TABLE)}").fetchall()
    for row in map(OwnerRow._make, rows):
        for name in ("epoch", "commit_no", "pid", "last_id"):
            number = getattr(row, name)
            if not isinstance(number, int) or number < 0:
                return f"{name} is {number!r}"
        if node is not None and row.node != node:
            return f"node is {row.node!r}, not {node!r}"
    return None if len(rows) <= 1 else f"there are {len(rows)} owners"


def _named(connection: sqlite3.Connection, table: str) -> str:
    """The table's name in this database."""
    return table if connection.execute(_HAS_TABLE, (table,)).fetchone()[0] else table.removeprefix(PREFIX)
