"""The values of rows, checked and compared as a database would."""

from __future__ import annotations

from math import isnan
from typing import Any

from ...errors import StoreDataError
from ...store.rows import ROWS, Row, columns

__all__ = ("check_columns", "check_row", "key_of", "matches")


def key_of(kind: type[Row], row: Any) -> Any:
    width = ROWS[kind].key
    return row[0] if width == 1 else tuple(row[:width])


_COLUMNS = {kind: columns(kind) for kind in ROWS}


def check_row(kind: type[Row], row: Any) -> None:
    for value, (name, kind_of, nullable) in zip(row, _COLUMNS[kind], strict=True):
        if value is None:
            fits = nullable
        elif kind_of is int:
            fits = type(value) is int and -(1 << 63) <= value < 1 << 63
        elif kind_of is float:
            fits = type(value) is float and not isnan(value)
        else:
            fits = type(value) is str and (value.isascii() or _encodes(value))
        if not fits:
            raise StoreDataError(f"{ROWS[kind].noun}.{name} can't be {value!r:.100}")


def _encodes(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def matches(row: Any, equal: dict[str, Any]) -> bool:
    return all(getattr(row, column) == value for column, value in equal.items())


def check_columns(kind: type[Row], equal: dict[str, Any]) -> None:
    for column in equal:
        if column not in kind._fields:
            raise TypeError(f"{kind.__name__} has no column {column!r}, only {', '.join(kind._fields)}")
