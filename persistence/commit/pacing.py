"""Pace: whether a commit is made on the event loop's thread or on the store's, whichever costs the loop less."""

from __future__ import annotations

from ..runtime import Runtime
from ..store.commit import Commit
from ..store.contract import Store

__all__ = ("Pace",)

ON_LOOP_S_MAX = 0.002
"""A store whose commits take less than this is written from the loop's own thread: two thread hops cost more."""
PROBE_FIRST, PROBE_EVERY = 4, 50
"""While commits go through the store's thread, one is tried on the loop now and then, to notice that the disk got
faster: after PROBE_FIRST commits, and then after twice as many each time, up to PROBE_EVERY."""
STALL_S = 2 * ON_LOOP_S_MAX
"""No single commit counts for more, because a disk that hiccups once isn't a slow disk."""
PAUSE_S = 50e-6
"""In each of its rounds the loop lets go of the GIL for so long while the store's thread commits (the GIL convoy)."""
WEIGHT, PROBE_WEIGHT = 0.1, 0.5
"""The share of the latest commit in the average. Probes are rare, so they count for more."""


class Pace:
    """Writes commits for the committer, and measures how long they take."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self.on_loop = False
        """Whether the loop stands still for a commit at this moment: no handler's fault, if the disk is slow."""
        self._store = store
        self._runtime = runtime
        self._cost_s = 0.0
        self._gap = self._left = PROBE_FIRST
        """How many commits lie between two probes, and before the next."""
        self._in_thread = False

    @property
    def quick(self) -> bool:
        """Whether commits are made on the loop's own thread at the moment, without a probe."""
        return self._cost_s < ON_LOOP_S_MAX and self._store.synchronous

    async def write(self, commit: Commit) -> None:
        """Make one commit. Raises as `Store.commit`."""
        if self._store.synchronous and (self._cost_s < ON_LOOP_S_MAX or self._left <= 0):
            self.write_now(commit)
            return
        self._left -= 1
        self._in_thread = True
        if self._runtime.pauses:
            self._runtime.call_soon(self._let_go)
        try:
            await self._store.commit(commit)
        finally:
            self._in_thread = False

    def write_now(self, commit: Commit) -> float:
        """The same on the loop's own thread. Returns how long it took, in seconds."""
        clock = self._runtime.perf
        began = clock()
        self.on_loop = True
        try:
            self._store.commit_now(commit)
        finally:
            self.on_loop = False
        seconds = clock() - began
        if self._cost_s < ON_LOOP_S_MAX:
            self._cost_s += (min(seconds, STALL_S) - self._cost_s) * WEIGHT
            return seconds
        self._cost_s += (min(seconds, STALL_S) - self._cost_s) * PROBE_WEIGHT
        self._gap = min(2 * self._gap, PROBE_EVERY) if seconds >= ON_LOOP_S_MAX else PROBE_FIRST
        self._left = self._gap
        return seconds

    def _let_go(self) -> None:
        """Pause: sqlite3 takes the GIL back at each step, and each step would wait for a busy loop to give it up."""
        if self._in_thread:
            self._runtime.pause(PAUSE_S)
            self._runtime.call_soon(self._let_go)
