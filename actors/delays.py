"""Delays: messages that wait for a moment rather than for their turn, delayed tells and retries."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Container
from typing import TYPE_CHECKING

from .envelope import Envelope

if TYPE_CHECKING:
    from .cell import Cell
    from .system import ActorSystem

__all__ = ("Delays",)

WAKE_MAX_S = 3600.0
"""The wall clock may be set: look again at least this often."""


class Delays:
    """One heap and one timer for the whole node."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._heap: list[tuple[float, int, str, Envelope | int, bool]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self.retries = 0
        """Messages that wait out a backoff: the node isn't idle while there are some."""

    def retry(self, cell: Cell, envelope: Envelope, due: float) -> None:
        """Redeliver a message at `due` (epoch seconds)."""
        self.retries += 1
        self._add(due, cell.address, envelope, True)

    def delay(self, address: str, entry: Envelope | int, due: float, *, retry: bool = False) -> None:
        """Deliver a message, or the row of that id, at `due` (epoch seconds)."""
        self.retries += retry
        self._add(due, address, entry, retry)

    def entries_of(self, address: str) -> list[Envelope | int]:
        """What waits here for an address."""
        return [entry for _, _, to, entry, _ in self._heap if to == address]

    def rows(self) -> list[int]:
        """Those that are only on disk."""
        return [int(entry) for _, _, _, entry, _ in self._heap if isinstance(entry, int)]

    def drop(self, address: str, ids: Container[int] | None = None) -> None:
        """Forget what waits for an address: everything, or these rows."""

        def goes(item: tuple[float, int, str, Envelope | int, bool]) -> bool:
            entry = item[3]
            return item[2] == address and (ids is None or (entry if isinstance(entry, int) else entry.id) in ids)

        self.retries -= sum(item[4] for item in self._heap if goes(item))
        kept = self._heap = [item for item in self._heap if not goes(item)]
        heapq.heapify(kept)

    def clear(self) -> None:
        self._heap.clear()
        self.retries = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _add(self, due: float, address: str, entry: Envelope | int, retry: bool) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, address, entry, retry))
        if self._heap[0][1] == self._count:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._heap:
            wait_s = max(0.0, self._heap[0][0] - self._system.runtime.now())
            self._timer = self._system.runtime.call_later(min(wait_s, WAKE_MAX_S), self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._system.runtime.now()
        while self._heap and self._heap[0][0] <= now:
            _, _, address, entry, retry = heapq.heappop(self._heap)
            self.retries -= retry
            self._system.delivery.redeliver(address, entry)
        self._set_timer()
        self._system.maybe_idle()
