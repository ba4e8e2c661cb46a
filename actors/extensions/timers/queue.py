"""TimerQueue: timers in the order in which they come due."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from .timer import Timer

__all__ = ("TimerQueue",)

STALE_MAX = 1_000
"""Entries of cancelled timers that the heap may hold, beside as many as it has live ones."""


class TimerQueue:
    """A heap of timers. A timer that is taken out leaves its entry behind, which is stale from then on."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._places = 0
        self._stale = 0

    @property
    def next_due(self) -> float | None:
        """The time when the first entry is due, in epoch seconds. The entry may be stale. None if there is none."""
        return self._heap[0][0] if self._heap else None

    def push(self, timer: Timer) -> bool:
        """Add a timer that isn't in the heap. Returns whether it is the first."""
        self._places += 1
        timer.place = self._places
        heapq.heappush(self._heap, (timer.due, timer.place, timer))
        return self._heap[0][1] == timer.place

    def fill(self, timers: Iterable[Timer]) -> None:
        """Add many at once."""
        for timer in timers:
            self._places += 1
            timer.place = self._places
            self._heap.append((timer.due, timer.place, timer))
        heapq.heapify(self._heap)

    def rebuild(self) -> None:
        """Put the timers in order again, because due times have changed."""
        self._heap = [(timer.due, place, timer) for _, place, timer in self._heap if timer.place == place]
        heapq.heapify(self._heap)
        self._stale = 0

    def take_out(self, timer: Timer) -> None:
        """Remove a timer, if it is in the heap."""
        if timer.place:
            timer.place = 0
            self._stale += 1
            if self._stale > STALE_MAX + len(self._heap) // 2:
                self._heap = [entry for entry in self._heap if entry[1] == entry[2].place]
                heapq.heapify(self._heap)
                self._stale = 0

    def pop_due(self, now: float) -> Timer | None:
        """The next timer that is due; None if none is."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, place, timer = heapq.heappop(heap)
            if timer.place != place:
                self._stale -= 1
                continue
            timer.place = 0
            return timer
        return None

    def clear(self) -> None:
        self._heap.clear()
        self._stale = 0

    def __len__(self) -> int:
        """The number of entries, the stale ones included."""
        return len(self._heap)
