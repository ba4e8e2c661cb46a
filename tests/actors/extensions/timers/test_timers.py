"""self.schedule and self.cancel: when ticks come, how often, and under which names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, tree
from patience import patient
from tick_actors import (
    EITHER,
    EPOCH,
    LIGHT,
    Answers,
    Cancel,
    Keys,
    Patient,
    Plan,
    T,
    Tick,
    Ticker,
    as_ticker,
    cancel,
    close_gate,
    labels,
    plan,
    ticks,
    timers,
    times,
)

from greenroom import Actor, handler
from greenroom.actors.extensions.timers import queue
from greenroom.actors.extensions.timers.registry import Timers
from greenroom.persistence.store.rows import MessageRow, TimerRow
from greenroom.testing import VirtualRuntime


@pytest.fixture(autouse=True)
def gate() -> None:
    close_gate()


# -- when ------------------------------------------------------------------------------------------------


@EITHER
async def test_after_so_many_seconds(clock: VirtualRuntime, memory: Ground, spec: Any) -> None:
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, after_s=5))
        await clock.advance(4.9)
        assert await times(clock, system) == []
        await clock.advance(100)
        assert await times(clock, system) == [5.0]
        assert not timers(memory)


@EITHER
async def test_every_so_many_seconds(clock: VirtualRuntime, memory: Ground, spec: Any) -> None:
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, every_s=5))
        await clock.advance(22)
        assert await times(clock, system) == [5.0, 10.0, 15.0, 20.0]


async def test_the_grid_does_not_drift(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, every_s=0.1))
        await clock.advance(100.05)
        found = await times(clock, system)
        assert len(found) == 1000
        assert max(abs(at - 0.1 * number) for number, at in enumerate(found, 1)) < 1e-6


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
async def test_at_a_moment(clock: VirtualRuntime, memory: Ground, zone: Any) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, at=datetime.fromtimestamp(EPOCH + 60, zone)))
        await clock.advance(59)
        assert await times(clock, system) == []
        await clock.advance(1)
        assert await times(clock, system) == [60.0]


@pytest.mark.parametrize("how", [{"after_s": 0}, {"at": datetime(1999, 12, 31, tzinfo=UTC)}])
async def test_what_is_past_comes_at_once(ground: Ground, how: Any) -> None:
    async with ground.node(tree(Ticker)) as system:
        await plan(system, "now", **how)
        assert await labels(system) == ["now"]
    assert not timers(ground)
    assert not ground.rows(MessageRow)


async def test_ticks_stand_in_the_order_of_their_due_times(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        for label, seconds in [("c", 3), ("a", 1), ("b", 2), ("b2", 2)]:
            await clock.run(plan(system, label, name=label, after_s=seconds))
        clock._elapsed += 10  # all of them at once
        await clock.advance(1)
        assert await clock.run(labels(system)) == ["a", "b", "b2", "c"]


# -- missed ticks -----------------------------------------------------------------------------------------


async def test_a_loop_that_stood_still_makes_up_for_it_with_one_tick(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, every_s=2))
        clock._elapsed += 9.5
        await clock.advance(3)
        assert await times(clock, system) == [9.5, 10.0, 12.0]


async def test_a_tick_that_fails_is_a_message_that_fails(clock: VirtualRuntime, memory: Ground) -> None:
    """Retried under its own uid, while the timer goes on."""
    async with memory.node(as_ticker(Patient), runtime=clock) as system:
        await clock.run(plan(system, every_s=2, fails=1))
        await clock.advance(4.5)
        assert await times(clock, system) == pytest.approx([2.001, 4.001])


async def test_a_full_mailbox_waits_for_room(clock: VirtualRuntime, memory: Ground) -> None:
    """No tick is lost, none comes twice, and those missed meanwhile are one."""
    async with memory.node(as_ticker(capacity=3), runtime=clock) as system:
        await clock.run(plan(system, every_s=1))
        await clock.run(plan(system, "once", name="once", after_s=8))
        await system.ref(T).tell(Cancel(name="nobody", then="wait"))
        await clock.advance(20.5)
        assert system.kernel.cells[T].mailbox.count == 3
        Ticker.gate.set()
        found = await clock.run(ticks(system))
        assert found[:3] == [("", 20.5)] * 3
        assert sorted(found[3:]) == [("", 20.5), ("once", 20.5)]
        await clock.advance(2)
        assert await times(clock, system) == [20.5] * 5 + [21.0, 22.0]


# -- names ------------------------------------------------------------------------------------------------


@EITHER
async def test_a_name_again_replaces_the_timer(clock: VirtualRuntime, memory: Ground, spec: Any) -> None:
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, "first", every_s=2))
        await clock.advance(3)
        await clock.run(plan(system, "second", after_s=2))
        await clock.advance(10)
        assert await clock.run(ticks(system)) == [("first", 2.0), ("second", 5.0)]
        assert not timers(memory)


async def test_the_same_again_is_another_timer(clock: VirtualRuntime, memory: Ground) -> None:
    """Its tick is no repetition of the first one's, though name and moment are the same."""
    async with memory.node(tree(Ticker), runtime=clock) as system:
        for _ in range(2):
            await clock.run(plan(system, at=datetime(1999, 12, 31, tzinfo=UTC)))
        first, second = await clock.run(system.ref(T).ask(Keys()))
        assert first != second


async def test_a_timer_is_named_after_its_message(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, after_s=2))
        await clock.run(plan(system, after_s=2, name="mine"))
        assert timers(memory) == [(T, "Tick"), (T, "mine")]


@EITHER
async def test_cancel(clock: VirtualRuntime, memory: Ground, spec: Any) -> None:
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, every_s=2))
        await clock.advance(3)
        for _ in range(2):
            await clock.run(cancel(system))
        await clock.run(cancel(system, "nobody"))
        await clock.advance(10)
        assert await times(clock, system) == [2.0]
        assert await clock.run(system.ref(T).ask(Answers())) == [True, False, False]
        assert not timers(memory)


async def test_cancel_of_one_that_has_ticked(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, after_s=2))
        await clock.advance(3)
        await clock.run(cancel(system))
        assert await clock.run(system.ref(T).ask(Answers())) == [False]


class Busy(Actor[None]):
    """Does several things in one turn."""

    durable = False
    found: list[Any] = []

    @handler
    def plan(self, message: Plan) -> None:
        found = Busy.found
        found.append(self.schedule(Tick(label="a"), after_s=1))
        found.append(self.schedule(Tick(label="b"), after_s=2))
        found.append(self.cancel("Tick"))
        found.append(self.cancel("Tick"))
        found.append(self.schedule(Tick(label="c"), after_s=3))

    @handler
    def tick(self, message: Tick) -> None:
        Busy.found.append(message.label)


@pytest.mark.parametrize("durable", [True, False])
async def test_within_one_turn_the_last_word_counts(clock: VirtualRuntime, memory: Ground, durable: bool) -> None:
    Busy.found = []
    async with memory.node(as_ticker(Busy, durable=durable), runtime=clock) as system:
        await clock.run(plan(system))
        assert Busy.found == ["Tick", "Tick", True, False, "Tick"]
        await clock.advance(5)
        assert Busy.found[5:] == ["c"]
        assert not timers(memory)


# -- the node's side -------------------------------------------------------------------------------------------


async def test_future_timers_are_no_work(ground: Ground) -> None:
    async with ground.node(tree(Ticker)) as system:
        await plan(system, after_s=1000)
        await patient(system.idle())


async def test_replaced_timers_leave_nothing_behind(clock: VirtualRuntime, memory: Ground) -> None:
    """One that is put off with each message, as timeouts are."""
    async with memory.node(LIGHT, runtime=clock) as system:
        for _ in range(5000):
            system.ref(T).tell(Plan(after_s=1000))
        await clock.run(system.idle())
        assert len(system.kernel.part(Timers)._queue) < 2 * queue.STALE_MAX
        await clock.advance(1001)
        assert await times(clock, system) == [1000.0]


async def test_many_at_one_moment(clock: VirtualRuntime, memory: Ground) -> None:
    """They tick in portions, between which the loop goes on; the node isn't idle till all have."""
    async with memory.node(tree(Hoard), runtime=clock) as system:
        await clock.run(system.ref("/t/hoard").tell(Plan()))
        await clock.run(system.idle())
        while clock._fire_next(100.0) and not system.kernel.part(Timers).busy:
            """The first may be the committer's."""
        assert system.kernel.part(Timers).busy
        await clock.run(system.idle())
        assert len(system.kernel.cells["/t/hoard"].incarnation.actor.state) == 2000  # type: ignore[union-attr]


class Hoard(Actor[list[str]]):
    def initial_state(self) -> list[str]:
        return []

    @handler
    def plan(self, message: Plan) -> None:
        for number in range(2000):
            self.schedule(Tick(label=str(number)), after_s=10, name=str(number))

    @handler
    def tick(self, messages: list[Tick]) -> None:
        self.state += [message.label for message in messages]


async def test_a_rule_is_readable(memory: MemoryGround) -> None:
    async with memory.node(tree(Ticker)) as system:
        await plan(system, every_s=90)
    (row,) = memory.rows(TimerRow)
    rule = msgspec.json.decode(row.rule)
    assert rule["every_s"] == 90
    assert rule["first"] == row.due
