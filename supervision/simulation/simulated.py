"""SimulatedRuntime, SimulatedStore: the ground that a simulated node stands on, drawn from a seed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...persistence.engines.memory.attempts import MemoryAttempts
from ...persistence.engines.memory.data import MemoryData
from ...persistence.engines.memory.engine import MemoryStore, commit_sql
from ...persistence.engines.sqlite.lending.transaction import UserTransactions
from ...persistence.engines.sqlite.worker import Worker
from ...persistence.errors import StoreDataError, StoreError, StoreFull, StoreUnavailable
from ...persistence.runtime import Runtime
from ...persistence.store.attempts import Started
from ...persistence.store.commit import Commit
from ...persistence.store.rows import MessageRow, OwnerRow
from .hazards import Weather
from .inline import InlineConnection
from .loop import NodeDied, SimulatedLoop

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the seed

    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("EPOCH", "Life", "SimulatedRuntime", "SimulatedStore")

T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""The wall clock at the beginning."""
PAUSE_S = 0.001
"""Seconds that a pause of the thread takes at least. Shorter pauses would be too many, because nothing waits here."""
REFUSED_SHARE = 0.2
"""The share of commits that are refused, while there are refusals left."""
OUTAGE_SHARE, OUTAGE_S_MAX = 0.2, 3.0
"""The share of errors that begin an outage, and how many seconds that lasts at most."""


class Life:
    """One life of a node: its loop, its weather, and how it ends."""

    def __init__(
        self, number: int, random: Random, data: MemoryData, weather: Weather, told: Callable[..., object], now_s: float
    ) -> None:
        """
        Args:
            told: called with each event, in words.
        """
        self.number = number
        self.random = random
        self.data = data
        """The data that this life works on; `left` are those that it leaves."""
        self.weather = weather
        self.told = told
        self.left: MemoryData | None = None
        self.refusals = 0
        """How many commits are still to be refused."""
        self.faults = 0
        self.loop = SimulatedLoop(random, start_s=now_s, defer_share=weather.defer_share, tick_s=weather.tick_s)
        self.loop.die = self.end
        if weather.end is not None and weather.dies_at == "step":
            self.loop.dies_at = weather.dies_after
        self._counts = {"commit": 0, "landed": 0, "start": 0}

    @property
    def dead(self) -> bool:
        return self.loop.dead

    def reached(self, place: str) -> None:
        """One more of the places at which it may end."""
        if self.dead:
            raise NodeDied
        self._counts[place] += 1
        if self.weather.dies_at == place and self._counts[place] == self.weather.dies_after:
            if self.weather.end == "takeover":
                self.lose()
            elif self.weather.end is not None:
                self.end()
                raise NodeDied

    def lose(self) -> None:
        """Another node takes the store over, and this one doesn't know yet."""
        owner = self.data.owner
        assert owner is not None
        self.data.owner = owner._replace(epoch=owner.epoch + 1)
        self.left = self._image()
        self.told("another node takes the store over")

    def end(self) -> None:
        """Die now."""
        if self.left is None:
            self.left = self._image()
        self.told(f"the node dies: {self.weather.end or 'kill'}")
        self.loop.kill()

    def _image(self) -> MemoryData:
        """The data that the next life finds."""
        image = self.data.copy()
        attempts = cast(SimulatedAttempts, self.data.attempts)
        if self.weather.end == "power":  # the slot file isn't synced, so it is as it was some time before
            image.attempts._noted = {} if self.random.random() < 0.5 else attempts.stale
        return image


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

    def uid(self) -> str:
        self._check_alive()
        return f"{self._life.random.getrandbits(128):032x}"

    def random(self, seed: str | None = None) -> Random:
        self._check_alive()
        return super().random(f"{self._life.random.random()}" if seed is None else seed)


class SimulatedAttempts(MemoryAttempts):
    """The slot file. A node may die right after a start was noted, which is at the handler's first line."""

    def __init__(self, life: Life, found: MemoryAttempts) -> None:
        super().__init__(found.slots)
        self._noted = dict(found._noted)
        self._report = found._report
        self._life = life
        self._notes = 0
        self.stale: dict[int, Started] = {}
        """Its content some time before."""

    def note(self, slot: int, uid_hex: str, address: str, solo: bool = False) -> None:
        super().note(slot, uid_hex, address, solo)
        self._notes += 1
        if self._notes % 5 == 0:
            self.stale = dict(self._noted)
        self._life.reached("start")


class SimulatedStore(MemoryStore):
    """A `MemoryStore` whose operations take their time and fail. The node may die in each of its commits."""

    def __init__(self, life: Life, runtime: Runtime) -> None:
        life.data.attempts = SimulatedAttempts(life, life.data.attempts)
        super().__init__("memory://simulated", runtime, data=life.data)
        self._life = life
        self._worker = InlineWorker(life)
        self._transactions = InlineTransactions(life, self._worker)
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


class InlineWorker(Worker):
    """Calls are made in order, as in a thread, and take their time."""

    def __init__(self, life: Life) -> None:
        super().__init__("simulated")
        self._life = life
        self._until = 0.0

    def call(self, function: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        life, future = self._life, asyncio.get_running_loop().create_future()
        self.run(future, function, *args)
        if life.dead:
            raise NodeDied
        return future

    def run(self, future: asyncio.Future[Any] | None, function: Callable[..., Any], *args: Any) -> None:
        loop = self._life.loop
        takes_s = self._life.random.random() ** 3 * min(self._life.weather.delay_s, 0.01)
        self._until = max(self._until, loop.now_s) + takes_s
        loop.call_at(self._until, _answer, future, function, *args)

    async def stop(self) -> None:
        """There is no thread."""


class InlineTransactions(UserTransactions):
    """Lends connections that have no thread of their own."""

    def __init__(self, life: Life, worker: InlineWorker) -> None:
        super().__init__(worker)
        self._inline = worker
        self._leased: AsyncConnection | None = None

    def _connected(self) -> Any:
        engine = super()._connected()

        def connect() -> AsyncConnection:
            self._leased = engine.connect()
            return self._leased

        return SimpleNamespace(connect=connect)

    @asynccontextmanager
    async def transaction(self, connection: sqlite3.Connection, mutex: Lock, where: str) -> AsyncIterator[Any]:
        try:
            async with super().transaction(connection, mutex, where) as leased:
                yield leased
        except NodeDied:
            with suppress(Exception):  # else SQLAlchemy would complain when it is collected
                if self._leased is not None and self._leased.sync_connection is not None:
                    self._leased.sync_connection.detach()
            raise

    async def _lease_out(self) -> Any:
        lease = self.lease
        assert lease is not None
        return await InlineConnection(lease, self._inline.run)


def _answer(future: asyncio.Future[Any] | None, function: Callable[..., Any], *args: Any) -> None:
    result: Any = None
    failure: Exception | None = None
    try:
        result = function(*args)
    except Exception as error:
        failure = error
    if future is None or future.done():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
