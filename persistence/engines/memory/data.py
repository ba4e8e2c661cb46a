"""MemoryData: the rows of a store in memory, and what else outlives it."""

from __future__ import annotations

from typing import Any

from ...store.rows import ROWS, OwnerRow, Row
from .attempts import MemoryAttempts

__all__ = ("MemoryData",)


class MemoryData:
    """The data of a `MemoryStore`. Given to another one, it is as if that had restarted on the same data."""

    def __init__(self) -> None:
        self.tables: dict[type[Row], dict[Any, Any]] = {kind: {} for kind in ROWS}
        self.owner: OwnerRow | None = None
        self.inbox_id = 0
        self.attempts = MemoryAttempts()
        self.sql = b""
        """The user's own tables, as a serialized SQLite database."""
        self.changes = 0
        self.locked = False

    def copy(self) -> MemoryData:
        """The data that a crash would leave at this moment: everything committed, and no lock."""
        twin = MemoryData()
        twin.tables = {kind: dict(table) for kind, table in self.tables.items()}
        twin.owner = self.owner
        twin.inbox_id = self.inbox_id
        twin.attempts = self.attempts.copy()
        twin.sql = self.sql
        return twin
