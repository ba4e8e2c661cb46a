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
"""For each kind of row, the types that its values may have without a conversion."""


def _stored(kind: type[Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values as the database gives them back: an int in a float column as a float, a bool as an int."""
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
    """CRC-32 over the JSON of the values. JSON keeps types and borders apart (1, 1.0, "1" and null differ), and no
    other encoder is faster.
    """
    try:
        return crc32(_encode(values))
    except (UnicodeEncodeError, TypeError):
        # No database takes values that JSON can't say, but a damaged database may hold some, and they need a checksum.
        return crc32(ascii(values).encode("ascii"))


def checksum(row: Row) -> int:
    """CRC-32 over every column but the last."""
    values = row[:-1]
    if bytes in map(type, values):  # a flipped bit turned a text into a blob; in JSON an empty one would be "", too
        return crc32(ascii(values).encode("ascii"))
    return _crc(values)


def sealed(kind: type[R], *values: Any) -> R:
    """A row of these values with its checksum. Faster than `seal`, for the kinds of which there are many rows.

    Each value has exactly the type of its column, or a subclass of it that `seal` makes plain.
    """
    try:
        return _new(kind, (*values, crc32(_encode(values))))
    except (UnicodeEncodeError, TypeError):
        return seal(kind._make((*values, 0)))


def seal(row: R) -> R:
    """The row with its checksum.

    Values are first made those that the database will give back, because a checksum over an int in a float column
    would make the row look damaged.
    """
    kind: type[R] = type(row)
    values: tuple[Any, ...] = row[:-1]
    if tuple(map(type, values)) not in _SHAPES[kind]:
        values = _stored(kind, values)
    return kind._make((*values, _crc(values)))


def verify(row: R) -> R:
    """The row itself, if its checksum fits.

    Raises:
        RecordCorrupt: the checksum doesn't fit; the error names table and key.
    """
    computed = checksum(row)
    if computed != row.crc:
        table = ROWS[type(row)]
        raise RecordCorrupt(f"{table.noun} {', '.join(map(str, row[: table.key]))}", row.crc, computed)
    return row
