"""Attempt: one run of one seed, which draws the lives of a node, one after another on the same data."""

from __future__ import annotations

import re
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from loguru import logger

from ...actors.kernel.errors import StartFailed, SystemStopped
from ...persistence.engines.memory.data import MemoryData
from ...persistence.errors import Fenced, StoreError, StoreFull, StoreUnavailable
from ...persistence.events import Event
from ...persistence.runtime import Runtime
from ...persistence.store.checksums import checksum
from ...persistence.store.commit import Commit
from ...persistence.store.rows import MessageRow, Row
from ..node.start import start
from .hazards import CALM, Weather
from .life import Life
from .loop import NodeDied
from .plan import Plan
from .run import Outcome, Run
from .simulated import SimulatedRuntime, SimulatedStore

if TYPE_CHECKING:
    from ...actors.system import ActorSystem

__all__ = ("Attempt",)

LIVES_MAX = 60
"""How many lives one seed may have: a node that dies more often will never survive."""
AGAIN_S = 0.25
"""Virtual seconds until a workload that a broken store has ended goes on."""
_FOLDER = re.compile(r'(File \\?")[^"\\]*/')
"""Matches the folder of a file in a traceback, which may be a text in JSON."""
LINES_KEPT = 40
"""How many of the last events a failure shows."""


class Attempt:
    """One run of one seed."""

    def __init__(self, plan: Plan, seed: int, *, lines: list[str] | None = None) -> None:
        self.plan = plan
        self.lines = lines
        self.outcome = Outcome(seed)
        self._seed = seed
        self._random = Runtime().random(f"greenroom {seed}")
        self._run = Run(seed, Runtime().random(f"workload {seed}"))
        self._hash = blake2b(digest_size=16)
        self._ended = False
        """Whether the workload has come to its end."""
        self._now_s = 0.0
        self._given: set[int] = set()
        """The ids of all messages: none may be given twice."""

    def run(self) -> Outcome:
        logger.disable("greenroom")
        try:
            crashes = self._random.randint(0, self.plan.hazards.crashes)
            refusals = self._random.randint(0, self.plan.hazards.refusals)
            data = MemoryData()
            while crashes:
                crashes -= 1
                life = self._begin(data, Weather(self._random, self.plan.hazards, crashes=True))
                life.refusals, refusals = refusals, 0
                self._live(life, self._stormy(life))
                data = self._end(life)
            self._run.calm = True
            over = False
            while not over:  # a handler may still take the process down
                life = self._begin(data, Weather(self._random, CALM, crashes=False))
                over = self._live(life, self._calm(life))
                data = self._end(life)
            life = self._begin(data, Weather(self._random, CALM, crashes=False))
            self._live(life, self._after(life))
            self._end(life)
        finally:
            logger.enable("greenroom")
        self.outcome.trace = self._hash.hexdigest()
        return self.outcome

    # -- lives -------------------------------------------------------------------------------------------

    def _begin(self, data: MemoryData, weather: Weather) -> Life:
        self.outcome.lives += 1
        if self.outcome.lives > LIVES_MAX:
            raise AssertionError(f"the node has died {LIVES_MAX} times: something takes it down again and again")
        self._now_s += weather.down_s
        life = Life(self.outcome.lives, self._random, data, weather, self._told, self._now_s)
        life.loop.ends_s = self._now_s + self.plan.limit_s
        run = self._run
        run.life, run.data, run._life = life.number, data, life
        self._told(f"life {life.number} begins")
        return life

    def _end(self, life: Life) -> MemoryData:
        outcome, loop = self.outcome, life.loop
        self._now_s = loop.now_s
        outcome.steps += loop.steps
        outcome.faults += life.faults
        outcome.virtual_s = loop.now_s
        self._told(f"step {outcome.steps}, {self._random.random()}")
        assert life.left is not None
        return life.left

    def _live(self, life: Life, main: Any) -> bool:
        """Run `main`; returns whether it came to its end before the node died."""
        try:
            life.loop.run(main)
        except NodeDied:
            return False
        life.weather.end = "kill"
        if life.left is None:
            life.left = life.data.copy()
        return True

    def _node(self, life: Life) -> AbstractAsyncContextManager[ActorSystem]:
        runtime = SimulatedRuntime(life)
        plan = self.plan

        def heard(event: Event) -> None:
            self._told(f"{event.name} {event.address}")

        store = SimulatedStore(life, runtime)
        return start(plan.tree, store=store, runtime=runtime, settings=plan.settings, on_event=heard)

    async def _stormy(self, life: Life) -> None:
        """A life that ends badly, sooner or later."""
        async with AsyncExitStack() as stack:
            system = await self._boot(life, stack)
            await self._work(life, system)
            if life.weather.end != "stop":
                life.end()
                raise NodeDied
        life.left = life.data.copy()

    async def _boot(self, life: Life, stack: AsyncExitStack) -> ActorSystem:
        """Start the node. If the store doesn't let it start, try again, as an operator would."""
        while True:
            faults = life.faults
            try:
                return await stack.enter_async_context(self._node(life))
            except (StoreFull, StoreUnavailable, StartFailed, Fenced) as error:
                if life.left is not None:  # taken over
                    life.end()
                    raise NodeDied from None
                if life.faults == faults:
                    raise
                self._told(f"the node doesn't start: {error}")
            life.data = self._run.data = life.data.copy()
            await SimulatedRuntime(life).sleep(AGAIN_S)

    async def _calm(self, life: Life) -> None:
        async with self._node(life) as system:
            await self._work(life, system)
            await self._settle(system)
            if self.plan.invariant is not None:
                await self.plan.invariant(self._run)
            life.left = life.data.copy()

    async def _after(self, life: Life) -> None:
        """Look at what is on disk, and at nothing else."""
        async with self._node(life) as system:
            self._run.system = system
            await self._settle(system)
            if self.plan.invariant is not None:
                await self.plan.invariant(self._run)

    async def _work(self, life: Life, system: ActorSystem) -> None:
        """Run the workload, unless it has come to its end, and then everything that is left to do."""
        run = self._run
        run.system = system
        while not self._ended:
            try:
                await self.plan.workload(run)
                self._ended = True
            except (StoreFull, StoreUnavailable, SystemStopped, Fenced) as error:
                self._check(life, system)
                self._told(f"the workload is ended by {type(error).__name__}: {error}")
                await run.sleep(AGAIN_S)
        await self._rest(life, system)

    async def _rest(self, life: Life, system: ActorSystem) -> None:
        """Wait until nothing is left to do."""
        while True:
            faults = life.faults
            try:
                return await system.idle()
            except StoreError:  # it reads the inbox
                self._check(life, system)
                if life.faults == faults:
                    raise
            await self._run.sleep(AGAIN_S)

    def _check(self, life: Life, system: ActorSystem) -> None:
        """
        Raises:
            NodeDied: another node has taken the store over, and this one has noticed.
            GreenroomError: the node gave up.
        """
        if system.kernel.gave_up is None:
            return
        if isinstance(system.kernel.gave_up, Fenced) and life.left is not None:
            life.end()
            raise NodeDied
        raise system.kernel.gave_up

    async def _settle(self, system: ActorSystem) -> None:
        """Wait until no message waits any more, at most for `settle_s`."""
        ends = system.kernel.runtime.monotonic() + self.plan.settle_s
        await system.idle()
        while self._run.data.tables[MessageRow] and system.kernel.runtime.monotonic() < ends:
            await system.kernel.runtime.sleep(1.0)
            await system.idle()

    # -- what happened -------------------------------------------------------------------------------------

    def _told(self, what: str, commit: Commit | None = None) -> None:
        self._hash.update(what.encode())
        if commit is not None:
            self.outcome.commits += 1
            self._look_at(commit)
        if self.lines is not None:
            life = self._run._life
            self.lines.append(f"{life.loop.now_s:10.4f} s  {what}{_described(commit)}")
            del self.lines[:-LINES_KEPT]

    def _look_at(self, commit: Commit) -> None:
        for row in commit.inserts:
            if row.id in self._given:
                raise AssertionError(f"message {row.id} is inserted a second time")
            self._given.add(row.id)
            self._hash.update(_print_of(row))
        for kind, rows in commit.puts.items():
            self._hash.update(kind.__name__.encode())
            for row in rows:
                self._hash.update(_print_of(row))
        for kind, keys in commit.deletes.items():
            self._hash.update(f"{kind.__name__} {keys}".encode())


def _print_of(row: Row) -> bytes:
    """A row's checksum, but for the folders in its tracebacks: a seed does the same in any checkout."""
    values = [_FOLDER.sub(r"\1", value) if isinstance(value, str) and "File " in value else value for value in row]
    if values == list(row):
        return row.crc.to_bytes(4, "big")
    return checksum(type(row)._make(values)).to_bytes(4, "big")


def _described(commit: Commit | None) -> str:
    if commit is None:
        return ""
    told = [f"+{row.type}→{row.address}" for row in commit.inserts]
    put = [
        f"{kind.__name__.removesuffix('Row').lower()} {row[0]}" for kind, rows in commit.puts.items() for row in rows
    ]
    gone = [
        f"-{kind.__name__.removesuffix('Row').lower()} {key}" for kind, keys in commit.deletes.items() for key in keys
    ]
    return f": {', '.join((*told, *put, *gone))}"
