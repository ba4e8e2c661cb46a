"""Idempotency keys: the same key to the same mailbox counts once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, SqliteGround, pool, tree

from greenroom import Actor, Backoff, ChildSpec, KeyConflict, Message, Request, Retry, Settings, StoreFull, handler
from greenroom.persistence.store.rows import DeadLetterRow, KeyRow, MessageRow
from greenroom.testing import Recorder


class Pay(Message):
    amount: int


class Paid(Request[list[int]]):
    pass


class Book(msgspec.Struct):
    paid: list[int] = []


class Shop(Actor[Book]):
    gate: asyncio.Event

    @handler
    async def pay(self, message: Pay) -> None:
        if message.amount < 0:
            await Shop.gate.wait()
            return
        self.state.paid.append(message.amount)

    @handler
    def paid(self, request: Paid) -> list[int]:
        return self.state.paid


class PayAll(Message):
    keys: list[str]
    amount: int = 1
    fail: int = 0


class Buyer(Actor[None]):
    backoff = Backoff(initial_s=0.001, factor=1.0)

    @handler
    async def pay_all(self, message: PayAll) -> None:
        for key in message.keys:
            self.system.ref("/t/shop").tell(Pay(amount=message.amount), key=key)
        if self.turn.attempt <= message.fail:
            raise Retry(after_s=0)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Shop.gate = asyncio.Event()


async def paid(system: Any) -> list[int]:
    await system.idle()
    return await system.ref("/t/shop").ask(Paid())


async def test_twice_counts_once(ground: Ground) -> None:
    async with ground.node(tree(Shop)) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=1), key="a")
        await shop.tell(Pay(amount=1), key="a")
        await shop.tell(Pay(amount=1), key="b")
        await shop.tell(Pay(amount=1))
        assert await paid(system) == [1, 1, 1]


async def test_the_same_key_to_another_mailbox(ground: Ground) -> None:
    async with ground.node(tree(Shop, pool(Shop))) as system:
        await system.ref("/t/shop").tell(Pay(amount=1), key="a")
        await system.ref("/t/pool/x").tell(Pay(amount=2), key="a")
        assert await paid(system) == [1]
        assert await system.ref("/t/pool/x").ask(Paid()) == [2]


async def test_at_the_same_time(ground: Ground) -> None:
    async with ground.node(tree(Shop)) as system:
        shop = system.ref("/t/shop")
        await asyncio.gather(*(_tell(shop, "a") for _ in range(20)))
        assert await paid(system) == [1]


async def _tell(ref: Any, key: str) -> None:
    await ref.tell(Pay(amount=1), key=key)


async def test_another_body_under_the_key(ground: Ground) -> None:
    async with ground.node(tree(Shop)) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=1), key="a")
        with pytest.raises(KeyConflict) as caught:
            await shop.tell(Pay(amount=2), key="a")
        assert (caught.value.address, caught.value.key) == ("/t/shop", "a")
        assert await paid(system) == [1]


async def test_across_lives(ground: Ground) -> None:
    for _ in range(3):
        async with ground.node(tree(Shop)) as system:
            shop = system.ref("/t/shop")
            await shop.tell(Pay(amount=1), key="a")
            with pytest.raises(KeyConflict):
                await shop.tell(Pay(amount=2), key="a")
            assert await paid(system) == [1]


async def test_until_the_retention_is_over(memory: Ground, clock: Any) -> None:
    settings = Settings(key_retention_s=100.0, inbox_poll_s=1e9)
    async with memory.node(tree(Shop), runtime=clock, settings=settings) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=1), key="a")
        await clock.advance(99)
        await shop.tell(Pay(amount=1), key="a")
        await clock.advance(2)
        await shop.tell(Pay(amount=2), key="a")
        assert await paid(system) == [1, 2]
        await clock.advance(1000)
    async with memory.node(tree(Shop), runtime=clock, settings=settings) as system:
        await system.idle()
    assert not memory.rows(KeyRow), "expired ones are swept at boot"


async def test_a_repeated_tell_is_acknowledged_only_when_the_first_is_on_disk(ground: Ground) -> None:
    async with ground.node(tree(Shop)) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=9))
        ground.plan.hold()
        first = asyncio.ensure_future(_tell(shop, "a"))
        await ground.plan.arrived()
        second = asyncio.ensure_future(_tell(shop, "a"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        ground.plan.fail(StoreFull("no space"))
        ground.plan.release()
        await asyncio.wait([first, second])
        assert isinstance(first.exception(), StoreFull)
        assert isinstance(second.exception(), StoreFull)
        await system.idle()
        await shop.tell(Pay(amount=1), key="a")
        assert await paid(system) == [9, 1], "a key whose tell was lost is free again"


# -- in turns -------------------------------------------------------------------------------------------


async def test_in_a_turn(ground: Ground) -> None:
    async with ground.node(tree(Shop, Buyer)) as system:
        buyer = system.ref("/t/buyer")
        await buyer.tell(PayAll(keys=["a", "a", "b"]))
        await buyer.tell(PayAll(keys=["b", "c"]))
        await system.idle()
        await system.ref("/t/shop").tell(Pay(amount=1), key="c")
        assert await paid(system) == [1, 1, 1]


async def test_a_turn_that_fails_uses_no_key_up(ground: Ground) -> None:
    async with ground.node(tree(Shop, Buyer)) as system:
        await system.ref("/t/buyer").tell(PayAll(keys=["a", "b"], fail=3))
        assert await paid(system) == [1, 1]


async def test_a_conflict_in_a_turn_fails_it(ground: Ground) -> None:
    buyer = ChildSpec(id="buyer", actor=Buyer, max_attempts=1)
    async with ground.node(tree(Shop, buyer)) as system:
        await system.ref("/t/shop").tell(Pay(amount=1), key="a")
        await system.ref("/t/buyer").tell(PayAll(keys=["x", "a"], amount=2))
        assert await paid(system) == [1]
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.error.endswith("KeyConflict")


async def test_a_conflict_within_one_turn(ground: Ground) -> None:
    async with ground.node(tree(Shop, ("odd", OddBuyer))) as system:
        await system.ref("/t/odd").tell(PayAll(keys=[]))
        assert await paid(system) == []
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.error.endswith("KeyConflict")


class OddBuyer(Actor[None]):
    max_attempts = 1

    @handler
    def pay_all(self, message: PayAll) -> None:
        self.system.ref("/t/shop").tell(Pay(amount=1), key="a")
        self.system.ref("/t/shop").tell(Pay(amount=2), key="a")


@pytest.mark.parametrize("keys", [["a"], ["a", "b"], ["a", "b", "c"]], ids=len)
async def test_turns_of_two_actors_at_the_same_time(disk: SqliteGround, keys: list[str]) -> None:
    buyers = [(f"b{number}", Buyer) for number in range(5)]
    async with disk.node(tree(Shop, *buyers)) as system:
        for name, _ in buyers:
            system.ref(f"/t/{name}").tell(PayAll(keys=keys))
        assert await paid(system) == [1] * len(keys)


async def test_turns_and_tells_at_the_same_time(disk: SqliteGround) -> None:
    buyers = [(f"b{number}", Buyer) for number in range(3)]
    async with disk.node(tree(Shop, *buyers)) as system:
        shop = system.ref("/t/shop")
        for _ in range(5):
            for name, _ in buyers:
                system.ref(f"/t/{name}").tell(PayAll(keys=["a", "b"]))
            shop.tell(Pay(amount=1), key="a")
            shop.tell(Pay(amount=1), key="b")
            await asyncio.sleep(0.001)
        assert await paid(system) == [1, 1]


async def test_a_key_that_comes_again_while_its_tell_waits_for_room(ground: Ground) -> None:
    spec = tree(ChildSpec(id="shop", actor=Shop, capacity=1), Buyer)
    async with ground.node(spec) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=-1))
        for _ in range(20):
            await asyncio.sleep(0)
        await shop.tell(Pay(amount=5))
        waits = asyncio.ensure_future(_tell(shop, "a"))
        await asyncio.sleep(0.02)
        assert not waits.done()
        await system.ref("/t/buyer").tell(PayAll(keys=["a"]))
        await asyncio.sleep(0.02)
        Shop.gate.set()
        await waits
        assert await paid(system) == [5, 1]


async def test_a_keyed_delayed_tell(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Shop), runtime=clock) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=1), key="a", delay_s=10)
        await shop.tell(Pay(amount=1), key="a", delay_s=10)
        await clock.advance(11)
        assert await paid(system) == [1]


async def test_a_key_for_an_actor_without_rows(memory: Ground) -> None:
    async with memory.node(tree(ChildSpec(id="shop", actor=Shop, durable=False))) as system:
        with pytest.raises(ValueError, match="durable"):
            system.ref("/t/shop").tell(Pay(amount=1), key="a")


async def test_a_keyed_tell_survives_as_often_as_it_was_told(ground: Ground) -> None:
    async with ground.node(tree(Shop)) as system:
        await system.ref("/t/shop").tell(Pay(amount=-1))
        await system.ref("/t/shop").tell(Pay(amount=1), key="a")
        image = ground.image()
        Shop.gate.set()
    assert len(image.rows(MessageRow)) == 2
    async with image.node(tree(Shop)) as system:
        await system.ref("/t/shop").tell(Pay(amount=1), key="a")
        assert await paid(system) == [1]
        events = Recorder(system)
        assert not events.of("message.parked")
