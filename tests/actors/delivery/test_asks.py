"""Asks: replies, gates and time limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ask_actors import Basket, Block, Counter, Fail, Front, Get, Look, LookAndChange, Raise, Swap, Unknown, Wait, Wrong
from grounds import Ground, tree
from patience import patience

from greenroom import AskFailed, AskTimeout, ChildSpec, MailboxFull, NotAMessage, StoreFull, UnhandledMessage
from greenroom.persistence.store.rows import DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> None:
    Counter.gate = asyncio.Event()
    Counter.asked = []
    Counter.basket = Basket(items=[1, 2])


# -- replies --------------------------------------------------------------------------------------------


async def test_the_turn_that_answers_commits_what_it_changed(ground: Ground) -> None:
    async with ground.node(tree(Counter)) as system:
        assert await system.ref("/t/counter").ask(Raise(by=2)) == 2
        image = ground.image()
    async with image.node(tree(Counter)) as system:
        assert await system.ref("/t/counter").ask(Get()) == 2


async def test_a_reply_to_the_outside_waits_for_the_commit(ground: Ground) -> None:
    async with ground.node(tree(Counter)) as system:
        counter = system.ref("/t/counter")
        assert await counter.ask(Raise(by=1)) == 1
        ground.plan.hold()
        ask = asyncio.create_task(counter.ask(Raise(by=1)))
        await ground.plan.arrived()
        reads = asyncio.create_task(counter.ask(Get()))
        async with patience():  # it runs ahead of the disk
            while Counter.asked != ["get"]:
                await asyncio.sleep(0)
        assert not ask.done()
        assert not reads.done(), "it rests on what isn't committed"
        ground.plan.release()
        assert await ask == 2
        assert await reads == 2


@pytest.mark.parametrize("which", ["ask", "reads"])
async def test_a_reply_whose_commit_fails_never_appears(ground: Ground, which: str) -> None:
    async with ground.node(tree(Counter)) as system:
        counter = system.ref("/t/counter")
        assert await counter.ask(Raise(by=1)) == 1
        ground.plan.hold()
        ask = asyncio.create_task(counter.ask(Raise(by=1)))
        await ground.plan.arrived()
        reads = asyncio.create_task(counter.ask(Get()))
        for _ in range(50):
            await asyncio.sleep(0)
        ground.plan.fail(StoreFull("no space"))
        ground.plan.release()
        with pytest.raises(StoreFull):
            await (ask if which == "ask" else reads)
        await asyncio.wait([ask, reads])
        assert isinstance(ask.exception(), StoreFull)
        assert isinstance(reads.exception(), StoreFull)
        await system.idle()
        assert await counter.ask(Get()) == 1


async def test_asks_leave_no_rows(ground: Ground) -> None:
    async with ground.node(tree(Counter)) as system:
        counter = system.ref("/t/counter")
        for _ in range(5):
            await counter.ask(Get())
        with pytest.raises(AskFailed):
            await counter.ask(Fail())
        await system.idle()
    assert not ground.rows(MessageRow)
    assert not ground.rows(DeadLetterRow)


async def test_a_mutable_reply_is_a_copy(ground: Ground) -> None:
    async with ground.node(tree(Counter, ("front", Front))) as system:
        reply = await system.ref("/t/counter").ask(Look())
        assert reply == Basket(items=[1, 2])
        reply.items.append(3)
        assert Counter.basket.items == [1, 2]
        await system.ref("/t/front").ask(LookAndChange())
        assert Counter.basket.items == [1, 2]


async def test_a_mutable_request_is_a_copy(ground: Ground) -> None:
    async with ground.node(tree(Counter)) as system:
        items = [1]
        assert await system.ref("/t/counter").ask(Swap(items=items)) == [1, 9]
        assert items == [1]


@pytest.mark.parametrize("value", ["text", None, 1.5, [1], "object", "nan", True, {"a": 1}], ids=str)
async def test_a_reply_of_another_type_fails_the_ask_and_its_turn(ground: Ground, value: Any) -> None:
    async with ground.node(tree(Counter)) as system:
        with pytest.raises(AskFailed) as caught:
            await system.ref("/t/counter").ask(Wrong(value=value))
        assert caught.value.reason.error.endswith("ReplyError")
        assert "Wrong" in caught.value.reason.text
        assert await system.ref("/t/counter").ask(Wrong(value=3)) == 3


@pytest.mark.parametrize("how", ["error", "late", "reject"])
async def test_a_handler_that_raises_answers_with_the_error(ground: Ground, how: str) -> None:
    async with ground.node(tree(Counter)) as system:
        events = Recorder(system)
        with pytest.raises(AskFailed) as caught:
            await system.ref("/t/counter").ask(Fail(how=how))
        assert caught.value.address == "/t/counter"
        if how == "reject":
            assert "no" in caught.value.reason.text
        else:
            assert (caught.value.reason.error, caught.value.reason.text) == ("RuntimeError", "broken")
            assert "raise RuntimeError" in caught.value.reason.traceback
        assert await system.ref("/t/counter").ask(Get()) == 0, "its state was rolled back"
        await system.idle()
        assert len(events.of("actor.exited")) == (0 if how == "reject" else 1)


async def test_an_unhandled_request(ground: Ground) -> None:
    async with ground.node(tree(Counter)) as system:
        with pytest.raises(UnhandledMessage, match="Unknown"):
            await system.ref("/t/counter").ask(Unknown())
        await system.idle()
    assert not ground.rows(DeadLetterRow), "the asker knows"


async def test_a_message_that_is_no_request(memory: Ground) -> None:
    async with memory.node(tree(Counter)) as system:
        with pytest.raises(NotAMessage):
            await system.ref("/t/counter").ask(Block())  # type: ignore[arg-type]


async def test_a_told_request_is_handled_and_its_reply_dropped(ground: Ground) -> None:
    async with ground.node(tree(Counter)) as system:
        await system.ref("/t/counter").tell(Raise(by=3))
        await system.idle()
        assert await system.ref("/t/counter").ask(Get()) == 3


# -- time -----------------------------------------------------------------------------------------------


async def test_nobody_answers_in_time(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Counter), runtime=clock) as system:
        counter = system.ref("/t/counter")
        await counter.tell(Block())
        ask = asyncio.create_task(counter.ask(Get(), timeout_s=3.0))
        await clock.advance(2.9)
        assert not ask.done()
        await clock.advance(0.2)
        with pytest.raises(AskTimeout) as caught:
            await ask
        assert isinstance(caught.value, TimeoutError)
        assert (caught.value.address, caught.value.request, caught.value.timeout_s) == (
            "/t/counter",
            Get(),
            3.0,
        )
        Counter.gate.set()
        await system.idle()
        assert Counter.asked == [], "an expired ask isn't run"


async def test_a_cancelled_ask_is_not_run(memory: Ground) -> None:
    async with memory.node(tree(Counter)) as system:
        counter = system.ref("/t/counter")
        await counter.tell(Block())
        ask = asyncio.create_task(counter.ask(Get()))
        await asyncio.sleep(0)
        ask.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ask
        Counter.gate.set()
        await system.idle()
        assert Counter.asked == []


async def test_an_ask_that_is_running_when_it_expires(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Counter, Front), runtime=clock) as system:
        ask = asyncio.create_task(system.ref("/t/front").ask(Wait(), timeout_s=1.0))
        await clock.advance(1.1)
        with pytest.raises(AskTimeout):
            await ask
        Counter.gate.set()
        await system.idle()


async def test_a_full_mailbox_and_an_ask(memory: Ground, clock: Any) -> None:
    one = ChildSpec(id="counter", actor=Counter, capacity=1)
    async with memory.node(tree(one), runtime=clock) as system:
        counter = system.ref("/t/counter")
        await counter.tell(Block())
        await clock.settle()
        await counter.tell(Raise(by=1))
        waits = asyncio.create_task(counter.ask(Raise(by=1)))
        times_out = asyncio.create_task(counter.ask(Raise(by=10), timeout_s=1.0))
        await clock.advance(1.5)
        with pytest.raises(AskTimeout):
            await times_out
        assert not waits.done()
        Counter.gate.set()
        assert await waits == 2
        assert await counter.ask(Get()) == 2


async def test_a_full_mailbox_that_rejects(memory: Ground) -> None:
    one = ChildSpec(id="counter", actor=Counter, capacity=1, overflow="reject")
    async with memory.node(tree(one)) as system:
        counter = system.ref("/t/counter")
        await counter.tell(Block())
        await asyncio.sleep(0)
        await counter.tell(Get())
        with pytest.raises(MailboxFull) as caught:
            await counter.ask(Raise(by=1))
        assert caught.value.undelivered == Raise(by=1)
        Counter.gate.set()
