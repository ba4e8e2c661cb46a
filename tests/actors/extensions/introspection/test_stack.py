"""Where a coroutine waits, read from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from types import coroutine
from typing import Any

import pytest
from grounds import MemoryGround, pool, tree
from patience import patience

from greenroom import Actor, ChildSpec, Message, Request, handler
from greenroom.actors.extensions.introspection.stack import FRAMES_MAX, StackFrame, stack_of


class Ask(Request[int]):
    pass


class Go(Message):
    pass


async def ever() -> None:
    await asyncio.get_running_loop().create_future()


async def deep(left: int) -> None:
    if left:
        await deep(left - 1)
    await ever()


async def knocks() -> AsyncIterator[int]:
    yield 1
    await ever()


async def through_a_generator() -> None:
    async for _ in knocks():
        pass


async def through_a_task() -> None:
    task = asyncio.ensure_future(ever())
    try:
        await task
    finally:
        task.cancel()


@coroutine
def old_style() -> Generator[Any, Any, None]:
    yield from ever().__await__()


async def through_old_style() -> None:
    await old_style()


class Awaitable:
    def __await__(self) -> Generator[Any, None, None]:
        return ever().__await__()


async def through_an_object() -> None:
    await Awaitable()


@pytest.mark.parametrize(
    ("begin", "names"),
    [
        (ever, ["ever"]),
        (lambda: deep(2), ["deep", "deep", "deep", "ever"]),
        (through_a_generator, ["through_a_generator", "knocks", "ever"]),
        (through_a_task, ["through_a_task", "ever"]),
        (through_old_style, ["through_old_style", "old_style", "ever"]),
        (through_an_object, ["through_an_object", "ever"]),
    ],
)
async def test_the_chain_innermost_last(begin: Callable[[], Any], names: list[str]) -> None:
    task = asyncio.ensure_future(begin())
    for _ in range(3):
        await asyncio.sleep(0)
    try:
        stack = stack_of(task.get_coro())
        assert [frame.function for frame in stack] == names
        assert stack[-1].source == "await asyncio.get_running_loop().create_future()"
        assert stack[-1].file == __file__
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert stack_of(task.get_coro()) == []


async def test_a_long_chain_is_cut_in_the_middle() -> None:
    task = asyncio.ensure_future(deep(300))
    await asyncio.sleep(0)
    stack = stack_of(task.get_coro())
    task.cancel()
    await asyncio.wait((task,))
    assert len(stack) == FRAMES_MAX
    assert stack[-1].function == "ever"


def test_a_frame_as_text() -> None:
    assert str(StackFrame("bank.py", 7, "pay", "await x")) == 'File "bank.py", line 7, in pay\n  await x'
    assert str(StackFrame("<stdin>", 7, "pay", "")) == 'File "<stdin>", line 7, in pay'


async def test_of_nothing() -> None:
    assert stack_of(None) == []
    assert stack_of(asyncio.get_running_loop().create_future()) == []


# -- of handlers ------------------------------------------------------------------------------------------------


class Waiting(Actor[None]):
    @handler
    async def ask(self, message: Ask) -> int:
        await ever()
        return 1


class Starting(Actor[None]):
    async def on_start(self) -> None:
        await ever()


class Asking(Actor[None]):
    @handler
    async def go(self, message: Go) -> None:
        await self.system.ref("/t/waiting").ask(Ask(), timeout_s=60)


class Batch(Actor[None]):
    @handler
    async def go(self, messages: list[Go]) -> None:
        await ever()


class External(Actor[None]):
    @handler(external=True)
    async def go(self, message: Go) -> None:
        await ever()


def names(system: Any, address: str) -> list[str]:
    turn = system.kernel.cells[address].turn
    return [] if turn is None else [frame.function for frame in stack_of(turn.coroutine)]


async def test_of_every_kind_of_handler(memory: MemoryGround) -> None:
    kinds = (Waiting, Asking, Batch, External)
    children = [ChildSpec(id=kind.__name__.lower(), actor=kind, shutdown="brutal_kill") for kind in kinds]
    starting = pool(ChildSpec(id="x", actor=Starting, shutdown="brutal_kill"))
    async with memory.node(tree(*children, starting)) as system:
        for name in ("asking", "batch", "external", "pool/x"):
            await system.ref(f"/t/{name}").tell(Go())
        async with patience():
            while not all(names(system, f"/t/{name}") for name in ("waiting", "asking", "batch", "external", "pool/x")):
                await asyncio.sleep(0)
        assert names(system, "/t/waiting") == ["Waiting.ask", "ever"]
        assert names(system, "/t/asking") == ["Asking.go", "Asks.ask", "Asks._from_inside"]
        assert names(system, "/t/batch") == ["Batch.go", "ever"]
        assert names(system, "/t/external") == ["External.go", "ever"]
        cell = system.kernel.cells["/t/waiting"]
        assert cell.turn is not None
        assert 0 < cell.turn.since <= system.kernel.runtime.now()
        assert names(system, "/t/pool/x") == ["Starting.on_start", "ever"]
