"""The memory that actors cost, with bounds that leave room for other versions of Python:
docs/performance.md has the figures."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from grounds import SqliteGround, pool, tree

from greenroom import Actor, ActorSystem, Event, Message, handler

ACTORS = 1_000
ACTIVE_B_MAX = 2_500
"""Of an idle active actor with a small state. Erlang's process: 2.7 KB."""
PASSIVATED_B_MAX = 20
"""The bytes that an allocator's noise makes of nothing."""


def silent(event: Event) -> None:
    """No log."""


class Fill(Message):
    text: str


class Page(msgspec.Struct):
    letters: int = 0


class Book(Actor[Page]):
    idle_timeout_s = 0.05

    @handler
    def fill(self, message: Fill) -> None:
        self.state.letters += len(message.text)


class Kept(Book):
    idle_timeout_s = 3600.0


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def traced_b() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def tell(system: ActorSystem, first: int, last: int, text: str) -> None:
    for number in range(first, last):
        system.ref(f"/t/pool/{number}").tell(Fill(text=text))
        if number % 500 == 499:
            await system.idle()
    await system.idle()


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("text", ["a few words", "w" * 20_000])
async def test_an_idle_actor_is_small_whatever_its_last_message_was(disk: SqliteGround, text: str) -> None:
    async with disk.node(tree(pool(Kept)), on_event=silent) as system:
        await tell(system, 0, 500, text)
        before = traced_b()
        await tell(system, 500, 500 + ACTORS, text)
        assert len(system.kernel.cells) > ACTORS
        assert (traced_b() - before) / ACTORS < ACTIVE_B_MAX


@pytest.mark.usefixtures("traced")
async def test_one_that_has_left_memory_costs_nothing(disk: SqliteGround) -> None:
    async with disk.node(tree(pool(Book)), on_event=silent) as system:

        async def come_and_go(first: int, last: int) -> int:
            empty = asyncio.Event()

            def watch(event: Event) -> None:
                if event.name == "actor.passivated" and len(system.kernel.cells) == 2:  # the root and its pool
                    empty.set()

            await tell(system, first, last, "a few words")
            leave = system.kernel.events.subscribe(watch)
            system.ref("/t/pool/last").tell(Fill(text=""))
            await empty.wait()
            leave()
            await system.idle()
            return traced_b()

        # A dict keeps the size that it once had, and more actors are in memory at once on a busy machine. So a round
        # may cost that, but whatever each actor leaves behind is there after every round.
        after = [await come_and_go(first, first + ACTORS) for first in range(0, 4 * ACTORS, ACTORS)]
        assert min(later - earlier for earlier, later in pairwise(after)) / ACTORS < PASSIVATED_B_MAX
