"""A cancellation that one turn leaves behind, or that other code makes, charges no other turn (docs/semantics/turn.md).

A timer that a turn leaves runs in the context in which the turn made it. The tests call it there, at the moment at
which it does harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from contextvars import copy_context
from typing import Any, ClassVar

import pytest
from grounds import Ground, MemoryGround, pool, tree
from patience import patience
from sqlalchemy import text

from greenroom import Actor, AskFailed, Backoff, ExitReason, Message, Request, handler
from greenroom.actors.execution.executor import SPARED_MAX
from greenroom.actors.kernel.current import current_turn
from greenroom.persistence.store.rows import DeadLetterRow
from greenroom.testing import Recorder


class Leave(Message):
    how: str


class Wait(Message):
    pass


class Ask(Request[str]):
    pass


class Oops(Exception):
    pass


def runner() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


class Leaver(Actor[None]):
    name = "left-leaver"
    later: ClassVar[list[Callable[[], object]]] = []
    """Timers that turns have left, each in its context."""
    kept: ClassVar[list[Any]] = []

    def keep(self, call: Callable[[], object]) -> None:
        context = copy_context()
        self.later.append(lambda: context.run(call))

    @handler
    async def left(self, message: Leave) -> None:
        match message.how:
            case "a timeout in a generator":
                self.kept.append(pages := self.pages())
                async for _ in pages:
                    break
            case "a timeout in a generator, armed at once":
                self.kept.append(pages := self.pages())
                await anext(pages)
            case "a late cancel":
                self.keep(runner().cancel)
                await asyncio.sleep(0)
            case "a late cancel without a wait":
                self.keep(runner().cancel)
            case "a cancel in its first step":
                runner().cancel()
            case "a cancel in its last step":
                await asyncio.sleep(0)
                runner().cancel()
            case "a cancel that it has caught":
                runner().cancel()
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            case "a cancel by a child":
                task = runner()

                async def late() -> None:
                    await gate.wait()
                    task.cancel()

                gate = asyncio.Event()
                self.kept.append(asyncio.create_task(late()))
                self.keep(gate.set)

    @handler
    async def wait(self, message: Wait) -> None:
        await Innocent.long("leaver")

    async def pages(self) -> AsyncIterator[int]:
        async with asyncio.timeout(None) as limit:
            self.keep(lambda: limit.reschedule(asyncio.get_running_loop().time()))
            if len(self.kept) % 2:
                await asyncio.sleep(0)
            yield 1


class Starter(Leaver):
    """Its `on_start` can't wait, and so runs in the task that starts it."""

    name = "left-starter"

    async def on_start(self) -> None:
        self.keep(runner().cancel)
        runner().cancel()


class Innocent(Actor[None]):
    name = "left-innocent"
    max_attempts = 1
    place: ClassVar[str] = "handler"
    """The moment at which the timers do their harm."""
    began: ClassVar[int] = 0

    async def on_start(self) -> None:
        await self.long("on_start")

    async def on_stop(self, reason: ExitReason) -> None:
        await self.long("on_stop")

    @handler
    async def wait(self, message: Wait) -> None:
        Innocent.began += 1
        await self.long("handler")
        with suppress(ExceptionGroup):  # a group tells its own cancellation from another's by a count
            async with asyncio.TaskGroup() as group:
                group.create_task(self.fails())
                await asyncio.sleep(3600)
        async with self.transaction() as connection:
            await connection.execute(text("SELECT 1"))
            await self.long("transaction")
        self.stop()

    @staticmethod
    async def long(place: str) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        if place == Innocent.place:
            harm()
        for _ in range(20):
            await asyncio.sleep(0)

    async def fails(self) -> None:
        raise Oops


def harm() -> None:
    later, Leaver.later[:] = list(Leaver.later), []
    for call in later:
        call()


@pytest.fixture(autouse=True)
def fresh() -> None:
    Leaver.later.clear()
    Leaver.kept.clear()
    Innocent.place, Innocent.began = "handler", 0


LEFT = [
    "a timeout in a generator",
    "a timeout in a generator, armed at once",
    "a late cancel",
    "a late cancel without a wait",
    "a cancel in its first step",
    "a cancel in its last step",
    "a cancel that it has caught",
    "a cancel by a child",
]


@pytest.mark.parametrize("place", ["handler", "on_start", "on_stop", "transaction"])
@pytest.mark.parametrize("how", LEFT)
async def test_what_a_turn_leaves_hits_no_neighbour(ground: Ground, how: str, place: str) -> None:
    Innocent.place = place
    recorder = Recorder()
    async with ground.node(tree(Leaver, pool(Innocent)), on_event=recorder) as system, patience():
        for round in range(3):
            system.ref("/t/leaver").tell(Leave(how=how))
            await system.ref("/t/leaver").tell(Wait())  # the same runner goes on with it
            await system.idle()
            await system.ref("/t/leaver").tell(Leave(how=how))
            await system.idle()
            await system.ref(f"/t/pool/k{round}").tell(Wait())
            await system.idle()
        for task in Leaver.kept:
            if isinstance(task, asyncio.Task):
                await task
    assert not ground.rows(DeadLetterRow)
    assert Innocent.began == 3, "none was begun again"
    assert not [event for event in recorder.events if "failed" in event.name or event.name == "message.parked"]
    assert len(recorder.of("actor.started")) == 3 + 3 + 3, "three supervisors and the leaver, and each innocent once"


async def test_a_start_that_cannot_wait_leaves_nothing_to_its_supervisor() -> None:
    async with MemoryGround().node(tree(Starter, Innocent, ("second", Innocent))) as system, patience():
        await system.ref("/t/innocent").tell(Wait())
        await system.idle()
        assert system.kernel.gave_up is None


# -- other code --------------------------------------------------------------------------------------------


class Struck(Actor[list[int]]):
    name = "left-struck"
    max_attempts = 2
    backoff = Backoff(initial_s=0.001, jitter=0.0)
    strikes: ClassVar[int] = 0

    def initial_state(self) -> list[int]:
        return []

    @handler
    async def wait(self, message: Wait) -> None:
        self.state.append(1)
        await self.struck()

    @handler
    async def ask(self, request: Ask) -> str:
        await self.struck()
        return f"{len(self.state)}"

    async def struck(self) -> None:
        if Struck.strikes:
            Struck.strikes -= 1
            outside(runner().cancel)
            await asyncio.sleep(3600)


def outside(call: Callable[[], object]) -> None:
    context = copy_context()
    context.run(current_turn.set, None)
    asyncio.get_running_loop().call_soon(call, context=context)


class Light(Struck):
    name = "left-light"
    durable = False


@pytest.mark.parametrize("cls", [Struck, Light])
async def test_a_cancellation_by_other_code_charges_nobody(ground: Ground, cls: type[Struck]) -> None:
    Struck.strikes = SPARED_MAX
    recorder = Recorder()
    async with ground.node(tree(("a", cls)), on_event=recorder) as system, patience():
        await system.ref("/t/a").tell(Wait())
        await system.idle()
        handled = await system.ref("/t/a").ask(Ask())
        assert cls is Light or handled == "1", "of the first handlings nothing is left"
    assert not recorder.of("message.failed")
    assert not recorder.of("actor.exited")


@pytest.mark.parametrize("cls", [Struck, Light])
async def test_an_ask_whose_handler_other_code_cancels_says_so(ground: Ground, cls: type[Struck]) -> None:
    Struck.strikes = 1
    recorder = Recorder()
    async with ground.node(tree(("a", cls)), on_event=recorder) as system, patience():
        with pytest.raises(AskFailed, match="other code has cancelled its handler"):
            await system.ref("/t/a").ask(Ask())
        assert await system.ref("/t/a").ask(Ask()) == "0"
    assert not recorder.of("actor.exited")


async def test_that_ends_sometime(ground: Ground) -> None:
    """A message that is struck again and again is charged."""
    Struck.strikes = 1_000_000
    async with ground.node(tree(("a", Struck))) as system, patience():
        await system.ref("/t/a").tell(Wait())
        await system.idle()
        with pytest.raises(AskFailed):
            await system.ref("/t/a").ask(Ask())
        Struck.strikes = 0
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.attempts, letter.error) == (2, "asyncio.exceptions.CancelledError")
