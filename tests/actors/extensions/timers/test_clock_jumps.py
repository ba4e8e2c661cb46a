"""The wall clock is set while a node runs: what is so many seconds stays so many seconds, and an event says it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from grounds import Ground, tree
from tick_actors import EPOCH, Ticker, plan, times

from greenroom import Actor, Message, Request, handler
from greenroom.testing import Recorder, VirtualRuntime

HOUR = 3600.0
JUMPS = [-10 * HOUR, -HOUR, -2.0, 2.0, HOUR, 10 * HOUR]


def passed(clock: VirtualRuntime, ticks: list[float], by_s: float) -> list[float]:
    """Ticks as seconds of real time, though they are noted by a wall clock that was set after 2 seconds."""
    return [round(tick - by_s, 3) for tick in ticks]


class Go(Message):
    fails: bool = False


class Moments(Request[list[float]]): ...


class Log(msgspec.Struct):
    moments: list[float] = []


class Worker(Actor[Log]):
    max_attempts = 3

    @handler
    def go(self, message: Go) -> None:
        self.state.moments.append(self.system.kernel.runtime.monotonic())
        if message.fails and self.turn.attempt == 1:
            raise ValueError("once")

    @handler
    def moments(self, message: Moments) -> list[float]:
        return self.state.moments


@pytest.mark.parametrize("by_s", JUMPS)
async def test_intervals_and_delays_go_on(clock: VirtualRuntime, ground: Ground, by_s: float) -> None:
    async with ground.node(tree(("a", Ticker), ("b", Ticker)), runtime=clock) as system:
        events = Recorder(system)
        await clock.run(plan(system, to="/t/a", every_s=5))
        await clock.run(plan(system, to="/t/b", after_s=7))
        await clock.advance(2)
        clock.set_clock(by_s)
        await clock.advance(20)
        assert passed(clock, await times(clock, system, "/t/a"), by_s) == [5, 10, 15, 20]
        assert passed(clock, await times(clock, system, "/t/b"), by_s) == [7]
        assert [event.measures["by_s"] for event in events.of("clock.jumped")] == [by_s]


@pytest.mark.parametrize("by_s", JUMPS)
async def test_delayed_tells_and_retries_go_on(clock: VirtualRuntime, ground: Ground, by_s: float) -> None:
    async with ground.node(tree(("w", Worker)), runtime=clock) as system:
        ref = system.ref("/t/w")
        await clock.run(ref.tell(Go(), delay_s=30))
        await clock.advance(10)
        clock.set_clock(by_s)
        await clock.run(ref.tell(Go(), delay_s=40))
        await clock.advance(100)
        assert await clock.run(ref.ask(Moments())) == pytest.approx([30, 50], abs=1e-5)


@pytest.mark.parametrize("by_s", [-HOUR, HOUR])
async def test_a_retry(clock: VirtualRuntime, memory: Ground, by_s: float) -> None:
    async with memory.node(tree(("w", Worker)), runtime=clock) as system:
        events = Recorder(system)
        await clock.run(system.ref("/t/w").tell(Go(fails=True)))
        await clock.settle()
        (failed,) = events.of("message.failed")
        clock.set_clock(by_s)
        await clock.advance(failed.measures["retry_s"] + 0.01)
        assert len(await clock.run(system.ref("/t/w").ask(Moments()))) == 1, "the second attempt was made"


@pytest.mark.parametrize("by_s", [-HOUR, HOUR])
async def test_a_schedule_right_after_the_jump(clock: VirtualRuntime, memory: Ground, by_s: float) -> None:
    """Before anybody has looked at the clocks."""
    async with memory.node(tree(("a", Ticker)), runtime=clock) as system:
        clock.set_clock(by_s)
        await clock.run(plan(system, to="/t/a", after_s=5))
        await clock.advance(6)
        assert passed(clock, await times(clock, system, "/t/a"), by_s) == [5]


@pytest.mark.parametrize(
    ("cron", "by_s", "after_s"),
    [
        ("* * * * *", -HOUR, 60),  # each minute of the new clock
        ("0 * * * *", -HOUR, HOUR),
        ("30 23 * * *", 2 * HOUR, 0),  # it was passed over: at once
    ],
)
async def test_cron(clock: VirtualRuntime, memory: Ground, cron: str, by_s: float, after_s: float) -> None:
    """EPOCH is 22:13:20 of a day."""
    async with memory.node(tree(("a", Ticker)), runtime=clock) as system:
        await clock.run(plan(system, to="/t/a", cron=cron))
        clock.set_clock(by_s)
        await clock.advance(after_s + 1)
        assert len(await times(clock, system, "/t/a")) == 1


@pytest.mark.parametrize(("by_s", "count"), [(-HOUR, 1), (-4 * HOUR, 2)])
async def test_a_moment_of_the_day_comes_once(clock: VirtualRuntime, memory: Ground, by_s: float, count: int) -> None:
    """Unless the clock was wrong by hours."""
    async with memory.node(tree(("a", Ticker)), runtime=clock) as system:
        await clock.run(plan(system, to="/t/a", cron="30 22 * * *"))
        await clock.advance(HOUR)
        assert len(await times(clock, system, "/t/a")) == 1
        clock.set_clock(by_s)
        await clock.advance(5 * HOUR)
        assert len(await times(clock, system, "/t/a")) == count


async def test_an_interval_over_a_restart(clock: VirtualRuntime, ground: Ground) -> None:
    """The row says an hour too late; the wait isn't longer than the interval."""
    async with ground.node(tree(("a", Ticker)), runtime=clock) as system:
        await clock.run(plan(system, to="/t/a", every_s=5))
    clock.set_clock(-HOUR)
    began = clock.now() - EPOCH
    async with ground.node(tree(("a", Ticker)), runtime=clock) as system:
        await clock.advance(11)
        ticks: list[Any] = await times(clock, system, "/t/a")
    assert [round(tick - began, 3) for tick in ticks] == [5, 10]


async def test_a_machine_that_slept(memory: Ground) -> None:
    """The loop's own waits stand still meanwhile; the delays are over at the first look."""

    class Sleeper(VirtualRuntime):
        slept_s = 0.0

        def elapsed(self) -> float:
            return super().elapsed() + self.slept_s

        def now(self) -> float:
            return super().now() + self.slept_s

    clock = Sleeper()
    async with memory.node(tree(("a", Ticker), ("w", Worker)), runtime=clock) as system:
        events = Recorder(system)
        await clock.run(plan(system, to="/t/a", after_s=HOUR))
        await clock.run(system.ref("/t/w").tell(Go(), delay_s=HOUR))
        clock.slept_s = 2 * HOUR
        await clock.advance(1)
        assert len(await times(clock, system, "/t/a")) == 1
        assert len(await clock.run(system.ref("/t/w").ask(Moments()))) == 1
        assert events.of("clock.jumped") == []
