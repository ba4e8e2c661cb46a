"""The commit order: effects queue up in it, and callers wait for their place in it to be on disk."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..errors import StoreError
from ..runtime import Runtime
from .effects import Effects, Entry
from .waiters import Waiter, Waiters

__all__ = ("AHEAD_TURNS_MAX", "BATCH_TURNS_MAX", "LINGER_S_MIN", "CommitOrder")

LINGER_S_MIN = 0.005
"""How long finished turns that nobody waits for may lie before a commit takes them, while commits are quick."""
BATCH_TURNS_MAX = 4096
"""A batch of this size starts at once."""
AHEAD_TURNS_MAX = 4 * BATCH_TURNS_MAX
AHEAD_BYTES_MAX = 64 * 1024 * 1024
"""Bounds of the run-ahead: beyond either, no turn starts until a commit has landed."""

LOST_MAX = 256
"""Failures that are remembered for receipts nobody has awaited yet."""


class CommitOrder:
    """What callers see of the committer. Each entry has a position; a commit takes what is queued, in order."""

    def __init__(self, runtime: Runtime, bug: Callable[[BaseException], object]) -> None:
        self.position = 0
        """Of the last effects submitted."""
        self.committed = 0
        """Everything up to here is on disk, or was dropped and its waiters told so."""
        self.failure: StoreError | None = None
        """Why nothing can be submitted at the moment."""
        self.linger_s = LINGER_S_MIN
        self._runtime = runtime
        self._queue: list[Entry] = []
        self._bytes = 0
        """Of the queue;"""
        self._flying_bytes = 0
        """of the batch in flight."""
        self._waiters = Waiters(bug)
        self._room: list[asyncio.Future[None]] = []
        self._wake: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.wanted = False
        """Whether a commit has been asked for and hasn't begun."""
        self._lost: deque[tuple[int, int, StoreError]] = deque(maxlen=LOST_MAX)
        """Ranges of positions that were dropped, and why."""

    def submit(self, effects: Effects) -> int:
        """Queue effects; returns their position in the commit order.

        Raises:
            StoreFull, StoreUnavailable, Fenced: the store is broken at the moment.
        """
        return self.put(effects, effects.size)

    def put(self, entry: Entry, size: int) -> int:
        """The same for any entry, of about `size` bytes."""
        if self.failure is not None:
            raise self.failure
        self.position = position = self.position + 1
        queue = self._queue
        queue.append(entry)
        self._bytes += size
        count = len(queue)
        if count == 1:
            if self._linger is None and not self.wanted:
                self._linger = self._runtime.call_later(self.linger_s, self._lingered)
        elif count >= BATCH_TURNS_MAX:
            self.request()
        return position

    def request(self) -> None:
        """Ask for a commit now."""
        self.wanted = True
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def _lingered(self) -> None:
        # The timer isn't lifted when a commit comes before it: what came after that commit has its own a little sooner.
        self._linger = None
        if self._queue:
            self.request()

    def when(self, position: int, waiter: Waiter) -> None:
        """Call `waiter(None)` once `position` is on disk, `waiter(error)` if it was dropped. Asks for a commit."""
        if position <= self.committed:
            waiter(self.lost(position))
            return
        self._waiters.add(position, waiter)
        if not self.wanted:
            self.request()

    def landing(self, position: int) -> asyncio.Future[None]:
        """The same as a future. Only for what isn't on disk yet."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(position, future)
        if not self.wanted:
            self.request()
        return future

    async def wait(self, position: int) -> None:
        """Return once `position` is on disk. Cancelling the caller doesn't touch the commit.

        Raises:
            StoreFull, StoreUnavailable, StoreDataError, Fenced: it was dropped.
        """
        if position <= self.committed:
            if self._lost and (error := self.lost(position)) is not None:
                raise error
            return
        await self.landing(position)

    def lost(self, position: int) -> StoreError | None:
        """Why the effects at `position` were dropped, if they were."""
        for begin, end, error in self._lost:
            if begin <= position <= end:
                return error
        return None

    async def flush(self) -> None:
        """Commit everything submitted so far."""
        await self.wait(self.position)

    @property
    def pending(self) -> int:
        """Effects that are not on disk yet."""
        return self.position - self.committed

    @property
    def behind(self) -> bool:
        """Whether the run-ahead has reached its bound."""
        if self.position - self.committed >= AHEAD_TURNS_MAX:
            return True
        return self._bytes + self._flying_bytes >= AHEAD_BYTES_MAX

    async def room(self) -> None:
        """Wait until the run-ahead is under its bound again."""
        while self.behind and self.failure is None:
            self.request()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(future)
            await future

    # -- for the committer -----------------------------------------------------------------------------

    def _lose(self, end: int, error: StoreError) -> None:
        if end > self.committed:
            self._lost.append((self.committed + 1, end, error))
            self.committed = end
        self._waiters.tell(end, error)

    async def _next_room(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room.append(future)
        await future

    def _release_room(self) -> None:
        room, self._room = self._room, []
        for future in room:
            if not future.done():
                future.set_result(None)
