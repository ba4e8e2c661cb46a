"""Timers outlive what they are to outlive: restarts, passivation, crashes at any moment, a broken store."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import pytest
from grounds import Ground, MemoryGround, pool, tree
from tick_actors import (
    EPOCH,
    Keys,
    Later,
    Plan,
    Quit,
    T,
    Tick,
    Ticker,
    Ticks,
    cancel,
    close_gate,
    labels,
    plan,
    ticks,
    timers,
    times,
)

from greenroom import (
    ChildSpec,
    DeleteChild,
    RestartBackoff,
    RestartChild,
    StartChild,
    StoreDataError,
    StoreUnavailable,
    TerminateChild,
    handler,
)
from greenroom.actors.extensions.timers.registry import Timers
from greenroom.persistence.store.rows import DeadLetterRow, MessageRow, TimerRow
from greenroom.supervision.node.administration import Administration
from greenroom.supervision.offline import edit as offline
from greenroom.testing import Recorder, VirtualRuntime

POOL = tree(pool(ChildSpec(id="ticker", actor=Ticker, idle_timeout_s=5.0)))
P = "/t/pool/a"
HOUR = 3600.0


@pytest.fixture(autouse=True)
def gate() -> None:
    close_gate()


# -- the end of an incarnation -----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [True, False])
async def test_a_restart_keeps_them(clock: VirtualRuntime, memory: Ground, error: bool) -> None:
    async with memory.node(tree(Ticker, intensity=10), runtime=clock) as system:
        await clock.run(plan(system, every_s=4))
        await clock.advance(5)
        await system.ref(T).tell(Quit(error=error))
        await clock.advance(4)
        assert await times(clock, system) == [4.0, 8.0]


async def test_one_without_rows_loses_them(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(ChildSpec(id="ticker", actor=Ticker, durable=False))
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, every_s=4))
        assert not timers(memory)
        await clock.run(system.ref(T).tell(Quit()))
        await clock.run(system.idle())
        assert not system.kernel.part(Timers).of(T)
        await clock.advance(10)
        assert await times(clock, system) == []


async def test_retire_takes_them_along(ground: Ground) -> None:
    async with ground.node(POOL) as system:
        await plan(system, "kept", to=P, after_s=1000)
        await plan(system, "kept too", to="/t/pool/b", after_s=1000)
        await plan(system, "new", to=P, after_s=1000, name="new", then="retire")
        assert timers(ground) == [("/t/pool/b", "Tick")]
        assert not system.kernel.part(Timers).of(P)


async def test_administration_retires_them(ground: Ground) -> None:
    async with ground.node(POOL) as system:
        await plan(system, to=P, after_s=1000)
        assert system.inbox is not None
        administer: Administration = system.inbox._administer  # type: ignore[assignment]
        await administer("actors.reset", P, b"")
        assert timers(ground) == [(P, "Tick")], "they are like its mailbox, which stays"
        await administer("actors.retire", P, b"")
        assert not timers(ground)
        assert not system.kernel.part(Timers).of(P)
        await plan(system, to=P, after_s=1000)
    await offline.retire(ground.store(), P)
    assert not timers(ground)


# -- actors that don't run ------------------------------------------------------------------------------------


async def test_a_tick_brings_a_passive_actor_back(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(POOL, runtime=clock) as system:
        events = Recorder(system)
        await clock.run(plan(system, to=P, every_s=100))
        await clock.advance(90)
        assert P not in system.kernel.cells
        await clock.advance(120)
        assert len(events.of("actor.passivated", P)) == 3
        assert await times(clock, system, P) == [100.0, 200.0]


async def test_a_passive_actor_without_rows_would_lose_them_and_stays(clock: VirtualRuntime, memory: Ground) -> None:
    spec = tree(pool(ChildSpec(id="ticker", actor=Ticker, idle_timeout_s=5.0, durable=False)))
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, to=P, after_s=100))
        await clock.advance(99)
        assert P in system.kernel.cells
        await clock.advance(2)
        assert await times(clock, system, P) == [100.0]
        await clock.advance(20)
        assert P not in system.kernel.cells


async def test_a_stopped_child_has_one_tick_waiting(clock: VirtualRuntime, memory: Ground) -> None:
    """As mail waits; what would have come later is made up for by that one."""
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, "every", name="every", every_s=2))
        await clock.run(plan(system, "once", name="once", after_s=3))
        root = system.ref("/t")
        await clock.run(root.ask(TerminateChild(id="ticker")))
        await clock.advance(9)
        assert system.kernel.cells[T].mailbox.count == 2
        await clock.run(root.ask(RestartChild(id="ticker")))
        await clock.advance(4)
        assert await clock.run(ticks(system)) == [("every", 9.0), ("once", 9.0), ("every", 10.0), ("every", 12.0)]


async def test_a_child_that_waits_for_its_restart(clock: VirtualRuntime, memory: Ground) -> None:
    backoff = RestartBackoff(initial_s=10.0, max_s=10.0, jitter=0.0, reset_s=1000.0)
    async with memory.node(tree(Ticker, restart_backoff=backoff), runtime=clock) as system:
        await clock.run(plan(system, every_s=2))
        for _ in range(2):  # the first restart is immediate
            await system.ref(T).tell(Quit())
        await clock.advance(9)
        assert system.kernel.cells[T].mailbox.count == 1
        await clock.advance(4)
        assert await times(clock, system) == [10.0, 12.0]


async def test_a_child_that_is_deleted_and_comes_again(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(pool(Ticker)), runtime=clock) as system:
        child = ChildSpec(id="child", actor=Ticker)
        root, address = system.ref("/t"), "/t/child"
        await clock.run(root.ask(StartChild(spec=child)))
        await clock.run(plan(system, to=address, every_s=2))
        await clock.run(root.ask(TerminateChild(id="child")))
        await clock.run(root.ask(DeleteChild(id="child")))
        await clock.advance(9)
        assert [*system.kernel.part(Timers).asleep] == [address]
        await clock.run(root.ask(StartChild(spec=child)))
        await clock.advance(2)
        assert await times(clock, system, address) == [9.0, 10.0]


async def test_a_supervisor_that_the_tree_has_no_more(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(POOL, runtime=clock) as system:
        await clock.run(plan(system, to=P, every_s=2))
        await clock.run(plan(system, to="/t/pool/b", after_s=HOUR))
    async with memory.node(tree(Ticker), runtime=clock) as system:  # it is kept, stopped, and what is below it
        await clock.advance(100)
        assert [*system.kernel.part(Timers).asleep] == [P]
        assert len(memory.rows(MessageRow)) == 1
    async with memory.node(POOL, runtime=clock) as system:
        await clock.advance(3)
        assert await times(clock, system, P) == [100.0, 100.0, 102.0]


# -- the end of the node -----------------------------------------------------------------------------------------


async def test_the_next_life_goes_on(ground: Ground) -> None:
    later = Later()
    async with ground.node(tree(Ticker), runtime=later) as system:
        await plan(system, "every", name="every", every_s=HOUR)
        await plan(system, "once", name="once", after_s=2 * HOUR)
    later.ahead_s = HOUR + 1
    async with ground.node(tree(Ticker), runtime=later) as system:
        assert await labels(system) == ["every"]
    assert timers(ground) == [(T, "every"), (T, "once")]
    later.ahead_s = 10.5 * HOUR
    async with ground.node(tree(Ticker), runtime=later) as system:
        assert await labels(system) == ["every", "every", "once"], "one tick for all that were missed, in their order"
    (row,) = ground.rows(TimerRow)
    assert 0.3 * HOUR < row.due - later.now() < 0.5 * HOUR, "it is still on its grid"


async def test_what_was_missed_is_owed_before_anything_starts(ground: Ground) -> None:
    """So that an `on_start` which schedules the same name again doesn't undo it."""
    later = Later()
    for life in range(3):
        later.ahead_s = life * 2 * HOUR
        async with ground.node(tree(("ticker", Punctual)), runtime=later) as system:
            assert len(await labels(system)) == life


class Punctual(Ticker):
    async def on_start(self) -> None:
        self.schedule(Tick(), every_s=HOUR)


async def test_a_crash_after_any_commit(memory: MemoryGround) -> None:
    """One tick for each due time, whichever commit was the last, and none for a turn that wasn't committed."""
    later = Later()
    images: list[Ground] = []
    memory.plan.hook = lambda _: images.append(memory.image())
    async with memory.node(tree(("ticker", Chain)), runtime=later) as system:
        await system.ref(T).tell(Plan(label="x", at=None, after_s=0))
        await system.idle()
        images.append(memory.image())
    assert len(images) > Chain.length
    for image in images:
        for life in (1, 2):
            later.ahead_s = life * HOUR
            async with image.node(tree(("ticker", Chain)), runtime=later) as system:
                found = await labels(system)
                assert found in ([], [f"{number}" for number in range(Chain.length)]), "each link once, in order"
                keys = await system.ref(T).ask(Keys())
                assert len(set(keys)) == len(keys)
        assert not image.rows(MessageRow)
        assert not timers(image)
    assert found


class Chain(Ticker):
    """Each tick schedules the next one; each in a commit of its own."""

    length = 6

    @handler
    async def plan(self, message: Plan) -> None:
        self.schedule(Tick(label="0"), after_s=0)
        await self.system.kernel.commits.flush()

    @handler
    async def tick(self, message: Tick) -> None:  # type: ignore[override]
        await self.turn.settled()
        self.state.ticks.append((message.label, 0.0))
        self.state.keys.append(self.turn.key)
        if int(message.label) + 1 < Chain.length:
            self.schedule(Tick(label=str(int(message.label) + 1)), after_s=0)


async def test_a_tick_that_was_lost_comes_again_as_itself(memory: MemoryGround) -> None:
    """Before its commit nothing is on disk of it; its uid is derived, so that a suspect is recognised."""
    later = Later()
    async with memory.node(tree(Ticker), runtime=later) as system:
        await plan(system, every_s=HOUR)
        (timer,) = system.kernel.part(Timers).of(T).values()
        expected = timer.tick().uid
    image = memory.image()
    found: list[list[str]] = []
    for ground in (memory, image):
        later.ahead_s = HOUR + 1
        async with ground.node(tree(Ticker), runtime=later) as system:
            await system.idle()
            found.append(await system.ref(T).ask(Keys()))
    assert found == [[expected], [expected]]


async def test_damaged_records_are_left_alone(ground: Ground) -> None:
    later = Later()
    async with ground.node(tree(Ticker), runtime=later) as system:
        for name in ("a", "b", "c"):
            await plan(system, name, name=name, after_s=HOUR)
    ground.edit(TimerRow, (T, "a"), due=1.0)
    ground.edit(TimerRow, (T, "b"), sealed=True, rule="[]")
    later.ahead_s = HOUR + 1
    async with ground.node(tree(Ticker), runtime=later) as system:
        assert await labels(system) == ["c"]
        assert timers(ground) == [(T, "a"), (T, "b")]
        await plan(system, "a", name="a", after_s=0)
        assert await labels(system) == ["c", "a"]
    assert timers(ground) == [(T, "b")]


# -- a broken store ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("landed", [True, False])
async def test_a_store_that_fails_as_it_ticks(clock: VirtualRuntime, memory: MemoryGround, landed: bool) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, every_s=4))
        await clock.advance(3)
        outcome: Literal["unknown", "dropped"] = "unknown" if landed else "dropped"
        memory.plan.fail(StoreUnavailable("cable pulled", outcome=outcome), landed=landed)
        await clock.advance(10)
        found = await times(clock, system)
        assert len(found) == 3
        assert found[1:] == [8.0, 12.0]
        keys = await clock.run(system.ref(T).ask(Keys()))
        assert len(set(keys)) == 3


async def test_a_store_that_is_away_for_long(clock: VirtualRuntime, memory: MemoryGround) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, every_s=4))
        await clock.advance(3)
        memory.plan.broken = StoreUnavailable("cable pulled")
        await clock.advance(20)
        memory.plan.broken = None
        await clock.advance(8)
        first, *others = await times(clock, system)
        assert 23 <= first <= 28
        assert others == [at for at in (24.0, 28.0) if at > first]


async def test_a_store_that_fails_as_it_comes_back(clock: VirtualRuntime, memory: MemoryGround) -> None:
    """While what is owed is being made up for."""
    async with memory.node(tree(Ticker), runtime=clock) as system:
        for number in range(4):
            await clock.run(plan(system, str(number), name=str(number), after_s=5))
        memory.plan.broken = StoreUnavailable("cable pulled")
        system.ref(T).tell(Plan(label="lost", after_s=1000))
        await clock.advance(20)
        memory.plan.broken = None
        memory.plan.fail(StoreUnavailable("not yet"), at=2)  # the first proves that it takes one
        await clock.advance(30)
        assert sorted(await clock.run(labels(system))) == ["0", "1", "2", "3"]


async def test_a_tick_that_the_database_refuses(clock: VirtualRuntime, memory: MemoryGround) -> None:
    """It becomes a dead letter, and its timer goes on."""

    def hook(commit: Any) -> None:
        if any(row.type == "Tick" for row in commit.inserts) and len(memory.rows(DeadLetterRow)) < 2:
            raise StoreDataError("no ticks here")

    async with memory.node(tree(("ticker", Slow)), runtime=clock) as system:
        await clock.run(plan(system, every_s=4))
        memory.plan.hook = hook
        await clock.advance(17)
        Ticker.gate.set()
        assert await times(clock, system) == [17.0, 17.0]
    assert [row.type for row in memory.rows(DeadLetterRow)] == ["Tick", "Tick"]


class Slow(Ticker):
    @handler
    async def tick(self, message: Tick) -> None:  # type: ignore[override]
        """Long enough to get a row."""
        await Ticker.gate.wait()
        self.state.ticks.append(("", self.system.kernel.runtime.now() - EPOCH))


# -- wall clocks -------------------------------------------------------------------------------------------------


async def test_a_clock_that_is_set_back(ground: Ground) -> None:
    later = Later(HOUR)
    async with ground.node(tree(Ticker), runtime=later) as system:
        await plan(system, after_s=1000)
        later.ahead_s = 0
        system.kernel.part(Timers)._due()
        assert await labels(system) == []
        await cancel(system)
    assert not timers(ground)


async def test_many_owed_at_boot(memory: Ground) -> None:
    later = Later()
    spec = tree(pool(Ticker, max_children=1000))
    async with memory.node(spec, runtime=later) as system:
        for number in range(1200):
            system.ref(f"/t/pool/{number}").tell(Plan(after_s=HOUR))
        await system.idle()
    later.ahead_s = 2 * HOUR
    async with memory.node(spec, runtime=later) as system:
        await system.idle()
        counted = Counter([len(await system.ref(f"/t/pool/{number}").ask(Ticks())) for number in range(0, 1200, 100)])
        assert counted == {1: 12}
    assert not timers(memory)
