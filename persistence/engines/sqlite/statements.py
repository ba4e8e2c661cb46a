"""The SQL of rows, generated from their classes, and the one function that writes a commit.

sqlite3 drops and retakes the GIL at each step, so beside a busy loop the number of statements decides how long a commit
takes. Hence one multi-row statement for each kind of row, and never `executemany`. The numbers of rows are powers of
two: that makes few texts, each found in the connection's statement cache, none compiled twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from ...errors import Fenced
from ...store.commit import Commit
from ...store.rows import ROWS, MessageRow

__all__ = (
    "beyond",
    "by_ids",
    "by_key",
    "delete",
    "equality",
    "insert",
    "keys_below",
    "keys_beyond",
    "put",
    "roll_back",
    "select",
    "upsert",
    "write",
)

CHUNK_ROWS_MAX = 512
"""Beyond this, longer statements gain nothing more."""

_COUNT = "UPDATE greenroom_owner SET commit_no=?, last_id=max(last_id, ?) WHERE node=? AND epoch=?"
OWNER = "SELECT node, epoch, commit_no, pid, started, last_id FROM greenroom_owner"
ACTOR_NEIGHBOURS = """SELECT entry.key, actor.* FROM (
        SELECT * FROM (
            SELECT address AS key, rowid AS place FROM greenroom_actor WHERE address < ? ORDER BY address DESC LIMIT 1)
        UNION ALL
        SELECT * FROM (
            SELECT address AS key, rowid AS place FROM greenroom_actor WHERE address > ? ORDER BY address LIMIT 1)
    ) AS entry LEFT JOIN greenroom_actor AS actor NOT INDEXED ON actor.rowid = entry.place
    WHERE entry.key IS NOT actor.address"""
"""For an address that has no row, its two neighbours in the index of addresses, if they name another address than the
row that they point to. A damaged entry of the address itself would be one of the two: SQLite's search ends there. It
takes the address twice, because Python 3.12 wants no numbered parameters."""
HEADS = "SELECT id, address, priority, due FROM greenroom_message WHERE id > ? ORDER BY id LIMIT ?"
HEADS_JSON = f"SELECT json_group_array(json_array(id, address, priority, due)) FROM ({HEADS})"
"""The same in one row, because sqlite3 drops the GIL at each row, and beside a busy loop it waits long to have it back.
A due time is exact to 10 µs."""
INBOX_LAST_ID = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'greenroom_inbox'), 0)"


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _tuples(width: int, rows: int) -> str:
    one = f"({','.join('?' * width)})"
    return ",".join([one] * rows)


@cache
def insert(kind: Any, rows: int) -> str:
    return f'INSERT INTO "{ROWS[kind].name}" ({_names(kind._fields)}) VALUES {_tuples(len(kind._fields), rows)}'


@cache
def upsert(kind: Any, rows: int) -> str:
    key = ROWS[kind].key
    changes = ", ".join(f'"{column}"=excluded."{column}"' for column in kind._fields[key:])
    return f"{insert(kind, rows)} ON CONFLICT({_names(kind._fields[:key])}) DO UPDATE SET {changes}"


@cache
def delete(kind: Any, keys: int) -> str:
    name, key = ROWS[kind]
    if key == 1:
        return f'DELETE FROM "{name}" WHERE {_names(kind._fields[:1])} IN ({",".join("?" * keys)})'
    return f'DELETE FROM "{name}" WHERE ({_names(kind._fields[:key])}) IN (VALUES {_tuples(key, keys)})'


def select(kind: Any, where: tuple[str, ...] = (), *, descending: bool = False) -> str:
    """Rows in key order. The last parameter is the limit."""
    return _select(kind, where, descending)


@lru_cache(256)
def _select(kind: Any, where: tuple[str, ...], descending: bool) -> str:
    name, key = ROWS[kind]
    order = ", ".join(f'"{column}"{" DESC" if descending else ""}' for column in kind._fields[:key])
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    return f'SELECT {_names(kind._fields)} FROM "{name}"{condition} ORDER BY {order} LIMIT ?'


def by_key(kind: Any) -> str:
    """The row of one key."""
    return _by_key(kind)


@cache
def _by_key(kind: Any) -> str:
    name, key = ROWS[kind]
    condition = " AND ".join(f'"{part}" = ?' for part in kind._fields[:key])
    return f'SELECT {_names(kind._fields)} FROM "{name}" WHERE {condition}'


def equality(kind: type[Any], equal: dict[str, Any]) -> tuple[list[str], list[Any]]:
    """Conditions and parameters for columns that equal values (None: that are NULL)."""
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, value in equal.items():
        if column not in kind._fields:
            raise TypeError(f"{kind.__name__} has no column {column!r}, only {', '.join(kind._fields)}")
        if value is None:
            conditions.append(f'"{column}" IS NULL')
        else:
            conditions.append(f'"{column}" = ?')
            parameters.append(value)
    return conditions, parameters


def beyond(kind: type[Any], width: int, *, descending: bool) -> str:
    """The condition that a key comes behind the given one, in the direction of the scan."""
    key = ROWS[kind].key
    if width != key:
        raise TypeError(f"{kind.__name__} has a key of {key} columns, not {width}")
    return f"({_names(kind._fields[:key])}) {'<' if descending else '>'} ({','.join('?' * key)})"


def keys_below(kind: type[Any], column: str) -> str:
    """Keys of rows whose column is below the first parameter. The second is the limit."""
    name, key = ROWS[kind]
    return f'SELECT {_names(kind._fields[:key])} FROM "{name}" WHERE "{column}" < ? LIMIT ?'


def keys_beyond(kind: type[Any], column: str) -> str:
    """Keys of rows, by falling values of a column, from a place on. The parameters are place, limit and place."""
    name, key = ROWS[kind]
    keys = _names(kind._fields[:key])
    there_are_more = f'(SELECT count(*) FROM "{name}") > ?'  # as a rule there are not, and no row is looked into
    order = ", ".join(f'"{part}" DESC' for part in (column, *kind._fields[:key]))
    return f'SELECT {keys} FROM "{name}" WHERE {there_are_more} ORDER BY {order} LIMIT ? OFFSET ?'


def by_ids(kind: Any, ids: Sequence[Any]) -> tuple[str, list[Any]]:
    filled = _filled(list(ids))
    return _by_ids(kind, len(filled)), filled


@cache
def _by_ids(kind: Any, count: int) -> str:
    name = ROWS[kind].name
    return f'SELECT {_names(kind._fields)} FROM "{name}" WHERE {_names(kind._fields[:1])} IN ({",".join("?" * count)})'


def variables(connection: sqlite3.Connection) -> int:
    """How many parameters one statement may have. SQLite: limits.html (32,766 upstream, other in builds)."""
    return connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)


def roll_back(connection: sqlite3.Connection) -> None:
    """Roll back after an error. SQLite may have done so itself (at a full disk); then there is nothing to do."""
    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def write(connection: sqlite3.Connection, commit: Commit, node: str, epoch: int, most: int) -> None:
    """Write a commit into the open transaction; `most` is `variables(connection)`.

    Raises:
        Fenced: the owner row isn't ours any more.
        driver.ERRORS: as the driver does.
    """
    owned = connection.execute(_COUNT, (commit.number, commit.last_id, node, epoch))
    if owned.rowcount != 1:
        raise Fenced(node, epoch)
    handled = commit.deletes.get(MessageRow)
    if handled:
        _delete(connection, MessageRow, handled, most)
    if commit.inserts:
        put(connection, insert, MessageRow, commit.inserts, most)
    for kind, rows in commit.puts.items():
        if rows:
            put(connection, upsert, kind, rows, most)
    for kind, keys in commit.deletes.items():
        if keys and kind is not MessageRow:
            _delete(connection, kind, keys, most)


def put(
    connection: sqlite3.Connection,
    text: Callable[..., str],
    kind: type[Any],
    rows: Sequence[Any],
    most: int,
) -> None:
    """Insert or upsert rows (`text` is the one or the other)."""
    for start, size in _powers(len(rows), _rows_max(most, len(kind._fields))):
        connection.execute(text(kind, size), list(chain.from_iterable(rows[start : start + size])))


def _delete(connection: sqlite3.Connection, kind: Any, keys: list[Any], most: int) -> None:
    width = ROWS[kind].key
    if kind is MessageRow and len(keys) > 2:
        low, high = min(keys), max(keys)
        if high - low + 1 == len(keys) == len(set(keys)):  # without a gap: one walk takes half the time
            connection.execute("DELETE FROM greenroom_message WHERE id BETWEEN ? AND ?", (low, high))
            return
    step = _rows_max(most, width)
    for start in range(0, len(keys), step):
        some = _filled(keys[start : start + step])
        connection.execute(delete(kind, len(some)), some if width == 1 else list(chain.from_iterable(some)))


def _rows_max(most: int, width: int) -> int:
    """The biggest power of two of rows that fits one statement."""
    return 1 << (min(CHUNK_ROWS_MAX, most // width).bit_length() - 1)


def _powers(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut `count` rows into (start, size), with sizes of powers of two from `size` down."""
    start = 0
    while start < count:
        while size > count - start:
            size >>= 1
        yield start, size
        start += size


def _filled(keys: list[Any]) -> list[Any]:
    """The keys, filled up to a power of two with the last of them: naming it twice is harmless."""
    return keys + keys[-1:] * ((1 << (len(keys) - 1).bit_length()) - len(keys))
