"""MemoryData: the rows of a store in memory, and what else outlives it; the attempt log among that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...store.attempts import SLOTS, AttemptLog, Started
from ...store.rows import ROWS, OwnerRow, Row

__all__ = ("MemoryAttempts", "MemoryData")


class MemoryAttempts(AttemptLog):
    """An attempt log that outlives the store that it is given to, but not the process."""

    def __init__(self, slots: int = SLOTS) -> None:
        self.slots = slots
        self.damaged = False
        self.left: list[Started] = []
        self._noted: dict[int, Started] = {}
        self._suspects: dict[int, Started] = {}
        self._report = ""

    def open(self) -> list[Started]:
        self.left = [records[place] for records in (self._noted, self._suspects) for place in sorted(records)]
        return self.left

    def note(self, slot: int, uid_hex: str, address: str, running: bool = False) -> None:
        self._noted[slot] = Started(slot, "running" if running else "started", uid_hex, address)

    def mark(self, slot: int, running: bool) -> None:
        if slot in self._noted:
            self._noted[slot] = self._noted[slot]._replace(verdict="running" if running else "waiting")

    def clear(self, slot: int) -> None:
        self._noted.pop(slot, None)

    def hang(self, slot: int, stack: str) -> None:
        if slot in self._noted:
            self._noted[slot] = self._noted[slot]._replace(verdict="hang")
        self._report = stack

    def hang_report(self) -> str:
        return self._report

    def write_suspects(self, suspects: Sequence[Started]) -> None:
        self._noted.clear()
        self._suspects = {place: suspect._replace(slot=place) for place, suspect in enumerate(suspects)}

    def write_suspect(self, place: int, suspect: Started | None) -> None:
        if suspect is None:
            self._suspects.pop(place, None)
        else:
            self._suspects[place] = suspect._replace(slot=place)

    def forgive(self) -> None:
        """Charge nothing to anybody, as after a restart of the machine."""
        for records in (self._noted, self._suspects):
            for place, one in records.items():
                records[place] = Started(place, "suspect" if records is self._suspects else "started", *one[2:4])

    def close(self) -> None:
        """Nothing to give back."""

    def copy(self) -> MemoryAttempts:
        twin = MemoryAttempts(self.slots)
        twin._noted = dict(self._noted)
        twin._suspects = dict(self._suspects)
        twin._report = self._report
        return twin


class MemoryData:
    """The data of a `MemoryStore`. Given to another one, it is as if that had restarted on the same data."""

    def __init__(self) -> None:
        self.tables: dict[type[Row], dict[Any, Any]] = {kind: {} for kind in ROWS}
        self.owner: OwnerRow | None = None
        self.created = False
        """Whether a client has made the store before any node ran on it."""
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
        twin.created = self.created
        twin.inbox_id = self.inbox_id
        twin.attempts = self.attempts.copy()
        twin.sql = self.sql
        return twin
