"""Actors that run user code at every place where the runtime does, and do there what the script says."""

from __future__ import annotations

import asyncio

import msgspec
from odd_acts import ERRORS, Act, perform, perform_now
from odd_calls import stray, stray_now
from odd_messages import (
    Bad,
    Carried,
    Echo,
    Loose,
    Many,
    Numbers,
    Outside,
    Parcel,
    Plain,
    Question,
    Quit,
    Sql,
    Stated,
    Told,
    Waiting,
    parcel,
)
from odd_script import Script
from odd_values import VALUES
from sqlalchemy import text

from greenroom import Actor, Backoff, ExitReason, handler

__all__ = ("ATTEMPTS", "Guilty", "Innocent", "Light", "LightInnocent", "Sudden")

ATTEMPTS = 3
FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Seen(msgspec.Struct):
    numbers: list[int] = []
    kept: Parcel = msgspec.field(default_factory=Parcel)

    def __post_init__(self) -> None:
        if Script.bombs:
            raise Script.bombs.pop()("odd")


class Guilty(Actor[Seen]):
    name = "odd-guilty"
    max_attempts = ATTEMPTS
    backoff = FAST
    handler_timeout_s = None

    def __init__(self, id: str) -> None:
        self.id = id
        act = Script.take(id, "__init__")
        if act is not None:
            self.do_now(act)

    async def on_start(self) -> None:
        await self.hook("on_start")

    async def on_stop(self, reason: ExitReason) -> None:
        Script.stopped.add(self.address)
        await self.hook("on_stop")

    async def hook(self, hook: str) -> None:
        act = Script.take(self.id, hook)
        if act is not None:
            await self.do(act)

    async def do(self, act: Act) -> None:
        await (stray(act.what, self) if act.is_stray else perform(act))

    def do_now(self, act: Act) -> None:
        (stray_now(act.what, self) if act.is_stray else perform_now(act))

    def did(self, message: Told) -> None:
        if isinstance(self, Light):
            Script.done.append(message.number)

    def due(self, message: Told) -> Act | None:
        return Act(message.what, message.waits) if message.what and self.turn.attempt <= message.times else None

    async def act(self, message: Told) -> None:
        act = self.due(message)
        if act is not None:
            await self.do(act)

    @handler
    def plain(self, message: Plain) -> None:
        self.state.numbers.append(message.number)
        act = self.due(message)
        if act is not None:
            self.do_now(act)
        self.did(message)

    @handler
    async def waiting(self, message: Waiting) -> None:
        self.state.numbers.append(message.number)
        await self.act(message)
        self.did(message)

    @handler
    async def many(self, messages: list[Many]) -> None:
        for message in messages:
            self.state.numbers.append(message.number)
        for message in messages:
            await self.act(message)
        for message in messages:
            self.did(message)

    @handler(external=True)
    async def outside(self, message: Outside) -> None:
        self.state.numbers.append(message.number)
        await self.act(message)
        self.did(message)

    @handler
    async def sql(self, message: Sql) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            self.state.numbers.append(message.number)
            await self.act(message)
        self.did(message)

    @handler
    def stated(self, message: Stated) -> None:
        act = self.due(message)
        if act is not None and act.what in ERRORS:
            Script.bombs[:] = [ERRORS[act.what]]
        self.state.numbers.append(message.number)

    @handler
    def quit(self, message: Quit) -> None:
        self.state.numbers.append(message.number)
        self.stop()
        self.did(message)

    @handler
    def bad(self, message: Bad) -> None:
        self.state.numbers.append(message.number)
        if self.turn.attempt <= message.times:
            raise ValueError("bad")
        self.did(message)

    @handler
    def carried(self, message: Carried) -> None:
        self.took(message)

    @handler
    def loose(self, message: Loose) -> None:
        self.took(message)

    def took(self, message: Told) -> None:
        self.state.numbers.append(message.number)
        Script.came[message.number] = message.what, getattr(message, VALUES[message.what].field)
        self.did(message)

    @handler
    def echo(self, request: Echo) -> Parcel:
        for field, name in request.carried.names.items():
            Script.came[-len(Script.came)] = name, getattr(request.carried, field)
        return parcel(request.wanted)

    @handler
    async def question(self, request: Question) -> int:
        if request.number:
            Script.note(f"question {request.number} came through")
        if request.what:
            await self.do(Act(request.what, request.waits))
        return 1

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state.numbers


class Light(Guilty):
    """It has no rows; its messages are in memory."""

    name = "odd-light"
    durable = False


class Sudden(Guilty):
    """Its `on_start` can't wait, so it runs in its supervisor's task."""

    name = "odd-sudden"

    async def on_start(self) -> None:
        act = Script.take(self.id, "on_start")
        if act is not None:
            self.do_now(act)


class Innocent(Actor[Seen]):
    """Waits now and then, has a child task, and does nothing wrong."""

    name = "odd-innocent"
    max_attempts = 1
    backoff = FAST

    def __init__(self, id: str) -> None:
        self.id = id

    async def on_start(self) -> None:
        await asyncio.sleep(0)

    async def on_stop(self, reason: ExitReason) -> None:
        Script.stopped.add(self.address)
        await asyncio.sleep(0)

    @handler
    async def waiting(self, message: Waiting) -> None:
        self.state.numbers.append(message.number)
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        for _ in range(6):
            await asyncio.sleep(0)
        if message.number % 3 == 0:
            await asyncio.sleep(0.002)
        if isinstance(self, LightInnocent):
            Script.done.append(message.number)

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state.numbers


class LightInnocent(Innocent):
    name = "odd-light-innocent"
    durable = False
