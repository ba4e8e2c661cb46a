"""Stores that fail when told to: a full disk, a lost connection, a refused row, at a chosen commit.

store = FaultyMemoryStore()
store.plan.fail(StoreFull("no space"), at=3)          # the third commit from now
store.plan.fail(unknown, landed=True)                 # it lands, and the answer is lost
store.plan.broken = StoreUnavailable("cable pulled")  # every commit, and `reopen`, until set to None
store.plan.hold()                                     # commits wait for `release()`
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ...persistence.engines.memory.data import MemoryData
from ...persistence.engines.memory.engine import MemoryStore
from ...persistence.engines.sqlite.engine import SqliteStore
from ...persistence.runtime import Runtime
from ...persistence.store.commit import Commit
from ...persistence.store.rows import OwnerRow

__all__ = ("Faults", "FaultyMemoryStore", "FaultySqliteStore")


class Faults:
    """The plan of what is to go wrong. One object may serve the stores of several lives."""

    def __init__(self) -> None:
        self.commits = 0
        """The number of commits tried so far."""
        self.broken: BaseException | None = None
        """While set, each commit and each `reopen` raises it."""
        self.hook: Callable[[Commit], object] | None = None
        """Called with each commit before it is written. An exception that it raises, the commit raises."""
        self._planned: dict[int, tuple[BaseException, bool]] = {}
        self._gate: asyncio.Event | None = None
        self._arrived = 0
        self._arrivals: list[asyncio.Future[None]] = []

    def fail(self, error: BaseException, *, at: int = 1, landed: bool = False) -> None:
        """Let the `at`-th commit from now raise; with `landed`, after it was written."""
        self._planned[self.commits + at] = (error, landed)

    def hold(self) -> None:
        """Let commits wait, before anything of them is written, until `release`."""
        self._gate = asyncio.Event()
        self._arrived = 0

    def release(self) -> None:
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()

    @property
    def holding(self) -> bool:
        return self._gate is not None

    async def arrived(self) -> None:
        """Wait until a commit stands at the gate."""
        while not self._arrived:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._arrivals.append(future)
            await future

    # -- for the stores --------------------------------------------------------------------------------

    async def gate(self) -> None:
        gate = self._gate
        if gate is None:
            return
        self._arrived += 1
        arrivals, self._arrivals = self._arrivals, []
        for future in arrivals:
            if not future.done():
                future.set_result(None)
        await gate.wait()

    def before(self, commit: Commit) -> BaseException | None:
        """Raise the error that is planned before the commit. Returns the one that is planned after it."""
        self.commits += 1
        if self.broken is not None:
            raise _fresh(self.broken)
        error, landed = self._planned.pop(self.commits, (None, False))
        if error is not None and not landed:
            raise error
        if self.hook is not None:
            self.hook(commit)
        return error

    def reopening(self) -> None:
        if self.broken is not None:
            raise _fresh(self.broken)


def _fresh(error: BaseException) -> BaseException:
    """A new exception each time, because one object that is raised again and again would drag all
    its tracebacks along."""
    return error.with_traceback(None)


class FaultyMemoryStore(MemoryStore):
    """A `MemoryStore` with a plan of faults."""

    def __init__(
        self, runtime: Runtime | None = None, *, data: MemoryData | None = None, plan: Faults | None = None
    ) -> None:
        super().__init__(runtime=runtime, data=data)
        self.plan = plan or Faults()

    @property
    def synchronous(self) -> bool:  # type: ignore[override]  # a class attribute there
        return not self.plan.holding

    def commit_now(self, commit: Commit) -> None:
        _raise(self.plan.before(commit), super().commit_now, commit)

    async def commit(self, commit: Commit) -> None:
        await self.plan.gate()
        self.commit_now(commit)

    async def commit_transaction(self, commit: Commit) -> None:
        await self.plan.gate()
        after = self.plan.before(commit)
        await super().commit_transaction(commit)
        if after is not None:
            raise after

    async def reopen(self) -> OwnerRow:
        self.plan.reopening()
        return await super().reopen()


class FaultySqliteStore(SqliteStore):
    """A `SqliteStore` with a plan of faults."""

    def __init__(self, url: str, runtime: Runtime | None = None, *, plan: Faults | None = None) -> None:
        super().__init__(url, runtime or Runtime())
        self.plan = plan or Faults()

    @property
    def synchronous(self) -> bool:  # type: ignore[override]  # a class attribute there
        return not self.plan.holding

    def commit_now(self, commit: Commit) -> None:
        _raise(self.plan.before(commit), super().commit_now, commit)

    async def commit(self, commit: Commit) -> None:
        await self.plan.gate()
        after = self.plan.before(commit)
        await super().commit(commit)
        if after is not None:
            raise after

    async def commit_transaction(self, commit: Commit) -> None:
        await self.plan.gate()
        after = self.plan.before(commit)
        await super().commit_transaction(commit)
        if after is not None:
            raise after

    async def reopen(self) -> OwnerRow:
        self.plan.reopening()
        return await super().reopen()


def _raise(after: BaseException | None, write: Callable[[Commit], Any], commit: Commit) -> None:
    write(commit)
    if after is not None:
        raise after
