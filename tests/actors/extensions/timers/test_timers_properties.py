"""Timers against a model, under the virtual clock: any program of schedules, cancels, stops, boots and crashes."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest
from grounds import MemoryGround, tree
from hypothesis import given, settings
from hypothesis import strategies as st
from tick_actors import EPOCH, T, Tick

from greenroom import Actor, ActorSystem, Message, Reject, RestartChild, StoreUnavailable, TerminateChild, handler
from greenroom.actors.extensions.timers.registry import Timers
from greenroom.persistence.store.rows import ActorRow, MessageRow, TimerRow
from greenroom.testing import VirtualRuntime

RESTS = ("sleep", "stop", "boot", "crash")
"""Steps during which the actor doesn't run, for so many seconds."""


class Change(Message):
    """Timers to schedule and to cancel in one turn, in this order."""

    what: list[tuple[str, str, float]]
    """Name; after, every, at or cancel; seconds."""
    fails: bool = False


class Quit(Message):
    pass


class Log(msgspec.Struct):
    ticks: list[tuple[str, float]] = []
    keys: list[str] = []
    answers: list[bool] = []


class Ticker(Actor[Log]):
    @handler
    def change(self, message: Change) -> None:
        for name, how, seconds in message.what:
            match how:
                case "after":
                    self.schedule(Tick(label=name), name=name, after_s=seconds)
                case "every":
                    self.schedule(Tick(label=name), name=name, every_s=seconds)
                case "at":
                    at = datetime.fromtimestamp(self.system.kernel.runtime.now() + seconds, UTC)
                    self.schedule(Tick(label=name), name=name, at=at)
                case _:
                    self.state.answers.append(self.cancel(name))
        if message.fails:
            raise Reject

    @handler
    def tick(self, message: Tick) -> None:
        # After a store has failed the clock stands at a moment that is no exact float.
        self.state.ticks.append((message.label, round((self.system.kernel.runtime.now() - EPOCH) * 4) / 4))
        self.state.keys.append(self.turn.key)

    @handler
    def quit(self, message: Quit) -> None:
        self.stop()


class Planned(NamedTuple):
    due: float
    every: float = 0.0
    first: float = 0.0

    def following(self, now: float) -> float:
        return self.first + (math.floor((now - self.first) / self.every) + 1) * self.every


class Model:
    def __init__(self) -> None:
        self.now = 0.0
        self.timers: dict[str, Planned] = {}
        self.ticks: list[tuple[str, float]] = []
        self.answers: list[bool] = []

    def change(self, what: list[tuple[str, str, float]]) -> None:
        for name, how, seconds in what:
            due = self.now + seconds
            if how == "cancel":
                self.answers.append(self.timers.pop(name, None) is not None)
            elif how == "every":
                self.timers[name] = Planned(due, seconds, due)
            else:
                self.timers[name] = Planned(due)
        self.run(0.0)

    def run(self, seconds: float) -> None:
        """Time passes, and the actor runs."""
        end = self.now + seconds
        while True:
            due = min((timer.due for timer in self.timers.values()), default=math.inf)
            if due > end:
                break
            self.now = max(self.now, due)
            self.tick()
        self.now = end

    def tick(self) -> None:
        """One tick of each that is due, however long it has been."""
        for name, timer in list(self.timers.items()):
            if timer.due <= self.now:
                self.ticks.append((name, self.now))
                if timer.every:
                    self.timers[name] = timer._replace(due=timer.following(self.now))
                else:
                    del self.timers[name]

    def rest(self, seconds: float) -> None:
        """Time passes, and the actor doesn't run."""
        self.now += seconds
        self.tick()


seconds = st.integers(0, 40).map(lambda number: number / 4)  # exact, as floats
changes = st.lists(
    st.one_of(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["after", "at"]), seconds),
        st.tuples(st.sampled_from("abc"), st.just("every"), st.integers(1, 20).map(lambda number: number / 4)),
        st.tuples(st.sampled_from("abc"), st.just("cancel"), st.just(0.0)),
    ),
    min_size=1,
    max_size=3,
)
steps = st.one_of(
    st.tuples(st.just("change"), changes),
    st.tuples(st.just("fail"), changes),
    st.tuples(st.just("run"), seconds),
    st.tuples(st.sampled_from(RESTS), seconds),
    st.tuples(st.sampled_from(["quit", "break"]), st.none()),
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(steps, max_size=25))
def test_any_program(program: list[tuple[str, Any]]) -> None:
    asyncio.run(run(program))


async def run(program: list[tuple[str, Any]]) -> None:
    model, ground, clock = Model(), MemoryGround(), VirtualRuntime(epoch=EPOCH)
    pending = list(program)
    while pending:
        async with ground.node(tree(Ticker, intensity=1000), runtime=clock, on_event=lambda _: None) as system:
            rest_s = 0.0
            while pending:
                what, how = pending.pop(0)
                if what in ("boot", "crash"):
                    await clock.run(system.idle())
                    rest_s = how
                    ground = MemoryGround(ground.data.copy() if what == "crash" else ground.data)
                    break
                await step(model, ground, clock, system, what, how)
                check(model, ground)
        clock._elapsed += rest_s
        model.rest(rest_s)
    async with ground.node(tree(Ticker), runtime=clock, on_event=lambda _: None) as system:
        await settle(clock, system)
        check(model, ground)
        await clock.advance(20)
        model.run(20)
        await settle(clock, system)
        check(model, ground)
    assert not ground.rows(MessageRow)


async def step(
    model: Model, ground: MemoryGround, clock: VirtualRuntime, system: ActorSystem, what: str, how: Any
) -> None:
    """Do it, there and in the model."""
    match what:
        case "change" | "fail":
            system.ref(T).tell(Change(what=how, fails=what == "fail"))
            if what == "change":
                model.change(how)
        case "run":
            await clock.advance(how)
            system.kernel.part(Timers).look()
            model.run(how)
        case "sleep":  # the loop stands still
            await clock.settle()
            clock._elapsed += how
            system.kernel.part(Timers)._due()
            model.rest(how)
        case "stop":
            await clock.settle()
            await clock.run(system.ref("/t").ask(TerminateChild(id="ticker")))
            await clock.advance(how)
            await clock.run(system.ref("/t").ask(RestartChild(id="ticker")))
            system.kernel.part(Timers).look()  # after a "break" its wait is some 1e-7 s longer, as floats are
            model.rest(how)
        case "quit":
            system.ref(T).tell(Quit())
        case "break":
            await settle(clock, system)
            ground.plan.fail(StoreUnavailable("cable pulled"))
            with pytest.raises(StoreUnavailable):
                await clock.run(tell(system))
            await clock.advance(0.25)
            system.kernel.part(Timers).look()
            model.rest(0.25)
    await settle(clock, system)


async def settle(clock: VirtualRuntime, system: ActorSystem) -> None:
    """Let everything be done and committed, without time passing."""
    await clock.settle()
    idle = asyncio.ensure_future(system.idle())
    while not idle.done():
        await clock.settle(idle)


async def tell(system: ActorSystem) -> None:
    await system.ref(T).tell(Quit())


def check(model: Model, ground: MemoryGround) -> None:
    rows = {row.name: row.due - EPOCH for row in ground.rows(TimerRow)}
    assert rows == {name: timer.due for name, timer in model.timers.items()}
    (actor,) = [row for row in ground.rows(ActorRow) if row.address == T]
    log = msgspec.json.decode(actor.state, type=Log)
    assert sorted(log.ticks) == sorted(model.ticks)
    assert [at for _, at in log.ticks] == [at for _, at in model.ticks]
    assert log.answers == model.answers
    assert len(set(log.keys)) == len(log.keys), "no tick twice"
