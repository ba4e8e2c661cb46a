"""SimulatedRuntime, SimulatedStore: the ground that a simulated node stands on, drawn from a seed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...persistence.engines.memory.engine import MemoryStore, commit_sql
from ...persistence.errors import StoreDataError, StoreError, StoreFull, StoreUnavailable
from ...persistence.runtime import Runtime
from ...persistence.store.commit import Commit
from ...persistence.store.rows import MessageRow, OwnerRow
from .inline import InlineTransactions, InlineWorker
from .life import Life, SimulatedAttempts
from .loop import NodeDied

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

__all__ = ("EPOCH", "SimulatedRuntime", "SimulatedStore")

T = TypeVar("T")
K = TypeVar("K", bound="asyncio.Task[Any]")

EPOCH = 1_700_000_000.0
"""The wall clock at the beginning."""
PAUSE_S = 0.001
"""Seconds that a pause of the thread takes at least. Shorter pauses would be too many, because nothing waits here."""
REFUSED_SHARE = 0.2
"""The share of commits that are refused, while there are refusals left."""
OUTAGE_SHARE, OUTAGE_S_MAX = 0.2, 3.0
"""The share of errors that begin an outage, and how many seconds that lasts at most."""


class SimulatedRuntime(Runtime):
    """Clock, randomness and threads of one life."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._loop = life.loop

    def _check_alive(self) -> None:
        if self._loop.dead:
            raise NodeDied

    def now(self) -> float:
        return EPOCH + self.perf()

    def monotonic(self) -> float:
        return self.perf()

    def elapsed(self) -> float:
        return self.perf()

    def perf(self) -> float:
        loop = self._loop
        if loop.dead:
            raise NodeDied
        loop.now_s += loop.tick_s
        return loop.now_s

    def pause(self, seconds: float) -> None:
        self._loop.now_s += max(seconds, PAUSE_S)

    def spawn(self, coroutine: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        if self._loop.dead:
            coroutine.close()
            raise NodeDied
        return super().spawn(coroutine, name)

    def made(self, task: K) -> K:
        if self._loop.dead:
            task.get_coro().close()
            raise NodeDied
        self._loop.keep(task)
        return task

    def uid(self) -> str:
        self._check_alive()
        return f"{self._life.random.getrandbits(128):032x}"

    def random(self, seed: str | None = None) -> Random:
        self._check_alive()
        return super().random(f"{self._life.random.random()}" if seed is None else seed)


class SimulatedStore(MemoryStore):
    """A `MemoryStore` whose operations take their time and fail. The node may die in each of its commits."""

    def __init__(self, life: Life, runtime: Runtime) -> None:
        life.data.attempts = SimulatedAttempts(life, life.data.attempts)
        super().__init__("memory://simulated", runtime, data=life.data)
        self._life = life
        self._worker = InlineWorker(life)
        self._transactions = InlineTransactions(self._worker)
        self._down_until = 0.0
        self._refused: set[int] = set()
        """The ids of messages that it refuses. A message that is told again has another id."""

    # -- commits -----------------------------------------------------------------------------------------

    @property
    def synchronous(self) -> bool:  # type: ignore[override]  # a class attribute there
        return self._life.random.random() < self._life.weather.on_loop

    async def commit(self, commit: Commit) -> None:
        await self._take_time()
        self.commit_now(commit)
        await self._take_time()

    def commit_now(self, commit: Commit) -> None:
        after = self._before(commit)
        super().commit_now(commit)
        self._after(commit, after)

    async def commit_transaction(self, commit: Commit) -> None:
        await self._take_time()
        after = self._before(commit)
        await super().commit_transaction(commit)
        self._after(commit, after)

    def _before(self, commit: Commit) -> StoreError | None:
        """Raise the error that comes before the commit lands; returns the error that comes when it has landed."""
        life, weather, draw = self._life, self._life.weather, self._life.random.random
        life.reached("commit")
        if life.refusals and commit.inserts and draw() < REFUSED_SHARE:
            life.refusals -= 1
            self._refused.add(commit.inserts[int(draw() * len(commit.inserts))].id)
        for row in commit.inserts if self._refused else ():
            if row.id in self._refused:
                self._fault(f"refuses the data of commit {commit.number}, message {row.id}")
                raise StoreDataError("simulated: a constraint failed")
        self._check_up()
        if weather.commit_errors and draw() < weather.commit_errors:
            return self._break(f"commit {commit.number}", may_land=weather.unknown)
        return None

    def _after(self, commit: Commit, error: StoreError | None) -> None:
        life = self._life
        life.told(f"commit {commit.number}", commit)
        life.reached("landed")
        if error is not None:
            raise error

    def _apply(self, commit: Commit) -> None:
        if self._life.dead:
            raise NodeDied
        super()._apply(commit)

    # -- faults ------------------------------------------------------------------------------------------

    def _break(self, what: str, *, may_land: bool) -> StoreError | None:
        draw = self._life.random.random
        if may_land and draw() < 0.4:
            error = StoreUnavailable("simulated: no answer", outcome="unknown")
            if draw() < 0.5:
                self._fault(f"lands {what}, and its answer is lost")
                return error
            self._fault(f"loses {what}, and the answer")
            raise error
        self._fault(f"fails {what}")
        if draw() < OUTAGE_SHARE:
            self._down_until = self._life.loop.now_s + draw() * OUTAGE_S_MAX
        raise StoreFull("simulated: no space") if draw() < 0.5 else StoreUnavailable("simulated: I/O error")

    def _check_up(self) -> None:
        if self._life.dead:
            raise NodeDied
        if self._life.loop.now_s < self._down_until:
            self._life.faults += 1
            raise StoreUnavailable("simulated: still down")

    def _fault(self, what: str) -> None:
        self._life.faults += 1
        self._life.told(f"the store {what}")

    async def _take_time(self) -> None:
        if self._life.dead:
            raise NodeDied
        longest = self._life.weather.delay_s
        if longest and self._life.random.random() < 0.5:
            await self.runtime.sleep(self._life.random.random() ** 3 * longest)

    async def _read(self, what: str, reading: Awaitable[T]) -> T:
        try:
            await self._take_time()
            self._check_up()
            if self._life.weather.read_errors and self._life.random.random() < self._life.weather.read_errors:
                self._break(what, may_land=False)
        except BaseException:
            cast(Coroutine[Any, Any, T], reading).close()
            raise
        return await reading

    # -- reads, and the rest that can fail -----------------------------------------------------------------

    async def open(self) -> OwnerRow:
        return await self._read("to open", super().open())

    async def reopen(self) -> OwnerRow:
        return await self._read("to open again", super().reopen())

    async def get(self, kind: Any, *key: Any) -> Any:
        return await self._read(f"to read {kind.__name__} {key}", super().get(kind, *key))

    async def scan(self, kind: Any, **options: Any) -> Any:
        return await self._read(f"to scan {kind.__name__}", super().scan(kind, **options))

    async def heads(self, after: int = 0, limit: int = 10_000) -> Any:
        return await self._read("to scan the heads", super().heads(after, limit))

    async def messages(self, ids: Any) -> list[MessageRow]:
        return await self._read("to read messages", super().messages(ids))

    async def last_id(self) -> int:
        return await self._read("to read the last id", super().last_id())

    async def owner(self) -> OwnerRow | None:
        return await self._read("to read the owner", super().owner())

    # -- the user's SQL ------------------------------------------------------------------------------------

    async def _commit_both(self, lease: Any, commit: Commit) -> None:
        """Commit both at once, so that a crash leaves the user's tables, too."""
        commit_sql(lease)
        assert self._sql is not None
        self.data.sql = self._sql.serialize()
        self._apply(commit)
