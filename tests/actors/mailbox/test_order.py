"""Order: per sender and receiver, within a priority; delays; and what passes what."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, pool, tree

from greenroom import Actor, Backoff, ChildSpec, Message, Request, Retry, handler
from greenroom.persistence.store.rows import MessageRow

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Item(Message):
    text: str
    fail: bool = False


class Items(Request[list[str]]):
    pass


class Seen(msgspec.Struct):
    items: list[str] = []


class Sink(Actor[Seen]):
    backoff = FAST
    gate: asyncio.Event

    @handler
    async def item(self, message: Item) -> None:
        if message.text == "gate":
            await Sink.gate.wait()
            return
        if message.fail and self.turn.attempt == 1:
            raise Retry(after_s=0.001)
        self.state.items.append(message.text)

    @handler
    def items(self, request: Items) -> list[str]:
        return self.state.items


class Batch(Actor[Seen]):
    sizes: list[int] = []

    @handler
    def batch(self, messages: list[Item]) -> None:
        Batch.sizes.append(len(messages))
        self.state.items += [message.text for message in messages]

    @handler
    def items(self, request: Items) -> list[str]:
        return self.state.items


class Many(Message):
    texts: list[str]
    to: str = "/t/sink"
    priorities: list[int] = []


class Source(Actor[None]):
    @handler
    async def many(self, message: Many) -> None:
        to = self.system.ref(message.to)
        for place, text in enumerate(message.texts):
            to.tell(Item(text=text), priority=message.priorities[place] if message.priorities else 0)
            if place % 3 == 0:
                await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Sink.gate = asyncio.Event()
    Batch.sizes = []


async def test_one_sender_from_outside(ground: Ground) -> None:
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        for number in range(500):
            receipt = sink.tell(Item(text=str(number)))
            if number % 50 == 0:
                await receipt
        await system.idle()
        assert await sink.ask(Items()) == [str(number) for number in range(500)]


async def test_turns_of_one_sender(ground: Ground) -> None:
    async with ground.node(tree(Sink, Source)) as system:
        source = system.ref("/t/source")
        for turn in range(30):
            source.tell(Many(texts=[f"{turn}.{place}" for place in range(10)]))
        await system.idle()
        expected = [f"{turn}.{place}" for turn in range(30) for place in range(10)]
        assert await system.ref("/t/sink").ask(Items()) == expected


async def test_each_of_many_senders(ground: Ground) -> None:
    sources = [(f"s{number}", Source) for number in range(5)]
    async with ground.node(tree(Sink, *sources)) as system:
        for turn in range(10):
            for name, _ in sources:
                system.ref(f"/t/{name}").tell(Many(texts=[f"{name} {turn} {place}" for place in range(4)]))
        await system.idle()
        items = await system.ref("/t/sink").ask(Items())
        assert len(items) == 200
        for name, _ in sources:
            mine = [item for item in items if item.startswith(name)]
            assert mine == [f"{name} {turn} {place}" for turn in range(10) for place in range(4)]


async def test_batches_keep_the_order(ground: Ground) -> None:
    async with ground.node(tree(Batch, Source)) as system:
        system.ref("/t/source").tell(Many(texts=[str(number) for number in range(250)], to="/t/batch"))
        await system.idle()
        assert await system.ref("/t/batch").ask(Items()) == [str(number) for number in range(250)]
        assert max(Batch.sizes) > 1


# -- priorities -----------------------------------------------------------------------------------------

LETTERS = "abcdefghij"
PRIORITIES = [0, 5, 0, -5, 5, -5, 9, 0, 5, -1]
SORTED = [letter for _, letter in sorted(zip([-p for p in PRIORITIES], LETTERS, strict=True), key=lambda p: p[0])]


async def test_higher_priorities_go_first_and_keep_their_order(ground: Ground) -> None:
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="gate"))
        for letter, priority in zip(LETTERS, PRIORITIES, strict=True):
            await sink.tell(Item(text=letter), priority=priority)
        Sink.gate.set()
        await system.idle()
        assert await sink.ask(Items()) == SORTED


async def test_priorities_in_a_turn(ground: Ground) -> None:
    async with ground.node(tree(Sink, Source)) as system:
        await system.ref("/t/sink").tell(Item(text="gate"))
        await system.ref("/t/source").tell(Many(texts=list(LETTERS), priorities=PRIORITIES))
        for _ in range(50):
            await asyncio.sleep(0)
        Sink.gate.set()
        await system.idle()
        assert await system.ref("/t/sink").ask(Items()) == SORTED


@pytest.mark.parametrize("where", ["static", "pool"])
async def test_a_backlog_keeps_its_order_and_priorities_in_the_next_life(ground: Ground, where: str) -> None:
    spec = tree(Sink) if where == "static" else tree(pool(Sink))
    address = "/t/sink" if where == "static" else "/t/pool/x"
    async with ground.node(spec) as system:
        sink = system.ref(address)
        await sink.tell(Item(text="gate"))
        for letter, priority in zip(LETTERS, PRIORITIES, strict=True):
            await sink.tell(Item(text=letter), priority=priority)
        image = ground.image()
        Sink.gate.set()
    async with image.node(spec) as system:
        await system.idle()
        assert await system.ref(address).ask(Items()) == SORTED
    assert not image.rows(MessageRow)


async def test_a_long_backlog_is_paged_in_order(ground: Ground) -> None:
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="gate"))
        for number in range(1000):
            receipt = sink.tell(Item(text=str(number)), priority=0 if number % 2 else 1)
        await receipt
        image = ground.image()
        Sink.gate.set()
    async with image.node(tree(Sink)) as system:
        await system.idle()
        items = await system.ref("/t/sink").ask(Items())
        assert items == [str(n) for n in range(0, 1000, 2)] + [str(n) for n in range(1, 1000, 2)]


async def test_what_comes_while_a_backlog_is_paged_in(ground: Ground) -> None:
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="gate"))
        for number in range(600):
            receipt = sink.tell(Item(text=str(number)))
        await receipt
        image = ground.image()
        Sink.gate.set()
    async with image.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        for number in range(600, 900):
            sink.tell(Item(text=str(number)))
            sink.tell(Item(text=f"!{number}"), priority=3)
            await asyncio.sleep(0)
        await system.idle()
        items = await sink.ask(Items())
        assert [item for item in items if item[0] != "!"] == [str(number) for number in range(900)]
        assert [item for item in items if item[0] == "!"] == [f"!{number}" for number in range(600, 900)]


async def test_others_pass_a_message_that_waits_out_its_backoff(ground: Ground) -> None:
    async with ground.node(tree(Sink)) as system:
        sink = system.ref("/t/sink")
        sink.tell(Item(text="a", fail=True))
        await sink.tell(Item(text="b"))
        await system.idle()
        assert await sink.ask(Items()) == ["b", "a"]


@pytest.mark.parametrize("priority", [0, 5, -5])
async def test_a_turn_that_is_cut_off_comes_back_to_its_place(memory: Ground, clock: Any, priority: int) -> None:
    """A sibling's failure restarts it in the middle of a turn: no attempt is charged, no order lost."""

    async with memory.node(
        tree(("dies", Mortal), ChildSpec(id="sink", actor=Sink, shutdown=1.0), strategy="one_for_all"),
        runtime=clock,
    ) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="gate"), priority=priority)
        await clock.settle()
        for text in "abc":
            await sink.tell(Item(text=text), priority=priority)
        await sink.tell(Item(text="zero"))
        await system.ref("/t/dies").tell(Item(text=""))
        await clock.advance(5)
        Sink.gate.set()
        await system.idle()
        expected = {0: ["a", "b", "c", "zero"], 5: ["a", "b", "c", "zero"], -5: ["zero", "a", "b", "c"]}
        assert await sink.ask(Items()) == expected[priority]


class Mortal(Actor[None]):
    max_attempts = 1

    @handler
    def item(self, message: Item) -> None:
        raise RuntimeError


# -- delays ---------------------------------------------------------------------------------------------


async def test_a_delayed_tell_comes_at_its_moment(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Sink), runtime=clock) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="late"), delay_s=10.0)
        await sink.tell(Item(text="later"), delay_s=20.0)
        await sink.tell(Item(text="now"))
        await system.idle()
        assert await sink.ask(Items()) == ["now"]
        await clock.advance(9.9)
        assert await sink.ask(Items()) == ["now"]
        await clock.advance(0.2)
        assert await sink.ask(Items()) == ["now", "late"]
        await clock.advance(10)
        assert await sink.ask(Items()) == ["now", "late", "later"]


async def test_delays_outlive_the_node(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Sink), runtime=clock) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="late"), delay_s=10.0)
        await sink.tell(Item(text="overdue"), delay_s=3.0)
    await clock.advance(5)
    async with memory.node(tree(Sink), runtime=clock) as system:
        sink = system.ref("/t/sink")
        await system.idle()
        assert await sink.ask(Items()) == ["overdue"]
        await clock.advance(5.1)
        assert await sink.ask(Items()) == ["overdue", "late"]
    assert not memory.rows(MessageRow)


async def test_a_delayed_tell_keeps_its_priority_in_the_next_life(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Sink), runtime=clock) as system:
        await system.ref("/t/sink").tell(Item(text="high"), delay_s=10.0, priority=5)
    async with memory.node(tree(Sink), runtime=clock) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="gate"))
        await clock.settle()
        await sink.tell(Item(text="low"))
        await clock.advance(11)
        Sink.gate.set()
        await system.idle()
        assert await sink.ask(Items()) == ["high", "low"]


async def test_a_delay_to_a_pool_activates_its_actor(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(pool(Sink)), runtime=clock) as system:
        await system.ref("/t/pool/x").tell(Item(text="a"), delay_s=1000.0)
        await clock.advance(500)
    async with memory.node(tree(pool(Sink)), runtime=clock) as system:
        await clock.advance(501)
        assert await system.ref("/t/pool/x").ask(Items()) == ["a"]


async def test_the_wall_clock_that_is_set_moves_no_delay(memory: Ground, clock: Any) -> None:
    """Within one life a delay is so many seconds. Between two, only the wall clock is left."""
    async with memory.node(tree(Sink), runtime=clock) as system:
        sink = system.ref("/t/sink")
        await sink.tell(Item(text="a"), delay_s=7200.0)
        clock.set_clock(7200.0)
        await clock.advance(3601)
        assert await sink.ask(Items()) == []
    async with memory.node(tree(Sink), runtime=clock) as system:
        await system.idle()
        assert await system.ref("/t/sink").ask(Items()) == ["a"]
