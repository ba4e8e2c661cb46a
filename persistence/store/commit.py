"""Commit: the changes that one transaction makes."""

from __future__ import annotations

from typing import Any

from .rows import MessageRow, Row

__all__ = ("Commit",)


class Commit:
    """For each kind of row, the rows to put and the keys to delete.

    The rows carry their checksums already. `inserts` are new message rows (a conflict is a data error). `puts` replace
    the row of the same key. `deletes` holds keys: the bare value for a key of one column, a tuple otherwise. Within one
    kind no key occurs twice.
    """

    __slots__ = ("deletes", "inserts", "last_id", "number", "puts")

    def __init__(self, number: int = 0) -> None:
        self.number = number
        """The commit's number, which the owner row says after it."""
        self.last_id = 0
        """The highest message sequence number given so far; 0 if it hasn't changed."""
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
