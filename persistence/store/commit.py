"""What one transaction changes."""

from __future__ import annotations

from typing import Any

from .rows import MessageRow, Row

__all__ = ("Commit",)


class Commit:
    """What one transaction changes: per kind of row, rows to put and keys to delete.

    Rows are sealed by whoever made them. `inserts` are message rows that are new (a conflict is a data
    error); `puts` replace the row of the same key; `deletes` holds keys (the bare value for a one-column
    key, a tuple otherwise). Within one kind no key occurs twice.
    """

    __slots__ = ("deletes", "inserts", "last_id", "number", "puts")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        """The commit's number, as the owner row will say after it."""
        self.last_id = 0
        """The highest message sequence number that was given up to here; 0 for no news."""
        self.inserts: list[MessageRow] = []
        self.puts: dict[type[Row], list[Any]] = {}
        self.deletes: dict[type[Row], list[Any]] = {}

    def put(self, *rows: Row) -> Commit:
        for row in rows:
            self.puts.setdefault(type(row), []).append(row)
        return self

    def delete(self, kind: type[Row], *keys: Any) -> Commit:
        self.deletes.setdefault(kind, []).extend(keys)
        return self
