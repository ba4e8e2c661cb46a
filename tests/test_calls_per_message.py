"""How many Python calls a message costs: a count that no busy machine can blur.

`sys.setprofile` counts the calls of Python functions (not those of C) between the first tell and the end of the last
turn, over the memory store, for CPython 3.11. The bounds are 5 % above the figures when a turn came to be made in C.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import msgspec
import pytest

from greenroom import Actor, ActorSystem, ChildSpec, Message, Request, SupervisorSpec, handler, start
from greenroom.persistence.runtime import Runtime

MESSAGES = 2_000
WINDOWS = 3
"""Of which the least counts: how turns fall into commits depends on the clock."""


class StillClock(Runtime):
    """The pool and the committer look at a clock that stands still: how fast the machine is decides nothing."""

    perf = staticmethod(float)  # a call of C, as that of a real clock


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Fan(Message):
    count: int


class Sum(msgspec.Struct):
    total: int = 0


class Counter(Actor[Sum]):
    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handler
    def total(self, message: Total) -> int:
        return self.state.total


class InMemory(Counter):
    durable = False


class Teller(Actor[None]):
    @handler
    def fan(self, message: Fan) -> None:
        counter = self.system.ref("/t/counter")
        for _ in range(message.count):
            counter.tell(Add(amount=1))


TREE = SupervisorSpec(
    id="t",
    children=[
        ChildSpec(id="counter", actor=Counter, capacity=10 * MESSAGES),
        ChildSpec(id="in-memory", actor=InMemory, capacity=10 * MESSAGES),
        ChildSpec(id="teller", actor=Teller),
    ],
)


async def told_in_bulk(system: ActorSystem) -> None:
    counter = system.ref("/t/counter")
    for _ in range(MESSAGES):
        counter.tell(Add(amount=1))
    await system.idle()


async def told_in_memory(system: ActorSystem) -> None:
    counter = system.ref("/t/in-memory")
    for _ in range(MESSAGES):
        counter.tell(Add(amount=1))
    await system.idle()


async def told_in_a_turn(system: ActorSystem) -> None:
    system.ref("/t/teller").tell(Fan(count=MESSAGES))
    await system.idle()


async def asked(system: ActorSystem) -> None:
    counter = system.ref("/t/counter")
    for _ in range(MESSAGES):
        await counter.ask(Total())


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the bounds are those of CPython 3.11")
@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer calls Python functions of its own")
@pytest.mark.parametrize(
    ("work", "calls"),
    [(told_in_bulk, 18.2), (told_in_memory, 3.1), (told_in_a_turn, 19.2), (asked, 53.1)],
)
async def test_calls_per_message(work: Callable[[ActorSystem], Awaitable[None]], calls: float) -> None:
    least = float("inf")
    async with start(TREE, store="memory://", runtime=StillClock()) as system:
        await work(system)  # what happens once (caches, first starts) is over
        for _ in range(WINDOWS):
            count = 0

            def profile(frame: FrameType, event: str, argument: Any) -> None:
                nonlocal count
                count += event == "call"

            sys.setprofile(profile)
            try:
                await work(system)
            finally:
                sys.setprofile(None)
            least = min(least, count / MESSAGES)
    print(f"{work.__name__}: {least:.1f} calls a message")
    assert least <= calls * 1.05
