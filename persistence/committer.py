"""The committer: finished turns in, one transaction out, waiters told in order.

One task owns all writing and is never cancelled; callers wait on futures of their own, so that a cancelled caller can't
leave a half commit behind. The states are in docs/runtime-semantics.md, section 5.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from .bisection import bisect
from .effects import Effects, fold
from .errors import Fenced, StoreCorrupt, StoreDataError, StoreError, StoreFull, StoreUnavailable
from .pace import Pace
from .runtime import Runtime
from .store import Commit, Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("Committer",)

LINGER_S = 0.005
"""How long finished turns that nobody waits for may lie before a commit takes them."""
BATCH_TURNS_MAX = 1024
"""A batch of this size starts at once."""
AHEAD_TURNS_MAX = 8 * BATCH_TURNS_MAX
AHEAD_BYTES_MAX = 64 * 1024 * 1024
"""Bounds of the run-ahead: beyond either, no turn starts until a commit has landed."""

LOST_MAX = 256
"""Failures that are remembered for receipts nobody has awaited yet."""

Waiter = Callable[[StoreError | None], object]


class Committer:
    """Group commit for one store."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        *,
        commit_no: int,
        refused: Callable[[Effects, StoreDataError], Effects | None],
        broken: Callable[[StoreError, bool], object],
    ) -> None:
        """
        Args:
            commit_no: the owner row's, at open.
            refused: called with the effects whose data the database refused, after everything before them is
                committed; what it returns (the failed attempt) is committed next; None if nobody answers for them.
            broken: called when the store failed and everything uncommitted has been dropped; and whether somebody
                answers for it, which is about refused data.
        """
        self.store = store
        self.pace = Pace(store, runtime)
        self.position = 0
        """Of the last effects submitted."""
        self.committed = 0
        """Everything up to here is on disk, or was dropped and its waiters told so."""
        self.commits = 0
        self.failure: StoreError | None = None
        """Why nothing can be submitted at the moment."""
        self._runtime = runtime
        self._number = commit_no
        self._refused = refused
        self._broken = broken
        self._queue: list[Effects] = []
        self._bytes = 0
        self._waiters: list[tuple[int, Waiter]] = []
        self._room: list[asyncio.Future[None]] = []
        self._wake: asyncio.Future[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._wanted = False
        self._in_flight = False
        self._held = False
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._lost: deque[tuple[int, int, StoreError]] = deque(maxlen=LOST_MAX)
        """Ranges of positions that were dropped, and why."""

    # -- callers -------------------------------------------------------------------------------------

    def submit(self, effects: Effects) -> int:
        """Queue effects; returns their position in the commit order.

        Raises:
            StoreFull, StoreUnavailable, Fenced: the store is broken at the moment.
        """
        if self.failure is not None:
            raise self.failure
        self.position += 1
        effects.position = self.position
        queue = self._queue
        queue.append(effects)
        self._bytes += effects.size
        if len(queue) == 1:
            if self._linger is None and not self._wanted:
                self._linger = self._runtime.call_later(LINGER_S, self.request)
        elif len(queue) >= BATCH_TURNS_MAX:
            self.request()
        return self.position

    def request(self) -> None:
        """Ask for a commit now."""
        self._wanted = True
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        wake = self._wake
        if wake is not None and not wake.done():
            wake.set_result(None)

    def when(self, position: int, waiter: Waiter) -> None:
        """Call `waiter(None)` once `position` is on disk, `waiter(error)` if it was dropped. Asks for a commit."""
        if position <= self.committed:
            waiter(self.lost(position))
            return
        self._waiters.append((position, waiter))
        if not self._wanted:
            self.request()

    async def wait(self, position: int) -> None:
        """Return once `position` is on disk. Cancelling the caller doesn't touch the commit.

        Raises:
            StoreFull, StoreUnavailable, StoreDataError, Fenced: it was dropped.
        """
        if position <= self.committed:
            if self._lost and (error := self.lost(position)) is not None:
                raise error
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when(position, lambda error: _settle(future, error))
        await future

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
    def held(self) -> bool:
        """Whether a turn holds the write transaction, or waits for it to be free."""
        return self._held

    @property
    def behind(self) -> bool:
        """Whether the run-ahead has reached its bound."""
        return self.position - self.committed >= AHEAD_TURNS_MAX or self._bytes >= AHEAD_BYTES_MAX

    async def room(self) -> None:
        """Wait until the run-ahead is under its bound again."""
        while self.behind and self.failure is None:
            self.request()
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._room.append(future)
            await future

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[tuple[AsyncConnection, Callable[[Effects], Any]]]:
        """Hold the write transaction: other commits queue meanwhile. What the caller rests on is committed already.

        Yields the connection for the user's SQL and `finish(effects)`, which commits both; leaving without it rolls back.
        """
        while self._held:
            await self._next_room()
        self._held = True  # no batch starts from here on; to wait for an empty queue could take for ever
        try:
            while self._in_flight:
                await self._next_room()
            if self.failure is not None:
                raise self.failure
            async with self.store.transaction() as connection:

                async def finish(effects: Effects) -> int:
                    commit = fold([effects], Commit(self._number + 1))
                    self._in_flight = True
                    try:
                        await self.store.commit_held(commit)
                    finally:
                        self._in_flight = False
                    self._number += 1
                    self.commits += 1
                    return self.position

                yield connection, finish
        finally:
            self._held = False
            self._drop_rest()
            if self._queue:
                self.request()  # a batch goes first; its landing lets the next holder in
            else:
                self._release_room()

    async def _next_room(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._room.append(future)
        await future

    # -- the owner task --------------------------------------------------------------------------------

    def start(self) -> None:
        self._task = self._runtime.spawn(self._run(), "understudy committer")

    @property
    def cancelled(self) -> bool:
        """Whether the event loop ends under the node: nothing else cancels this task."""
        return self._task is not None and self._task.cancelling() > 0

    async def close(self) -> None:
        """Commit what is queued and end the task."""
        self._closing = True
        self.request()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not self._wanted or self._held or not self._queue:
                if self._closing and not self._queue:
                    return
                if not self._queue:
                    self._wanted = False
                self._wake = loop.create_future()
                await self._wake
                self._wake = None
                continue
            self._wanted = False
            batch, self._queue = self._queue, []
            self._in_flight = True
            try:
                await self._commit(batch)
            finally:
                self._in_flight = False
            if self.failure is not None:
                self._drop_rest()
            if self._queue and (self._waiters or len(self._queue) >= BATCH_TURNS_MAX or self._closing):
                self._wanted = True
            elif self._queue and self._linger is None:
                self._linger = self._runtime.call_later(LINGER_S, self.request)

    async def _commit(self, batch: list[Effects]) -> None:
        try:
            await self._write(batch)
        except StoreDataError as error:
            await self._refuse(batch, error)
        except Exception as error:
            self._drop(error if isinstance(error, StoreError) else StoreUnavailable(str(error) or repr(error)))
        else:
            self._landed(batch)

    async def _write(self, batch: list[Effects]) -> None:
        commit = fold(batch, Commit(self._number + 1))
        try:
            await self.pace.write(commit)
        except (StoreFull, StoreUnavailable) as error:
            if error.outcome != "unknown":
                raise
            landed = await self.store.has_landed(commit)
            if landed is None:
                raise
            if not landed:
                raise type(error)(error.why) from error
        self._number = commit.number
        self.commits += 1

    async def _refuse(self, batch: list[Effects], error: StoreDataError) -> None:
        """Commit what the database takes; charge whom it refuses; drop the rest."""
        guilty = batch[0]
        try:
            found, error, behind = await bisect(batch, error, self._write, self._landed)
            if found is None:
                self._queue[:0] = behind
                return
            guilty = found
            charge = self._refused(guilty, error)
            if charge is not None and (charge.rows or charge.deletes):
                await self._write([charge])
        except StoreError as broken:
            self._drop(broken, guilty.position if isinstance(broken, StoreDataError) else 0, charged=False)
            return
        self._drop(error, guilty.position, charged=charge is not None)

    def fail(self, error: StoreError) -> None:
        """The store failed somebody else (a read, a held transaction): the same consequences."""
        if self.failure is not None:
            return
        if not self._in_flight:
            self._drop(error)
            return
        self.failure = error  # what is in flight may land yet: who waits for it hears then what became of it
        self._queue.clear()
        self._wanted = False
        self._broken(error, True)

    def _drop_rest(self) -> None:
        """What was in flight when something else failed has come to its end, and nothing else does."""
        if self.failure is not None and self.committed < self.position and not self._in_flight:
            self._queue.clear()
            self._bytes = 0
            self._lose(self.position, self.failure)
            self._release_room()

    def _landed(self, batch: list[Effects]) -> None:
        end = batch[-1].position
        self.committed = end
        for effects in batch:
            self._bytes -= effects.size
        self._tell_waiters(end, None)
        if self._room:
            self._release_room()

    def _drop(self, error: StoreError, guilty: int = 0, *, charged: bool = True) -> None:
        """Nothing uncommitted survives: tell every waiter, then let the tree be reset from the database.

        Args:
            guilty: the position whose data was refused; everybody behind it was merely in its way.
            charged: whether somebody answers for refused data.
        """
        others = error
        if guilty:
            others = StoreUnavailable("the database refused what another turn wrote before this; tell again")
        self.failure = others
        self._queue.clear()
        self._wanted = False  # else the next effects would wait for a commit that nobody begins
        self._bytes = 0
        if guilty:
            self._lose(guilty, error)
        self._lose(self.position, others)
        self._release_room()
        self._broken(error, charged)

    def _lose(self, end: int, error: StoreError) -> None:
        if end > self.committed:
            self._lost.append((self.committed + 1, end, error))
            self.committed = end
        self._tell_waiters(end, error)

    def _tell_waiters(self, end: int, error: StoreError | None) -> None:
        if not self._waiters:
            return
        waiters, self._waiters = self._waiters, []
        for item in waiters:
            if item[0] <= end:
                item[1](error)
            else:
                self._waiters.append(item)

    def _release_room(self) -> None:
        room, self._room = self._room, []
        for future in room:
            if not future.done():
                future.set_result(None)

    # -- recovery ------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Reopen the store after a failure and prove that it takes a commit. Nothing is taken until `resume`.

        Raises:
            StoreFull, StoreUnavailable: still broken. Fenced, StoreCorrupt: for good.
        """
        if isinstance(self.failure, Fenced | StoreCorrupt):
            raise self.failure
        while self._in_flight:
            await self._next_room()
        owner = await self.store.reopen()
        self._number = owner.commit_no + 1
        await self.store.commit(Commit(self._number))

    def resume(self) -> None:
        """Take effects again."""
        self.failure = None


def _settle(future: asyncio.Future[None], error: StoreError | None) -> None:
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
