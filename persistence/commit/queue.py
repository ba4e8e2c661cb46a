"""CommitQueue: entries wait in it for their commit, in order, and callers wait for entries to be on disk.

Each entry gets a position. A commit takes what is queued, so everything up to some position is on disk and nothing
behind it is: that position is `committed`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ..errors import StoreError
from ..runtime import Runtime
from .effects import Effects, Entry, unhandled
from .waiters import Waiter, Waiters

__all__ = ("AHEAD_TURNS_MAX", "BATCH_TURNS_MAX", "LINGER_S_MIN", "CommitQueue")

LINGER_S_MIN = 0.005
"""Entries that nobody waits for lie at least so many seconds before a commit takes them."""
BATCH_TURNS_MAX = 4096
"""A batch of so many entries starts at once."""
AHEAD_TURNS_MAX = 4 * BATCH_TURNS_MAX
AHEAD_BYTES_MAX = 64 * 1024 * 1024
"""The bounds of the run-ahead. Beyond either of them, no turn starts until a commit has landed."""

LOST_MAX = 256
"""So many failures are remembered for receipts that nobody has awaited yet."""


class CommitQueue:
    """Everybody puts entries in and waits for positions. One `Committer` takes them out, and tells how they ended."""

    def __init__(self, runtime: Runtime, bug: Callable[[BaseException], object]) -> None:
        """
        Args:
            bug: told of what a waiter raises, which none should.
        """
        self.position = 0
        """The position of the last entry that was put in."""
        self.committed = 0
        """Everything up to here is on disk, or was dropped and its waiters were told so."""
        self.failure: StoreError | None = None
        """Why nothing can be put in at the moment."""
        self.wanted = False
        """Whether somebody has asked for a commit that hasn't begun."""
        self.entries: list[Entry] = []
        """The queued entries, in order. Only `put` and the committer's half change it."""
        self.linger_s = LINGER_S_MIN
        """How long entries that nobody waits for may lie. The committer adapts it to the disk."""
        self._told = self._counted = 0
        """How many more messages the first `_counted` queued entries tell than they acknowledge."""
        self._bytes = 0
        """The bytes of the entries that are queued,"""
        self._flying_bytes = 0
        """and those of the batch in flight."""
        self._runtime = runtime
        self._waiters = Waiters(bug)
        self._room: list[asyncio.Future[None]] = []
        self._wake: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self.losses: deque[tuple[int, int, StoreError]] = deque(maxlen=LOST_MAX)
        """Ranges of positions that were dropped, and why."""

    def submit(self, effects: Effects) -> int:
        """Queue effects; returns their position.

        Raises:
            StoreFull, StoreUnavailable, Fenced: the store is broken at the moment.
        """
        return self.put(effects, effects.size)

    def put(self, entry: Entry, size: int) -> int:
        """The same for any entry, of about `size` bytes."""
        if self.failure is not None:
            raise self.failure
        self.position = position = self.position + 1
        entries = self.entries
        entries.append(entry)
        self._bytes += size
        count = len(entries)
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
        # A commit that comes before the timer leaves it running: entries behind that commit only lie a little shorter.
        self._linger = None
        if self.entries:
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
        """The same as a future. Only for a position that isn't on disk yet."""
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
            if self.losses and (error := self.lost(position)) is not None:
                raise error
            return
        await self.landing(position)

    def lost(self, position: int) -> StoreError | None:
        """Why the entry at `position` was dropped, if it was."""
        for begin, end, error in self.losses:
            if begin <= position <= end:
                return error
        return None

    async def flush(self) -> None:
        """Wait until everything that is queued at this moment is on disk."""
        await self.wait(self.position)

    @property
    def pending(self) -> int:
        """How many entries are not on disk yet."""
        return self.position - self.committed

    @property
    def behind(self) -> bool:
        """Whether the run-ahead has reached one of its bounds."""
        if self.position - self.committed >= AHEAD_TURNS_MAX:
            return True
        return self._bytes + self._flying_bytes >= AHEAD_BYTES_MAX

    async def room(self) -> None:
        """Wait until the run-ahead is under its bounds again."""
        while self.behind and self.failure is None:
            self.request()
            await self.next_room()

    # -- the committer's half ------------------------------------------------------------------------------

    async def requested(self) -> None:
        """Wait for the next request for a commit. If nothing is queued, earlier requests are void."""
        if not self.entries:
            self.wanted = False
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake
        self._wake = None

    def unhandled(self) -> int:
        """How many more messages the queued entries tell than they acknowledge. Each entry is looked at once."""
        entries, counted = self.entries, self._counted
        if counted < len(entries):
            self._told += unhandled(entries[counted:])
            self._counted = len(entries)
        return self._told

    def take(self) -> list[Entry]:
        """Everything that is queued: it is the batch in flight from now on."""
        self.wanted = False
        batch, self.entries = self.entries, []
        self._told = self._counted = 0
        self._flying_bytes, self._bytes = self._bytes, 0
        return batch

    def put_back(self, entries: list[Entry]) -> None:
        """The batch in flight ends, and these of it go to the front: another commit takes them."""
        self.entries[:0] = entries
        self._told = self._counted = 0
        self._bytes += self._flying_bytes

    def landed(self, end: int) -> None:
        """Everything up to position `end` is on disk."""
        self.committed = end
        if end == self.position - len(self.entries):  # and so nothing is in flight any more
            self._flying_bytes = 0
        waiters = self._waiters
        if waiters.waiting:
            waiters.tell(end, None)
        if self._room:
            self.release_room()

    def settled(self) -> None:
        """No batch is in flight any more, whatever came of it."""
        self._flying_bytes = 0

    def rearm(self, *, at_once: bool) -> None:
        """After a commit, see to it that the entries queued meanwhile get one."""
        if at_once or self._waiters.waiting or len(self.entries) >= BATCH_TURNS_MAX:
            self.wanted = True
        elif self._linger is None:
            self._linger = self._runtime.call_later(self.linger_s, self._lingered)

    def refuse(self, error: StoreError) -> None:
        """Take nothing any more, because of `error`, and forget what is queued. Its waiters are told by `lose`."""
        self.failure = error
        self.entries.clear()
        self._told = self._counted = 0
        self.wanted = False  # else the next entry would wait for a commit that nobody begins
        self._bytes = 0

    def accept(self) -> None:
        """Take entries again."""
        self.failure = None

    def lose(self, end: int, error: StoreError) -> None:
        """Everything up to position `end` that isn't on disk was dropped because of `error`."""
        if end > self.committed:
            self.losses.append((self.committed + 1, end, error))
            self.committed = end
        self._waiters.tell(end, error)

    async def next_room(self) -> None:
        """Wait until something lands, is lost, or lets the next one in."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room.append(future)
        await future

    def release_room(self) -> None:
        """Let everybody look again who waits for room."""
        room, self._room = self._room, []
        for future in room:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """End the timer: no commit will follow."""
        if self._linger is not None:
            self._linger.cancel()
