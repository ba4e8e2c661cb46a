"""The checksum that each row carries: `seal` writes it, `verify` looks at it.

It covers every other column, so that a flipped bit in an address or a priority is found as well as one in a body
(SQLite itself would hand out 281 of 300 such flips as data).
"""

from __future__ import annotations

from itertools import product
from typing import Any
from zlib import crc32

import msgspec

from ..errors import RecordCorrupt
from .rows import ROWS, R, Row, columns

__all__ = ("checksum", "seal", "sealed", "verify")

_encode = msgspec.json.Encoder().encode
_new = tuple.__new__


def _shapes(kind: type[Row]) -> frozenset[tuple[type, ...]]:
    choices = [(column.type, type(None)) if column.nullable else (column.type,) for column in columns(kind)[:-1]]
    return frozenset(product(*choices))


_SHAPES: dict[type[Any], frozenset[tuple[type, ...]]] = {kind: _shapes(kind) for kind in ROWS}
"""The types of a row's values when they are just those of its columns."""


def _stored(kind: type[Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as the database will give them back: an int in a float column as a float, a bool as an int."""
    found = list(values)
    for position, (value, column) in enumerate(zip(values, columns(kind), strict=False)):
        if column.type is float and isinstance(value, int):
            found[position] = float(value)
        elif column.type is int and isinstance(value, int):
            found[position] = int(value)
        elif column.type is str and isinstance(value, str):
            found[position] = str.__str__(value)
    return tuple(found)


def _crc(values: tuple[Any, ...]) -> int:
    """CRC-32 over the JSON of the values: it keeps types and borders apart (1, 1.0, "1" and null differ), and nothing
    makes a text of them faster."""
    try:
        return crc32(_encode(values))
    except (UnicodeEncodeError, TypeError):
        # What no JSON can say no database takes; but what a damaged one holds has to have some checksum.
        return crc32(ascii(values).encode("ascii"))


def checksum(row: Row) -> int:
    """CRC-32 over every column but the last."""
    values = row[:-1]
    if bytes in map(type, values):  # a flipped bit has made a blob of a text, and "" would be the same in JSON
        return crc32(ascii(values).encode("ascii"))
    return _crc(values)


def sealed(kind: type[R], *values: Any) -> R:
    """A row of these values with its checksum: `seal` for the rows of which there are many.

    The values are of just the types of their columns, or of subclasses that `seal` knows to make plain.
    """
    try:
        return _new(kind, (*values, crc32(_encode(values))))
    except (UnicodeEncodeError, TypeError):
        return seal(kind._make((*values, 0)))


def seal(row: R) -> R:
    """The row with its checksum.

    Values are made what the database will give back first: a checksum over the int that was put in a float column
    would call the row damaged.
    """
    kind: type[R] = type(row)
    values: tuple[Any, ...] = row[:-1]
    if tuple(map(type, values)) not in _SHAPES[kind]:
        values = _stored(kind, values)
    return kind._make((*values, _crc(values)))


def verify(row: R) -> R:
    """The row itself, if its checksum fits.

    Raises:
        RecordCorrupt: it doesn't; the error names table and key.
    """
    computed = checksum(row)
    if computed != row.crc:
        table = ROWS[type(row)]
        raise RecordCorrupt(f"{table.name} {', '.join(map(str, row[: table.key]))}", row.crc, computed)
    return row
