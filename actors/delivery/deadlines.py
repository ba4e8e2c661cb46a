"""Deadlines: time limits by the thousand, nearly all of which are lifted before they pass.

One of the loop's own timers costs some 4 µs (it is made, kept in a heap, cancelled, swept out); a place in a bucket
costs a tenth of that. The price is precision: a limit passes up to `RESOLUTION_S` late, never early.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

from ...persistence.runtime import Runtime

__all__ = ("Deadlines",)

RESOLUTION_S = 0.02

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Time limits: `passed(item)` is called for each item that is still in its bucket when its time has come."""

    def __init__(self, runtime: Runtime, passed: Callable[[T], object]) -> None:
        self._runtime = runtime
        self._passed = passed
        self._buckets: dict[int, dict[T, None]] = {}
        """Sets that keep their order, so that limits which pass together pass in the order in which they were set."""
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, item: T, timeout_s: float) -> dict[T, None]:
        """Give `item` so many seconds. To lift the limit, pop it from the bucket that is returned."""
        tick = int((self._runtime.monotonic() + timeout_s) / RESOLUTION_S) + 1
        bucket = self._buckets.get(tick)
        if bucket is None:
            bucket = self._buckets[tick] = {}
            heapq.heappush(self._order, tick)
            if self._order[0] == tick:
                self._set_timer()
        bucket[item] = None
        return bucket

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self.close()
        if self._order:
            wait_s = self._order[0] * RESOLUTION_S - self._runtime.monotonic()
            self._timer = self._runtime.call_later(max(0.0, wait_s), self._due)

    def _due(self) -> None:
        self._timer = None
        now_s = self._runtime.monotonic()
        while self._order and self._order[0] * RESOLUTION_S <= now_s:
            bucket = self._buckets.pop(heapq.heappop(self._order))
            for item in list(bucket):
                if item in bucket:  # one limit that passes may lift another
                    self._passed(item)
        self._set_timer()
