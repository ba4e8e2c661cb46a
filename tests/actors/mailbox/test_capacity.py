"""Bounds: mailboxes, back-pressure between actors, run-ahead."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, tree
from patience import patience, patient

from greenroom import Actor, ChildSpec, MailboxFull, Message, Request, StoreUnavailable, SystemStopped, handler
from greenroom.persistence.commit import queue as order
from greenroom.persistence.store.rows import MessageRow


class Item(Message):
    number: int


class Flood(Message):
    count: int
    to: str


class Items(Request[list[int]]):
    pass


class Hold(Message):
    pass


class Seen(msgspec.Struct):
    items: list[int] = []


class Sink(Actor[Seen]):
    gate: asyncio.Event
    longest = 0

    @handler
    async def hold(self, message: Hold) -> None:
        await Sink.gate.wait()

    @handler
    def item(self, message: Item) -> None:
        cell = self.system.kernel.cells[self.address]
        Sink.longest = max(Sink.longest, cell.mailbox.count)
        self.state.items.append(message.number)

    @handler
    def items(self, request: Items) -> list[int]:
        return self.state.items


class Flooder(Actor[None]):
    turns = 0

    @handler
    def flood(self, message: Flood) -> None:
        Flooder.turns += 1
        for number in range(message.count):
            self.system.ref(message.to).tell(Item(number=number))

    @handler
    def item(self, message: Item) -> None:
        """Dropped."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    Sink.gate = asyncio.Event()
    Sink.longest = 0
    Flooder.turns = 0


def sink(capacity: int, overflow: Any = "wait") -> ChildSpec:
    return ChildSpec(id="sink", actor=Sink, capacity=capacity, overflow=overflow)


async def held(system: Any) -> Any:
    """The sink, with a turn that waits for the gate, and an empty mailbox."""
    ref = system.ref("/t/sink")
    await ref.tell(Hold())
    async with patience():
        while system.kernel.cells["/t/sink"].mailbox.count:
            await asyncio.sleep(0)
    return ref


def task(receipt: Any) -> asyncio.Task[None]:
    async def wait() -> None:
        await receipt

    return asyncio.ensure_future(wait())


# -- tells from outside ---------------------------------------------------------------------------------


async def test_a_tell_to_a_full_mailbox_waits_for_room(ground: Ground) -> None:
    async with ground.node(tree(sink(3))) as system:
        ref = await held(system)
        for number in range(3):
            await ref.tell(Item(number=number))
        late = [task(ref.tell(Item(number=number))) for number in range(3, 6)]
        await asyncio.sleep(0.02)
        assert not any(one.done() for one in late)
        assert len(ground.rows(MessageRow)) == 4, "who waits in line isn't stored"
        Sink.gate.set()
        await asyncio.gather(*late)
        await system.idle()
        assert await ref.ask(Items()) == list(range(6))


async def test_the_line_has_an_end_too(ground: Ground) -> None:
    async with ground.node(tree(sink(2))) as system:
        ref = await held(system)
        receipts = [ref.tell(Item(number=number)) for number in range(4)]
        with pytest.raises(MailboxFull) as caught:
            ref.tell(Item(number=99))
        assert (caught.value.address, caught.value.capacity) == ("/t/sink", 2)
        assert caught.value.undelivered == Item(number=99)
        Sink.gate.set()
        for receipt in receipts:
            await receipt
        await system.idle()
        assert await ref.ask(Items()) == [0, 1, 2, 3]


async def test_overflow_reject(ground: Ground) -> None:
    async with ground.node(tree(sink(2, "reject"))) as system:
        ref = await held(system)
        for number in range(2):
            await ref.tell(Item(number=number))
        with pytest.raises(MailboxFull) as caught:
            await ref.tell(Item(number=2))
        assert caught.value.undelivered == Item(number=2)
        Sink.gate.set()
        await system.idle()
        await ref.tell(Item(number=3))
        await system.idle()
        assert await ref.ask(Items()) == [0, 1, 3]


async def test_an_unawaited_tell_that_waits_in_line_arrives(ground: Ground) -> None:
    async with ground.node(tree(sink(1))) as system:
        ref = await held(system)
        ref.tell(Item(number=0))
        ref.tell(Item(number=1))
        Sink.gate.set()
        await system.idle()
        assert await ref.ask(Items()) == [0, 1]


async def test_a_cancelled_waiter_leaves_its_tell_in_line(ground: Ground) -> None:
    """The tell took effect when it was called; its receipt is only a view on it."""
    async with ground.node(tree(sink(1))) as system:
        ref = await held(system)
        ref.tell(Item(number=0))
        waits = task(ref.tell(Item(number=1)))
        await asyncio.sleep(0)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        Sink.gate.set()
        await system.idle()
        assert await ref.ask(Items()) == [0, 1]


async def test_the_stop_refuses_who_waits_in_line(ground: Ground) -> None:
    async with ground.node(tree(sink(1))) as system:
        ref = await held(system)
        await ref.tell(Item(number=0))
        waits = task(ref.tell(Item(number=1)))
        await asyncio.sleep(0)
        stop = asyncio.ensure_future(system.stop())
        with pytest.raises(SystemStopped) as caught:
            await waits
        assert caught.value.undelivered == Item(number=1)
        Sink.gate.set()
        await stop
    async with ground.node(tree(sink(1))) as system:
        await system.idle()
        assert await system.ref("/t/sink").ask(Items()) == [0]


async def test_a_broken_store_refuses_who_waits_in_line(ground: Ground) -> None:
    async with ground.node(tree(sink(1))) as system:
        ref = await held(system)
        await ref.tell(Item(number=0))
        waits = task(ref.tell(Item(number=1)))
        await asyncio.sleep(0)
        ground.plan.fail(StoreUnavailable("cable pulled"))
        doomed = task(system.ref("/t/sink").tell(Item(number=5), delay_s=1000))
        await asyncio.wait([doomed])
        assert isinstance(doomed.exception(), StoreUnavailable)
        with pytest.raises(StoreUnavailable) as caught:
            await waits
        assert caught.value.undelivered == Item(number=1)
        Sink.gate.set()
        await system.idle()
        assert await ref.ask(Items()) == [0]


async def test_delayed_tells_need_no_room(ground: Ground) -> None:
    async with ground.node(tree(sink(1))) as system:
        ref = await held(system)
        await ref.tell(Item(number=0))
        await ref.tell(Item(number=1), delay_s=0.001)
        Sink.gate.set()
        await asyncio.sleep(0.02)
        await system.idle()
        assert sorted(await ref.ask(Items())) == [0, 1]


# -- tells in turns -------------------------------------------------------------------------------------


async def test_a_turn_never_blocks_and_its_sender_is_held_back(ground: Ground) -> None:
    async with ground.node(tree(sink(10), Flooder)) as system:
        await held(system)
        for _ in range(5):
            await system.ref("/t/flooder").tell(Flood(count=20, to="/t/sink"))
        await asyncio.sleep(0.02)
        assert Flooder.turns == 1, "over capacity: no next turn"
        Sink.gate.set()
        await system.idle()
        assert Flooder.turns == 5
        assert await system.ref("/t/sink").ask(Items()) == list(range(20)) * 5
        assert Sink.longest <= 10 + 20


class Ping(Message):
    left: int
    other: str


class Pinger(Actor[Seen]):
    @handler
    def ping(self, message: Ping) -> None:
        self.state.items.append(message.left)
        if message.left:
            for _ in range(2):
                self.system.ref(message.other).tell(Ping(left=message.left - 1, other=self.address))


async def test_two_with_full_mailboxes_that_tell_each_other(ground: Ground) -> None:
    spec = tree(
        ChildSpec(id="a", actor=Pinger, capacity=2),
        ChildSpec(id="b", actor=Pinger, capacity=2),
    )
    async with ground.node(spec) as system:
        await system.ref("/t/a").tell(Ping(left=9, other="/t/b"))
        await patient(system.idle())
    assert not ground.rows(MessageRow)


async def test_three_in_a_ring(ground: Ground) -> None:
    spec = tree(*(ChildSpec(id=one, actor=Ring, capacity=1) for one in "abc"))
    async with ground.node(spec) as system:
        for one in "abc":
            system.ref(f"/t/{one}").tell(Item(number=8))
        await patient(system.idle())
    assert not ground.rows(MessageRow)


class Ring(Actor[None]):
    @handler
    def item(self, message: Item) -> None:
        after = {"a": "b", "b": "c", "c": "a"}[self.address[-1]]
        if message.number:
            for _ in range(2):
                self.system.ref(f"/t/{after}").tell(Item(number=message.number - 1))


async def test_one_that_floods_itself(ground: Ground) -> None:
    async with ground.node(tree(ChildSpec(id="flooder", actor=Flooder, capacity=3))) as system:
        await system.ref("/t/flooder").tell(Flood(count=50, to="/t/flooder"))
        await patient(system.idle())


class Mortal(Actor[None]):
    max_attempts = 1

    @handler
    def item(self, message: Item) -> None:
        if message.number == 0:
            self.stop()

    @handler
    async def hold(self, message: Hold) -> None:
        await Sink.gate.wait()
        self.stop()


async def test_a_sender_isnt_held_back_by_one_that_has_stopped(ground: Ground) -> None:
    spec = tree(ChildSpec(id="mortal", actor=Mortal, capacity=1, restart="transient"), Flooder)
    async with ground.node(spec) as system:
        await system.ref("/t/mortal").tell(Hold())
        for _ in range(3):
            await system.ref("/t/flooder").tell(Flood(count=5, to="/t/mortal"))
        await asyncio.sleep(0.02)
        assert Flooder.turns == 1
        Sink.gate.set()
        await patient(system.idle())
        assert Flooder.turns == 3
    assert len(ground.rows(MessageRow)) == 15


# -- run-ahead ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["turns", "bytes"])
async def test_the_run_ahead_is_bounded(ground: Ground, limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "AHEAD_TURNS_MAX", 40 if limit == "turns" else 10**9)
    monkeypatch.setattr(order, "AHEAD_BYTES_MAX", 10**12 if limit == "turns" else 40 * 1000)
    async with ground.node(tree(Endless)) as system:
        Endless.turns = 0
        Endless.going = True
        ground.plan.hold()
        system.ref("/t/endless").tell(Item(number=1))
        await ground.plan.arrived()
        in_flight = Endless.turns
        stopped_at = -1
        async with patience():
            while not system.kernel.commits.behind or stopped_at != Endless.turns:
                stopped_at = Endless.turns
                for _ in range(50):
                    await asyncio.sleep(0)
        assert stopped_at - in_flight < 200
        ground.plan.release()
        async with patience():
            while Endless.turns == stopped_at:
                await asyncio.sleep(0)
        Endless.going = False
        await system.idle()


class Endless(Actor[Seen]):
    turns = 0
    going = True

    @handler
    def item(self, message: Item) -> None:
        Endless.turns += 1
        self.state.items = [Endless.turns] * 100
        if Endless.going:
            self.ref.tell(Item(number=1))
