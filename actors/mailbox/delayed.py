"""Delayed: messages that wait for a moment rather than for their turn. They are delayed tells and retries."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Container

from ...persistence.runtime import Runtime
from .delayed_rows import DelayedRows
from .envelope import Envelope

__all__ = ("Delayed",)

WAKE_MAX_S = 3600.0
"""Seconds after which a wait for a moment looks again at the latest."""
ROUND_MAX = 1_000
"""Messages that are delivered in a row before the loop gets its turn."""


class Delayed:
    """The delayed messages of the whole node: one heap and one timer.

    Callers give due times in epoch seconds, because rows have them. They become moments of a clock that nobody sets
    (`Runtime.elapsed`) as they come in: half a second takes half a second, also if the wall clock is set meanwhile.
    """

    def __init__(
        self,
        runtime: Runtime,
        deliver: Callable[[str, Envelope | int], object],
        rested: Callable[[], object],
    ) -> None:
        """
        Args:
            deliver: called with the address and a message, or the id of its row, whose moment has come.
            rested: called after each delivery, because nothing may be left to do now.
        """
        self._runtime = runtime
        self._deliver = deliver
        self._rested = rested
        self._heap: list[tuple[float, int, str, Envelope | int, bool]] = []
        self._count = 0
        self._waiting: dict[str, int] = {}
        """The number of entries of the heap, by address; only of addresses that have some."""
        self._on_disk = DelayedRows()
        """Rows that the boot has found, unless they have a priority or are a retry."""
        self._timer: asyncio.TimerHandle | None = None
        self.overdue = False
        """Whether some are due and not delivered yet, because there are so many."""
        self.retries = 0
        """The number of messages that wait out a backoff. The node isn't idle while there are some."""

    def retry(self, envelope: Envelope, due: float) -> None:
        """Redeliver a message at `due` (epoch seconds)."""
        self.retries += 1
        self._add(due, envelope.address, envelope, True)

    def delay(self, address: str, entry: Envelope | int, due: float, *, retry: bool = False) -> None:
        """Deliver a message, or the row of that id, at `due` (epoch seconds)."""
        self.retries += retry
        self._add(due, address, entry, retry)

    def delay_rows(self, rows: list[tuple[float, int, str]]) -> None:
        """Deliver rows at their due times (epoch seconds): due, id and address of each."""
        if rows:
            ahead_s = self._runtime.now() - self._runtime.elapsed()
            self._on_disk.add([(due - ahead_s, row_id, address) for due, row_id, address in rows])
            self._set_timer()

    def has(self, address: str) -> bool:
        """Whether anything waits here for an address."""
        return address in self._waiting or self._on_disk.has(address)

    def entries_of(self, address: str) -> list[Envelope | int]:
        """The messages that wait here for an address."""
        entries: list[Envelope | int] = []
        if address in self._waiting:
            entries += [entry for _, _, to, entry, _ in self._heap if to == address]
        return entries + self._on_disk.ids_of(address)

    def rows(self) -> list[int]:
        """The ids of rows that are only on disk."""
        return [int(entry) for _, _, _, entry, _ in self._heap if isinstance(entry, int)] + self._on_disk.ids()

    def drop(self, address: str, ids: Container[int] | None = None) -> None:
        """Forget the messages that wait for an address: everything, or these rows."""
        self._on_disk.drop(address, ids)
        if address not in self._waiting:
            return

        def goes(item: tuple[float, int, str, Envelope | int, bool]) -> bool:
            entry = item[3]
            return item[2] == address and (ids is None or (entry if isinstance(entry, int) else entry.id) in ids)

        self.retries -= sum(item[4] for item in self._heap if goes(item))
        kept = [item for item in self._heap if not goes(item)]
        self._count_out(address, len(self._heap) - len(kept))
        self._heap = kept
        heapq.heapify(kept)

    def clear(self) -> None:
        self._heap.clear()
        self._waiting.clear()
        self._on_disk.clear()
        self.overdue = False
        self.retries = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _add(self, due: float, address: str, entry: Envelope | int, retry: bool) -> None:
        self._count += 1
        moment = self._runtime.elapsed() + (due - self._runtime.now())
        heapq.heappush(self._heap, (moment, self._count, address, entry, retry))
        self._waiting[address] = self._waiting.get(address, 0) + 1
        if self._heap[0][1] == self._count:
            self._set_timer()

    def _count_out(self, address: str, count: int) -> None:
        left = self._waiting[address] - count
        if left:
            self._waiting[address] = left
        else:
            del self._waiting[address]

    def wait_again(self) -> None:
        """Set the timer anew, because the machine has slept."""
        self._set_timer()

    def _next_due(self) -> float | None:
        due = self._on_disk.next_due()
        if self._heap and (due is None or self._heap[0][0] < due):
            due = self._heap[0][0]
        return due

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._next_due()
        if due is not None:
            wait_s = max(0.0, due - self._runtime.elapsed())
            self._timer = self._runtime.call_later(min(wait_s, WAKE_MAX_S), self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._runtime.elapsed()
        for _ in range(ROUND_MAX):
            if self._heap and self._heap[0][0] <= now:
                _, _, address, entry, retry = heapq.heappop(self._heap)
                self._count_out(address, 1)
                self.retries -= retry
                self._deliver(address, entry)
            elif (due := self._on_disk.next_due()) is not None and due <= now:
                self._deliver(*self._on_disk.pop())
            else:
                break
        following = self._next_due()
        self.overdue = following is not None and following <= now
        self._set_timer()
        self._rested()
