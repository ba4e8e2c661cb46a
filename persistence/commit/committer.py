"""Committer: takes a batch of entries out of the commit queue, writes it as one transaction, and tells the waiters.

One task does all writing and is never cancelled. Callers wait on futures of their own, so a cancelled caller can't
leave half a commit behind. Its states: docs/semantics/commit.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from types import coroutine
from typing import TYPE_CHECKING, Any

from ..errors import Fenced, StoreCorrupt, StoreDataError, StoreError, StoreFull, StoreUnavailable
from ..runtime import Runtime
from ..store.commit import Commit
from ..store.contract import Store
from .bisection import bisect
from .effects import Effects, Entry, fold
from .pacing import Pace
from .queue import BATCH_TURNS_MAX, LINGER_S_MIN, CommitQueue

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("Committer",)

GATHER_S_MAX = 0.02
ROW_S = 10e-6
"""A commit that somebody waits for may wait for turns that are about to run, because a message that is told and handled
within one commit needs no row: a crowd of tells is on disk sooner if they are handled first. It waits no longer than
those rows would take, written and deleted, so waiting in vain at most doubles the cost."""

LINGER_COMMITS, LINGER_S_MAX = 10, 0.05
"""Entries that nobody waits for may lie so many times as long as a commit takes, and at most so many seconds."""
COMMIT_WEIGHT = 0.1
"""The share of the latest commit in that average."""


class Committer:
    """Group commit for one store. It has the queue that everybody else puts entries in."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        *,
        commit_no: int,
        refused: Callable[[Entry, StoreDataError], Effects | None],
        broken: Callable[[StoreError, bool], object],
        bug: Callable[[BaseException], object],
        at_work: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            commit_no: that of the owner row, at open.
            refused: called with an entry whose data the database refused, after everything before it is committed. The
                effects that it returns (the failed attempt) are committed next; None if nobody answers for the entry.
            broken: called when everything uncommitted has been dropped, with the error, and with whether somebody
                answers for refused data (true for any other error).
            bug: called with an exception of the committer itself or of a waiter, neither of which should raise any.
            at_work: whether turns are about to run.
        """
        self.queue = CommitQueue(runtime, bug)
        self.store = store
        self.pace = Pace(store, runtime)
        self.commits = 0
        """How many this life has made."""
        self._runtime = runtime
        self._number = commit_no
        self._refused = refused
        self._broken = broken
        self._bug = bug
        self._at_work = at_work
        self._commit_s = 0.0
        """How long a commit takes, on average."""
        self._in_flight = False
        self._held = False
        self._closing = False
        self._failed: tuple[list[Entry], int, Commit, BaseException] | None = None
        """The batch that `commit_here` couldn't commit, its last position, the commit and its error."""
        self._task: asyncio.Task[None] | None = None

    @property
    def held(self) -> bool:
        """Whether a turn holds the write transaction, or waits for it to be free."""
        return self._held

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[tuple[AsyncConnection, Callable[[Effects], Any]]]:
        """Hold a user transaction, while other commits queue. Everything that the caller rests on is committed already.

        Yields the connection for the user's SQL, and `finish(effects)`, which commits both. Without a call of `finish`
        the transaction is rolled back.
        """
        while self._held:
            await self.queue.next_room()
        self._held = True  # no batch starts from here on, because waiting for an empty queue could take for ever
        try:
            while self._in_flight:
                await self.queue.next_room()
            if self.queue.failure is not None:
                raise self.queue.failure
            async with self.store.transaction(here=self.pace.quick) as connection:

                async def finish(effects: Effects) -> int:
                    commit = fold([effects], Commit(self._number + 1))
                    self._in_flight = True
                    try:
                        await self.store.commit_transaction(commit)
                    finally:
                        self._in_flight = False
                    self._number += 1
                    self.commits += 1
                    return self.queue.position

                yield connection, finish
        finally:
            self._held = False
            self._drop_rest()
            if self.queue.entries:
                self.queue.request()  # a batch goes first; its landing lets the next holder in
            else:
                self.queue.release_room()

    # -- the owner task --------------------------------------------------------------------------------

    def start(self) -> None:
        self._task = self._runtime.spawn(self._run(), "greenroom committer")
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._bug(error)

    @property
    def cancelled(self) -> bool:
        """Whether the event loop ends under the node: nothing else cancels this task, or raises a Ctrl-C in it."""
        task = self._task
        if task is None:
            return False
        if task.cancelling() > 0:
            return True
        return task.done() and not (task.cancelled() or isinstance(task.exception(), Exception | None))

    async def close(self) -> None:
        """Commit what is queued and end the task."""
        self._closing = True
        self.queue.request()
        if self._task is not None:
            await asyncio.shield(self._task)
        self.queue.close()

    async def _run(self) -> None:
        queue = self.queue
        while True:
            if self._failed is not None:
                batch, end, commit, error = self._failed
                self._failed = None
                await self._land(self._commit(batch, end, (commit, error)))
                del batch, commit, error
                continue
            if not queue.wanted or self._held or self._in_flight or not queue.entries:
                if self._closing and not queue.entries:
                    return
                await queue.requested()
                continue
            if self._at_work() and not self._closing:
                await self._gather()
                if self._held or self._in_flight or not queue.entries:
                    continue  # `commit_here` has committed it meanwhile, or tried to: a failed batch comes first
            batch = queue.take()
            self._in_flight = True
            await self._land(self._commit(batch, queue.position))
            del batch  # so that an idle node keeps nothing of it alive

    async def _land(self, commit: Coroutine[Any, Any, None]) -> None:
        """Finish the batch in flight."""
        queue = self.queue
        began = self._runtime.perf()
        try:
            await commit
        finally:
            self._in_flight = False
            queue.settled()
        self._lasted(self._runtime.perf() - began)
        if queue.failure is not None:
            self._drop_rest()
        if queue.entries:
            queue.rearm(at_once=self._closing)

    def commit_here(self) -> bool:
        """Commit what is queued on the spot, in the task that waits for it, because waking the owner task costs as much
        as the commit.

        It awaits nothing, so nothing can cancel it. A commit that doesn't succeed at once is left to the owner task.

        Returns:
            Whether everything queued is on disk. If not, wait for `landing`: this isn't the moment, or it failed.
        """
        queue = self.queue
        entries = queue.entries
        if not entries or self._in_flight or self._held or self._closing or queue.failure is not None:
            return False
        if not self.pace.quick or (self._at_work() and queue.unhandled() > 0):
            return False
        end = queue.position
        queue.take()
        commit = Commit(self._number + 1)
        try:
            seconds = self.pace.write_now(fold(entries, commit))
        except BaseException as error:
            self._in_flight = True
            self._failed = entries, end, commit, error
            queue.request()
            if not isinstance(error, Exception):
                raise
            return False
        self._number = commit.number
        self.commits += 1
        queue.landed(end)
        self._lasted(seconds)
        return True

    def _lasted(self, seconds: float) -> None:
        """Note how long a commit has taken, and set `linger_s`, so that commits that nobody waits for take at most a
        tenth of the time.
        """
        self._commit_s += (seconds - self._commit_s) * COMMIT_WEIGHT
        self.queue.linger_s = min(max(LINGER_S_MIN, LINGER_COMMITS * self._commit_s), LINGER_S_MAX)

    async def _gather(self) -> None:
        """Let turns that are about to run go first for a while, if that spares rows."""
        clock, queue, entries = self._runtime.perf, self.queue, self.queue.entries
        began = clock()
        most = seen = 0
        while self._at_work() and seen < len(entries) < BATCH_TURNS_MAX and not queue.behind:
            rows = queue.unhandled()
            most = max(most, rows)
            if rows <= 0 or clock() - began > min(most * ROW_S, GATHER_S_MAX):
                return
            seen = len(entries)
            await _one_round()
            if queue.entries is not entries:
                return  # `commit_here` has taken them

    async def _commit(self, batch: list[Entry], end: int, failed: tuple[Commit, BaseException] | None = None) -> None:
        """
        Args:
            failed: the commit of this batch that has been tried already, and its error.
        """
        try:
            if failed is None:
                await self._write(batch)
            else:
                await self._after(*failed)
        except StoreDataError as error:
            await self._refuse(batch, end - len(batch), error)
        except Exception as error:
            self._drop(error if isinstance(error, StoreError) else StoreUnavailable(str(error) or repr(error)))
        else:
            self.queue.landed(end)

    async def _write(self, batch: Sequence[Entry]) -> None:
        commit = fold(batch, Commit(self._number + 1))
        try:
            await self.pace.write(commit)
        except Exception as error:
            await self._after(commit, error)
        else:
            self._number = commit.number
            self.commits += 1

    async def _after(self, commit: Commit, error: BaseException) -> None:
        """A commit has failed. If it isn't known whether it landed, look. Raise its error unless it has landed."""
        if not isinstance(error, Exception):  # a Ctrl-C in the middle of it
            error = StoreUnavailable(repr(error), outcome="unknown")
        if not isinstance(error, StoreFull | StoreUnavailable) or error.outcome != "unknown":
            raise error
        landed = await self.store.has_landed(commit)
        if landed is None:
            raise error
        if not landed:
            raise type(error)(error.why) from error
        self._number = commit.number
        self.commits += 1

    async def _refuse(self, batch: list[Entry], before: int, error: StoreDataError) -> None:
        """Commit the entries that the database takes, charge the one that it refuses, drop the rest.

        Args:
            before: the position before the batch's first entry.
        """
        first = before + 1
        try:
            guilty, first, error, behind = await bisect(batch, before, error, self._write, self.queue.landed)
            if guilty is None:
                self.queue.put_back(behind)
                return
            charge = self._refused(guilty, error)
            if charge is not None and (charge.rows or charge.deletes):
                await self._write([charge])
        except StoreError as broken:
            self._drop(broken, first if isinstance(broken, StoreDataError) else 0, charged=False)
            return
        self._drop(error, first, charged=charge is not None)

    def fail(self, error: StoreError) -> None:
        """The store failed in a read or in a user transaction, which has the same consequences as a failed commit."""
        if self.queue.failure is not None:
            return
        if not self._in_flight:
            self._drop(error)
            return
        self.queue.refuse(error)  # what is in flight may land yet: its waiters hear then what became of it
        self._broken(error, True)

    def _drop_rest(self) -> None:
        """The batch that was in flight when something else failed has come to its end: drop everything behind it."""
        queue = self.queue
        if queue.failure is not None and queue.pending and not self._in_flight:
            queue.refuse(queue.failure)
            queue.lose(queue.position, queue.failure)
            queue.release_room()

    def _drop(self, error: StoreError, guilty: int = 0, *, charged: bool = True) -> None:
        """Drop everything uncommitted, tell every waiter, then let the tree be reset from the database.

        Args:
            guilty: the position whose data was refused. The entries behind it are dropped for no fault of their own.
            charged: whether somebody answers for refused data.
        """
        others = error
        if guilty:
            others = StoreUnavailable("the database refused what another turn wrote before this; try again")
        queue = self.queue
        queue.refuse(others)
        if guilty:
            queue.lose(guilty, error)
        queue.lose(queue.position, others)
        queue.release_room()
        self._broken(error, charged)

    # -- recovery ------------------------------------------------------------------------------------------

    async def recover(self) -> None:
        """Reopen the store after a failure and prove that it takes a commit. Nothing is taken until `resume`.

        Raises:
            StoreFull, StoreUnavailable: still broken. Fenced, StoreCorrupt: for good.
        """
        if isinstance(self.queue.failure, Fenced | StoreCorrupt):
            raise self.queue.failure
        while self._in_flight:
            await self.queue.next_room()
        owner = await self.store.reopen()
        self._number = owner.commit_no + 1
        await self.store.commit(Commit(self._number))

    def resume(self) -> None:
        """Take entries again."""
        self.queue.accept()


@coroutine
def _one_round() -> Generator[None, None, None]:
    """Let the loop run everything else once."""
    yield
