"""Whose turn code belongs to: a plain handler's context isn't told of its turn, and yet its tells are part of it."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable
from typing import Any

import pytest
from grounds import Ground, tree

from greenroom import Actor, ChildSpec, Message, Request, TurnClosed, handler
from greenroom.actors.kernel.current import turn_here
from greenroom.actors.kernel.turn import Turn
from greenroom.testing import Recorder


class Plain(Message):
    fail: bool = False


class Waits(Message):
    pass


class Note(Message):
    text: str


class Notes(Request[list[str]]):
    pass


class Book(Actor[list[str]]):
    @handler
    def note(self, message: Note) -> None:
        self.state.append(message.text)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state


class Teller(Actor[None]):
    """Does something in each kind of handler."""

    does: Callable[[Teller], object]
    found: list[Any]
    left: list[asyncio.Task[Any]]

    def note(self, text: str) -> None:
        self.system.ref("/t/book").tell(Note(text=text))

    @handler
    def plain(self, message: Plain) -> None:
        type(self).does(self)
        if message.fail:
            raise RuntimeError("fails after it")

    @handler
    async def waits(self, message: Waits) -> None:
        await asyncio.sleep(0)
        type(self).does(self)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Teller.found, Teller.left = [], []


SPEC = tree(Book, ChildSpec(id="teller", actor=Teller, max_attempts=1))


async def test_a_plain_handler_after_one_that_waited(ground: Ground) -> None:
    """The context still has the turn of the async handler, which is over."""
    Teller.does = lambda self: (self.note("said"), Teller.found.append(turn_here()))
    async with ground.node(SPEC) as system:
        teller = system.ref("/t/teller")
        for message in (Plain(), Waits(), Plain(), Waits(), Plain()):
            await teller.tell(message)
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == ["said"] * 5
    assert len({turn.uid for turn in Teller.found}) == 5


@pytest.mark.parametrize("message", [Plain(fail=True)], ids=["plain"])
async def test_its_tells_are_dropped_if_it_fails(ground: Ground, message: Message) -> None:
    Teller.does = lambda self: self.note("never")
    async with ground.node(SPEC) as system:
        await system.ref("/t/teller").tell(message)
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == []


@pytest.mark.parametrize("message", [Plain(), Waits()], ids=["plain", "async"])
async def test_a_child_task_that_is_left_over(ground: Ground, message: Message) -> None:
    async def late(self: Teller) -> None:
        await asyncio.sleep(0)
        with pytest.raises(TurnClosed, match="handler"):
            self.note("late")
        here = turn_here()
        assert isinstance(here, Turn)
        assert not here.is_current

    Teller.does = lambda self: Teller.left.append(asyncio.get_running_loop().create_task(late(self)))
    async with ground.node(SPEC) as system:
        await system.ref("/t/teller").tell(message)
        await system.idle()
        await asyncio.gather(*Teller.left)
        assert await system.ref("/t/book").ask(Notes()) == []


async def test_a_child_task_while_the_turn_waits_for_a_key(ground: Ground) -> None:
    """The turn of a plain handler is open until its key is looked up, and takes nothing more."""

    async def late(self: Teller) -> None:
        with pytest.raises(TurnClosed, match="handler"):
            self.note("late")

    def tell(self: Teller) -> None:
        self.system.ref("/t/book").tell(Note(text="keyed"), key="a key")
        Teller.left.append(asyncio.get_running_loop().create_task(late(self)))

    Teller.does = tell
    async with ground.node(SPEC) as system:
        await system.ref("/t/teller").tell(Plain())
        await system.idle()
        await asyncio.gather(*Teller.left)
        assert await system.ref("/t/book").ask(Notes()) == ["keyed"]


async def test_a_copy_of_its_context_is_part_of_the_turn(ground: Ground) -> None:
    Teller.does = lambda self: contextvars.copy_context().run(self.note, "copied")
    async with ground.node(SPEC) as system:
        await system.ref("/t/teller").tell(Plain(fail=True))
        await system.idle()
        assert await system.ref("/t/book").ask(Notes()) == []


async def test_code_beside_the_node_is_in_no_turn(ground: Ground) -> None:
    Teller.does = lambda _: Teller.found.append(turn_here())
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        seen: list[tuple[str, Any]] = []
        system.kernel.events.subscribe(lambda event: seen.append((event.name, turn_here())))
        await system.ref("/t/teller").tell(Plain())
        await system.ref("/t/teller").tell(Plain(fail=True))
        await events.until("actor.exited")
        await system.idle()
        assert turn_here() is None
    assert len(Teller.found) == 2
    assert [turn for name, turn in seen if name in ("message.parked", "actor.exited")] == [None, None]


class Starter(Actor[None]):
    """Tells as it is built: it is in no turn, whoever starts it."""

    def __init__(self) -> None:
        Teller.found.append(turn_here())


async def test_a_child_is_built_in_no_turn_of_its_supervisor(ground: Ground) -> None:
    async with ground.node(tree(Starter, ChildSpec(id="teller", actor=Teller))) as system:
        await system.idle()
    assert all(found is None or found.cell.address == "/t/starter" for found in Teller.found)
    assert Teller.found


async def test_an_idle_child_of_a_pool_keeps_no_turn(ground: Ground) -> None:
    from grounds import pool

    Teller.does = lambda self: self.note("said")
    async with ground.node(tree(Book, pool(Teller))) as system:
        for message in (Waits(), Plain()):
            await system.ref("/t/pool/1").tell(message)
            await system.idle()
            life = system.kernel.cells["/t/pool/1"].incarnation
            assert life is not None
            assert not any(isinstance(value, Turn) for value in life.context.values())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
@pytest.mark.parametrize("message", [Plain(), Waits()], ids=["plain", "async"])
async def test_the_first_step_of_an_eager_task_is_part_of_the_turn(ground: Ground, message: Message) -> None:
    async def step(self: Teller) -> None:
        self.note("first step")

    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    Teller.does = lambda self: Teller.left.append(loop.create_task(step(self)))
    try:
        async with ground.node(SPEC) as system:
            await system.ref("/t/teller").tell(message)
            await system.idle()
            assert await system.ref("/t/book").ask(Notes()) == ["first step"]
    finally:
        loop.set_task_factory(before)
