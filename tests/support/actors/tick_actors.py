"""Actors that schedule, tick, and keep what came."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec
import pytest
from grounds import tree

from greenroom import Actor, ActorSystem, Backoff, ChildSpec, Message, Request, SupervisorSpec, handler
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.rows import TimerRow
from greenroom.testing import VirtualRuntime

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
EPOCH = 1_700_000_000.0
"""Where the virtual clock begins."""

T = "/t/ticker"


class Tick(Message):
    label: str = ""
    fails: int = 0
    """So many first attempts at it fail."""


class Other(Message):
    pass


class Unknown(Message):
    """Nobody handles it."""


class Plan(Message):
    label: str = ""
    name: str | None = None
    after_s: float | None = None
    every_s: float | None = None
    cron: str | None = None
    timezone: str | None = None
    at: datetime | None = None
    then: str = ""
    """How the turn goes on: fail, stop, retire, wait, wait and fail; or is: transaction, wait outside, wait inside."""
    fails: int = 0


class Cancel(Message):
    name: str = "Tick"
    then: str = ""


class Ticks(Request[list[tuple[str, float]]]):
    """Label and time of each tick, in seconds after the epoch of the virtual clock."""


class Keys(Request[list[str]]):
    pass


class Answers(Request[list[bool]]):
    """The results of `cancel`."""


class Quit(Message):
    error: bool = False


class Log(msgspec.Struct):
    ticks: list[tuple[str, float]] = []
    keys: list[str] = []
    answers: list[bool] = []


class Ticker(Actor[Log]):
    backoff = FAST
    gate: asyncio.Event
    waits: asyncio.Event
    """Somebody stands at the gate."""

    @staticmethod
    async def at_the_gate() -> None:
        Ticker.waits.set()
        await Ticker.gate.wait()

    @handler
    async def plan(self, message: Plan) -> None:
        fields = ("name", "after_s", "every_s", "cron", "timezone", "at")
        arguments = {field: getattr(message, field) for field in fields if getattr(message, field) is not None}
        if message.then in ("transaction", "wait outside", "wait inside"):
            if message.then == "wait outside":
                await Ticker.at_the_gate()
            async with self.transaction():
                if message.then == "wait inside":
                    await Ticker.at_the_gate()
                self.schedule(Tick(label=message.label, fails=message.fails), **arguments)
            return
        self.schedule(Tick(label=message.label, fails=message.fails), **arguments)
        await self.go_on(message.then)

    @handler
    async def take_off(self, message: Cancel) -> None:
        if message.then == "transaction":
            async with self.transaction():
                self.state.answers.append(self.cancel(message.name))
            return
        self.state.answers.append(self.cancel(message.name))
        await self.go_on(message.then)

    async def go_on(self, then: str) -> None:
        match then:
            case "fail":
                raise RuntimeError("on second thoughts")
            case "stop":
                self.stop()
            case "retire":
                self.retire()
            case "wait":
                await Ticker.at_the_gate()
            case "wait and fail":
                await Ticker.at_the_gate()
                raise RuntimeError("on third thoughts")

    @handler
    def tick(self, message: Tick) -> None:
        self.state.ticks.append((message.label, self.system.kernel.runtime.now() - EPOCH))
        self.state.keys.append(self.turn.key)
        if self.turn.attempt <= message.fails:
            raise RuntimeError("not this time")

    @handler
    def other(self, message: Other) -> None: ...

    @handler
    def quit(self, message: Quit) -> None:
        if message.error:
            raise RuntimeError("boom")
        self.stop()

    @handler
    def ticks(self, request: Ticks) -> list[tuple[str, float]]:
        return self.state.ticks

    @handler
    def keys(self, request: Keys) -> list[str]:
        return self.state.keys

    @handler
    def answers(self, request: Answers) -> list[bool]:
        return self.state.answers


class Patient(Ticker):
    retry_on = (RuntimeError,)


def as_ticker(actor: type[Actor[Any]] = Ticker, **options: Any) -> SupervisorSpec:
    return tree(ChildSpec(id="ticker", actor=actor, **options), intensity=1000)


LIGHT = as_ticker(durable=False)
EITHER = pytest.mark.parametrize("spec", [tree(Ticker, intensity=1000), LIGHT], ids=["durable", "light"])


class Later(Runtime):
    """The real clock, so many seconds ahead."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.ahead_s = seconds

    def now(self) -> float:
        return super().now() + self.ahead_s

    def elapsed(self) -> float:
        return super().elapsed() + self.ahead_s


def close_gate() -> None:
    Ticker.gate, Ticker.waits = asyncio.Event(), asyncio.Event()


async def plan(system: ActorSystem, label: str = "", *, to: str = T, **how: Any) -> None:
    """Have it scheduled, and let everything come of it that does at once."""
    await system.ref(to).tell(Plan(label=label, **how))
    await system.idle()


async def cancel(system: ActorSystem, name: str = "Tick", *, to: str = T, then: str = "") -> None:
    await system.ref(to).tell(Cancel(name=name, then=then))
    await system.idle()


async def ticks(system: ActorSystem, to: str = T) -> list[tuple[str, float]]:
    await system.idle()
    return [tuple(tick) for tick in await system.ref(to).ask(Ticks())]  # type: ignore[misc]


async def labels(system: ActorSystem, to: str = T) -> list[str]:
    return [label for label, _ in await ticks(system, to)]


async def times(clock: VirtualRuntime, system: ActorSystem, to: str = T) -> list[float]:
    """When they came, under the virtual clock."""
    return [at for _, at in await clock.run(ticks(system, to))]


def timers(ground: Any) -> list[tuple[str, str]]:
    """Address and name of each stored one."""
    return [(row.address, row.name) for row in ground.rows(TimerRow)]
