"""Timers are part of the turn that schedules or cancels them: a failed one has done neither."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import Ground, tree
from tick_actors import (
    EITHER,
    Cancel,
    Later,
    Patient,
    Plan,
    Quit,
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

from greenroom import Actor, ChildSpec, Resume, Suspend, TurnClosed, handler
from greenroom.actors.extensions.timers.registry import Timers
from greenroom.persistence.store.rows import TimerRow
from greenroom.testing import VirtualRuntime


@pytest.fixture(autouse=True)
def gate() -> None:
    close_gate()


# -- part of the turn --------------------------------------------------------------------------------------


@EITHER
async def test_a_turn_that_fails_schedules_and_cancels_nothing(
    clock: VirtualRuntime, memory: Ground, spec: Any
) -> None:
    async with memory.node(spec, runtime=clock) as system:
        if system.kernel.cells[T].durable:  # without rows the timer would end with the incarnation
            await clock.run(plan(system, "kept", every_s=10))
            await clock.run(plan(system, "never", after_s=1, then="fail"))
            await clock.run(cancel(system, then="fail"))
            await clock.advance(21)
            assert await clock.run(ticks(system)) == [("kept", 10.0), ("kept", 20.0)]
        else:
            await clock.run(plan(system, "never", after_s=1, then="fail"))
            await clock.advance(10)
            assert not system.kernel.part(Timers).of(T)


async def test_the_row_is_there_with_the_turn_and_not_before(ground: Ground) -> None:
    async with ground.node(tree(Ticker)) as system:
        await system.ref(T).tell(Plan(after_s=100, then="wait"))
        await system.ref(T).tell(Plan(after_s=100, name="second"))
        await system.kernel.commits.flush()
        assert not timers(ground)
        Ticker.gate.set()
        await system.idle()
        assert timers(ground) == [(T, "Tick"), (T, "second")]


@EITHER
async def test_one_that_is_being_cancelled_does_not_tick(clock: VirtualRuntime, memory: Ground, spec: Any) -> None:
    """It comes due while the turn is open that has cancelled it."""
    async with memory.node(spec, runtime=clock) as system:
        await clock.run(plan(system, every_s=2))
        await system.ref(T).tell(Cancel(then="wait"))
        await clock.advance(10)
        Ticker.gate.set()
        await clock.advance(10)
        assert await times(clock, system) == []


async def test_a_cancel_that_fails_after_the_due_time(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(as_ticker(Patient, max_attempts=1), runtime=clock) as system:
        await clock.run(plan(system, "a", every_s=4))
        await clock.run(plan(system, "b", name="b", after_s=5))
        await system.ref(T).tell(Plan(label="never", every_s=1, then="wait and fail"))
        await system.ref(T).tell(Cancel(name="b"))
        await clock.advance(10)
        Ticker.gate.set()
        await clock.advance(2.5)
        assert await clock.run(ticks(system)) == [("b", 10.0), ("a", 10.0), ("a", 12.0)]


@pytest.mark.parametrize("then", ["transaction", "wait outside", "wait inside"])
@pytest.mark.parametrize("old", [{"after_s": 50}, {"every_s": 50}])
async def test_a_transaction_that_replaces_one_which_ticks(ground: Ground, then: str, old: Any) -> None:
    """It commits before what is queued: the tick's commit must not write, or delete, the row after it."""
    later = Later()
    async with ground.node(tree(Ticker), runtime=later) as system:
        await plan(system, "old", **old)
        ref = system.ref(T)
        if then == "transaction":
            await ref.ask(Suspend())
        await ref.tell(Plan(label="new", after_s=100, then=then))
        if then != "transaction":
            await Ticker.waits.wait()
        await system.kernel.commits.wait(system.kernel.commits.position if then == "transaction" else 0)
        later.ahead_s = 60
        system.kernel.part(Timers)._due()  # and on we go, before its commit
        if then == "transaction":
            await ref.ask(Resume())
        Ticker.gate.set()
        expected = [] if then == "wait inside" else ["old"]
        assert await labels(system) == expected, "the one that it held back is replaced"
        await system.kernel.commits.flush()
        (row,) = ground.rows(TimerRow)
        (timer,) = system.kernel.part(Timers).of(T).values()
        assert row == timer.row(timer.due)
        later.ahead_s = 200
        system.kernel.part(Timers)._due()
        assert await labels(system) == [*expected, "new"]


async def test_what_a_transaction_has_held_back(ground: Ground) -> None:
    """Another timer of the actor, due while the turn holds a user transaction, ticks when the turn is over."""
    later = Later()
    async with ground.node(tree(Ticker), runtime=later) as system:
        await plan(system, "other", name="other", after_s=50)
        await system.ref(T).tell(Plan(after_s=1000, then="wait inside"))
        await Ticker.waits.wait()
        later.ahead_s = 60
        system.kernel.part(Timers)._due()
        assert system.kernel.cells[T].mailbox.count == 0
        Ticker.gate.set()
        assert await labels(system) == ["other"]


async def test_schedule_in_the_last_turn(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        await clock.run(plan(system, "old", name="old", every_s=3))
        await clock.run(plan(system, "new", after_s=2, then="stop"))
        await clock.advance(4)
        assert await clock.run(ticks(system)) == [("new", 2.0), ("old", 3.0)]


async def test_outside_a_turn(clock: VirtualRuntime, memory: Ground) -> None:
    async with memory.node(tree(Ticker), runtime=clock) as system:
        actor = system.kernel.cells[T].incarnation.actor  # type: ignore[union-attr]
        with pytest.raises(TurnClosed):
            actor.schedule(Tick(), after_s=1)
        with pytest.raises(TurnClosed):
            actor.cancel("Tick")


class AtBothEnds(Actor[None]):
    async def on_start(self) -> None:
        self.schedule(Tick(label="started"), after_s=1, name="start")

    async def on_stop(self, reason: Any) -> None:
        self.schedule(Tick(label="stopped"), after_s=2, name="stop")

    @handler
    def tick(self, message: Tick) -> None:
        self.system.ref("/t/ticker").tell(Plan(label=message.label, after_s=0, name=message.label))

    @handler
    def quit(self, message: Quit) -> None:
        self.stop()


@pytest.mark.parametrize("durable", [True, False])
async def test_in_on_start_and_on_stop(clock: VirtualRuntime, memory: Ground, durable: bool) -> None:
    spec = tree(Ticker, ChildSpec(id="ends", actor=AtBothEnds, durable=durable))
    async with memory.node(spec, runtime=clock) as system:
        await clock.advance(1.5)
        await clock.run(system.ref("/t/ends").tell(Quit()))
        await clock.advance(5)
        found = [("started", 1.0), ("started", 2.5), ("stopped", 3.5)]
        assert await clock.run(ticks(system)) == (found if durable else found[:2])
