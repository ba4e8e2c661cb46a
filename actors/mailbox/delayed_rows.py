"""Delayed rows: messages on disk that wait for a moment, by the hundred thousand.

Each portion of them is sorted for itself, and a heap knows the portion whose head is next. A row takes 24 bytes here,
where an entry of `Delayed` takes 200.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Container, Iterable, Iterator

__all__ = ("DelayedRows",)


class _Run:
    """One portion: rows in the order of their due times. The rows before `at` are gone."""

    __slots__ = ("at", "dues", "ids", "places")

    def __init__(self, dues: Iterable[float], ids: Iterable[int], places: Iterable[int]) -> None:
        self.dues, self.ids, self.places = array("d", dues), array("q", ids), array("q", places)
        self.at = 0

    def left(self) -> Iterator[tuple[float, int, int]]:
        return zip(self.dues[self.at :], self.ids[self.at :], self.places[self.at :], strict=True)


class DelayedRows:
    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._heads: list[tuple[float, int, _Run]] = []
        self._runs = 0
        self._places: dict[str, int] = {}
        """The places of addresses in the lists below."""
        self._addresses: list[str] = []
        self._counts = array("q")

    def add(self, rows: Iterable[tuple[float, int, str]]) -> None:
        """Add rows: the due time in epoch seconds, the id, and the address of each."""
        columns = list(zip(*sorted(rows), strict=True))
        if columns:
            self._enter(_Run(columns[0], columns[1], map(self._place, columns[2])))

    def _place(self, address: str) -> int:
        place = self._places.get(address)
        if place is None:
            place = self._places[address] = len(self._addresses)
            self._addresses.append(address)
            self._counts.append(0)
        self._counts[place] += 1
        return place

    def _enter(self, run: _Run) -> None:
        if run.at < len(run.ids):
            self._runs += 1
            heapq.heappush(self._heads, (run.dues[run.at], self._runs, run))

    def next_due(self) -> float | None:
        return self._heads[0][0] if self._heads else None

    def pop(self) -> tuple[str, int]:
        """Take the next row: its address and id."""
        _, number, run = self._heads[0]
        row_id, place = run.ids[run.at], run.places[run.at]
        run.at += 1
        if run.at < len(run.ids):
            heapq.heapreplace(self._heads, (run.dues[run.at], number, run))
        else:
            heapq.heappop(self._heads)
        self._counts[place] -= 1
        return self._addresses[place], row_id

    def has(self, address: str) -> bool:
        """Whether any rows of an address are here."""
        place = self._places.get(address)
        return place is not None and self._counts[place] > 0

    def ids(self) -> list[int]:
        return [row_id for _, _, run in self._heads for _, row_id, _ in run.left()]

    def ids_of(self, address: str) -> list[int]:
        if not self.has(address):
            return []
        wanted = self._places[address]
        return [row_id for _, _, run in self._heads for _, row_id, place in run.left() if place == wanted]

    def drop(self, address: str, ids: Container[int] | None = None) -> None:
        """Forget the rows of an address: all of them, or these."""
        if not self.has(address):
            return
        gone = self._places[address]
        heads, self._heads = self._heads, []
        for _, _, run in heads:
            kept = [row for row in run.left() if row[2] != gone or not (ids is None or row[1] in ids)]
            self._counts[gone] -= len(run.ids) - run.at - len(kept)
            if kept:
                self._enter(_Run(*zip(*kept, strict=True)))
