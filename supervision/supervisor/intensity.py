"""Intensity: how many restarts a supervisor makes until it gives up (OTP: "Maximum Restart Intensity")."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

__all__ = ("Intensity",)


class Intensity:
    """At most `limit` restarts within any `period_s`; one more is too many.

    OTP's algorithm: drop the entries older than now - period (one exactly that old still counts), add now, give up if
    more than `limit` remain. A strategy's restart of several children counts once; 0 gives up on the first.
    """

    __slots__ = ("_entries", "limit", "period_s")

    def __init__(self, limit: int, period_s: float) -> None:
        self.limit = limit
        self.period_s = period_s
        self._entries: deque[float] = deque()

    def exceeded(self, now: float) -> bool:
        """Add a restart at `now` (seconds of a monotonic clock); returns whether that was one too many."""
        entries = self._entries
        while entries and entries[0] < now - self.period_s:
            entries.popleft()
        entries.append(now)
        return len(entries) > self.limit

    def recall(self, moments: Iterable[float]) -> None:
        """Add the restarts of an earlier life that still count, oldest first."""
        self._entries.extendleft(reversed(list(moments)))

    def history(self) -> tuple[float, ...]:
        """The times of the restarts that count at present, oldest first."""
        return tuple(self._entries)
