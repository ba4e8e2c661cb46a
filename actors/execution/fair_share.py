"""Fair share: a cell that has held the loop for long keeps off it for a while, if others have use for it.

The loop serves each task that is ready, once a round. A cell that always has more to do than fits a round would get as
much of the time as it likes, and one that needs several rounds for one thing (an awaited tell takes about five) would
have to wait for the cell in each of them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from ..kernel.cell import UP, Cell

if TYPE_CHECKING:
    from ...persistence.commit.queue import CommitQueue
    from ...persistence.runtime import Runtime

__all__ = ("BACK", "HOG_S", "FairShare")

HOG_S = 0.001
"""Seconds for which a cell may hold the loop, in one turn or in many, before it gives the loop back."""
BACK = 2.0
"""The cell gives it back for so many times as long, so that beside a cell that burns CPU without end the others have
two thirds of the loop."""
BACK_S_MAX = 1.0
"""Seconds for which the cell keeps off the loop at most, because its time limits go on meanwhile."""
IDLE_ROUND_S, IDLE_ROUNDS = 50e-6, 2
"""No other has use for the loop, if so many rounds take less than so many seconds each."""


class FairShare:
    def __init__(self, runtime: Runtime, commits: CommitQueue) -> None:
        self.clock = runtime.perf
        self._commits = commits

    def give_back(self, cell: Cell, held_s: float, until: float) -> Generator[None, None, None]:
        """Keep off the loop, unless nothing else happens on it, or the cell is to stop, because its shutdown
        waits for nothing.

        Args:
            held_s: the seconds for which it was held, until that moment on the clock.
        """
        over, clock, commits = until + min(BACK * held_s, BACK_S_MAX), self.clock, self._commits
        now, idle = clock(), 0
        while idle < IDLE_ROUNDS and now < over and cell.status is UP:
            yield
            began, now = now, clock()
            idle = idle + 1 if now - began < IDLE_ROUND_S and not commits.wanted else 0
