"""A cancel scope of anyio that a turn leaves open is left for it, and troubles no other turn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import anyio
import pytest
from anyio._backends import _asyncio as backend
from grounds import Ground, as_spec, pool, tree
from patience import patience

from greenroom import Actor, ExitReason, Message, Request, handler
from greenroom.testing import Recorder


class Leave(Message):
    pass


class LeaveMany(Message):
    pass


class Work(Message):
    how: str


class Attempts(Request[list[int]]):
    pass


async def limited() -> AsyncIterator[int]:
    with anyio.move_on_after(0.001):
        while True:
            yield 1


async def grouped() -> AsyncIterator[int]:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 3600)
        while True:
            yield 1


async def leave_open(how: str) -> None:
    if how.startswith("late "):
        await anyio.sleep(0)
    match how.removeprefix("late "):
        case "cancelled":
            scope = anyio.CancelScope()
            scope.__enter__()
            scope.cancel()
        case "two":
            anyio.CancelScope().__enter__()
            anyio.CancelScope(deadline=0.0).__enter__()
        case "generator":
            Leaver.kept.append(limited())
            await anext(Leaver.kept[-1])
        case "group":
            Leaver.kept.append(grouped())
            await anext(Leaver.kept[-1])
        case "fails":
            anyio.CancelScope(deadline=0.0).__enter__()
            raise ValueError("it has left a scope")


class Leaver(Actor[None]):
    name = "scopes-leaver"
    max_attempts = 1
    how: ClassVar[str] = ""
    place: ClassVar[str] = ""
    kept: ClassVar[list[Any]] = []

    async def on_start(self) -> None:
        await self.at("on_start")

    async def on_stop(self, reason: ExitReason) -> None:
        await self.at("on_stop")

    @handler
    async def one(self, message: Leave) -> None:
        await self.at("handler")
        if Leaver.place.startswith("on_"):
            self.stop()

    @handler
    async def many(self, messages: list[LeaveMany]) -> None:
        await self.at("batch")

    async def at(self, place: str) -> None:
        if place == Leaver.place:
            if place == "on_start" and Leaver.how.endswith("fails"):
                Leaver.place = ""  # the next start succeeds
            await leave_open(Leaver.how)


class Neighbour(Actor[list[int]]):
    name = "scopes-neighbour"
    max_attempts = 1

    def initial_state(self) -> list[int]:
        return []

    @handler
    async def work(self, message: Work) -> None:
        match message.how:
            case "limit":
                with anyio.move_on_after(0.001) as scope:
                    await anyio.sleep(3600)
                assert scope.cancelled_caught
            case "thread":
                await anyio.to_thread.run_sync(int)
            case "group":
                async with anyio.create_task_group() as group:
                    group.start_soon(anyio.sleep, 0.001)
        await anyio.sleep(0)
        self.state.append(self.turn.attempt)

    @handler
    def attempts(self, request: Attempts) -> list[int]:
        return self.state


HOWS = ["cancelled", "two", "generator", "group", "fails"]


@pytest.mark.parametrize("how", [f"{late}{how}" for how in HOWS for late in ("", "late ")])
@pytest.mark.parametrize("place", ["handler", "batch", "on_start", "on_stop"])
async def test_no_other_turn_is_troubled(ground: Ground, place: str, how: str) -> None:
    Leaver.how, Leaver.place, Leaver.kept = how, "", []
    recorder = Recorder()
    async with ground.node(tree(Leaver, Neighbour, intensity=100), on_event=recorder) as system, patience():
        Leaver.place = place
        for _ in range(2):
            await system.ref("/t/leaver").tell(LeaveMany() if place == "batch" else Leave())
            await system.idle()
            for work in ("limit", "thread", "group"):
                await system.ref("/t/neighbour").tell(Work(how=work))
                await system.idle()
        assert await system.ref("/t/neighbour").ask(Attempts()) == [1] * 6
        Leaver.place = ""
    assert not [event for event in recorder.of("message.failed") if event.address == "/t/neighbour"]


class Hasty(Actor[None]):
    """Its `on_start` can't suspend, so it runs in the task of the runner that starts it."""

    name = "scopes-hasty"

    async def on_start(self) -> None:
        anyio.CancelScope(deadline=0.0).__enter__()

    @handler
    def one(self, message: Leave) -> None: ...


async def test_an_on_start_that_cant_suspend(ground: Ground) -> None:
    spec = tree(pool(as_spec(Hasty), id="pool"), Neighbour)
    async with ground.node(spec) as system, patience():
        for number in range(3):
            await system.ref(f"/t/pool/{number}").tell(Leave())
            await system.idle()
            await system.ref("/t/neighbour").tell(Work(how="limit"))
            await system.idle()
        assert await system.ref("/t/neighbour").ask(Attempts()) == [1] * 3


def test_the_name_of_anyio_that_is_read() -> None:
    assert len(backend._task_states) >= 0
