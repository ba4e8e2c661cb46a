"""Asks: replies, gates, time limits, circles, order."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, pool, tree

from understudy import (
    Actor,
    ActorNotFound,
    AskAfterTell,
    AskCycle,
    AskFailed,
    AskTimeout,
    Backoff,
    ChildSpec,
    Ignore,
    MailboxFull,
    Message,
    NotAMessage,
    Reject,
    Request,
    StartFailed,
    StoreFull,
    SystemStopped,
    TurnClosed,
    UnhandledMessage,
    handler,
)
from understudy.actors.testing import Recorder
from understudy.persistence.record import DeadLetterRow, MessageRow


class Raise(Request[int]):
    by: int


class Get(Request[int]):
    pass


class Fail(Request[int]):
    how: str = "error"


class Unknown(Request[int]):
    pass


class Basket(Message):
    items: list[int]


class Look(Request[Basket]):
    pass


class Swap(Request[list[int]]):
    items: list[int]


class Wrong(Request[int]):
    value: Any


class Block(Message):
    pass


class Count(msgspec.Struct):
    value: int = 0


class Counter(Actor[Count]):
    gate: asyncio.Event
    basket = Basket(items=[1, 2])
    asked: list[str] = []
    backoff = Backoff(initial_s=0.001, factor=1.0)

    @handler
    def raise_by(self, request: Raise) -> int:
        self.state.value += request.by
        return self.state.value

    @handler
    def get(self, request: Get) -> int:
        Counter.asked.append("get")
        return self.state.value

    @handler
    async def fail(self, request: Fail) -> int:
        self.state.value = -1
        if request.how == "late":
            await asyncio.sleep(0)
        if request.how == "reject":
            raise Reject("no")
        raise RuntimeError("broken")

    @handler
    def look(self, request: Look) -> Basket:
        return Counter.basket

    @handler
    def swap(self, request: Swap) -> list[int]:
        request.items.append(9)
        return request.items

    @handler
    def wrong(self, request: Wrong):  # type: ignore[no-untyped-def]
        match request.value:
            case "object":
                return object()
            case "nan":
                return float("nan")
            case value:
                return value

    @handler
    async def block(self, message: Block) -> None:
        await Counter.gate.wait()


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
        for _ in range(50):
            await asyncio.sleep(0)
        assert Counter.asked == ["get"], "it runs ahead of the disk"
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


# -- between actors -------------------------------------------------------------------------------------


class AskOf(Request[int]):
    address: str


class Chain(Request[str]):
    """Ask the next of these addresses the same with the rest of them."""

    path: list[str]


class TellThenAsk(Request[str]):
    pass


class AskThenTell(Request[int]):
    pass


class LookAndChange(Request[int]):
    pass


class Wait(Request[int]):
    pass


class AskMany(Request[list[int]]):
    pass


class Caught(Request[str]):
    pass


class Front(Actor[Count]):
    leftover: asyncio.Task[Any]

    @handler
    async def ask_of(self, request: AskOf) -> int:
        return await self.system.ref(request.address).ask(Raise(by=1))

    @handler
    async def chain(self, request: Chain) -> str:
        if not request.path:
            return "end"
        first, *rest = request.path
        try:
            return await self.system.ref(first).ask(Chain(path=rest))
        except AskCycle as error:
            return " ".join(error.path)

    @handler
    async def tell_then_ask(self, request: TellThenAsk) -> str:
        to = self.system.ref("/t/counter")
        to.tell(Raise(by=1))
        try:
            await to.ask(Get())
        except AskAfterTell as error:
            return error.address
        return "?"

    @handler
    async def ask_then_tell(self, request: AskThenTell) -> int:
        to = self.system.ref("/t/counter")
        before = await to.ask(Get())
        to.tell(Raise(by=1))
        return before

    @handler
    async def look(self, request: LookAndChange) -> int:
        basket = await self.system.ref("/t/counter").ask(Look())
        basket.items.append(7)
        return len(basket.items)

    @handler
    async def wait(self, request: Wait) -> int:
        await Counter.gate.wait()
        return 1

    @handler
    async def many(self, request: AskMany) -> list[int]:
        to = self.system.ref("/t/counter")
        return sorted(await asyncio.gather(*(to.ask(Raise(by=1)) for _ in range(5))))

    @handler
    async def caught(self, request: Caught) -> str:
        try:
            await self.system.ref("/t/counter").ask(Fail())
        except AskFailed as error:
            self.state.value = 1
            return error.reason.text
        return "?"

    @handler
    def late(self, message: Block) -> None:
        async def ask() -> int:
            await Counter.gate.wait()
            return await self.system.ref("/t/counter").ask(Get())

        Front.leftover = asyncio.create_task(ask())


FRONTS = [("a", Front), ("b", Front), ("c", Front)]


async def test_an_actor_asks_another(ground: Ground) -> None:
    async with ground.node(tree(Counter, Front)) as system:
        assert await system.ref("/t/front").ask(AskOf(address="/t/counter")) == 1
        assert await system.ref("/t/front").ask(AskMany()) == [2, 3, 4, 5, 6]


async def test_the_asker_carries_on_after_a_failed_ask(ground: Ground) -> None:
    async with ground.node(tree(Counter, Front)) as system:
        assert await system.ref("/t/front").ask(Caught()) == "broken"


async def test_replies_inside_skip_the_gate_and_the_asker_rests_on_them(ground: Ground) -> None:
    async with ground.node(tree(Counter, Front)) as system:
        ground.plan.hold()
        ask = asyncio.create_task(system.ref("/t/front").ask(AskOf(address="/t/counter")))
        await ground.plan.arrived()
        for _ in range(30):
            await asyncio.sleep(0)
        assert not ask.done()
        ground.plan.release()
        assert await ask == 1


async def test_an_ask_after_a_tell_to_the_same_actor(ground: Ground) -> None:
    async with ground.node(tree(Counter, Front)) as system:
        assert await system.ref("/t/front").ask(TellThenAsk()) == "/t/counter"
        assert await system.ref("/t/front").ask(AskThenTell()) == 1
        await system.idle()
        assert await system.ref("/t/counter").ask(Get()) == 2


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (["/t/b", "/t/c"], "end"),
        (["/t/a"], "/t/a /t/a"),
        (["/t/b", "/t/a"], "/t/b /t/a /t/b"),
        (["/t/b", "/t/c", "/t/a"], "/t/c /t/a /t/b /t/c"),
        (["/t/b", "/t/c", "/t/b"], "/t/c /t/b /t/c"),
        (["/t/b", "/t/b"], "/t/b /t/b"),
    ],
)
async def test_circles_are_named_at_once(ground: Ground, path: list[str], answer: str) -> None:
    async with ground.node(tree(*FRONTS)) as system:
        assert await system.ref("/t/a").ask(Chain(path=path)) == answer
        await system.idle()


async def test_two_that_ask_each_other_at_the_same_time(ground: Ground) -> None:
    async with ground.node(tree(*FRONTS)) as system:
        found = await asyncio.gather(
            system.ref("/t/a").ask(Chain(path=["/t/b"])), system.ref("/t/b").ask(Chain(path=["/t/a"]))
        )
        assert "end" in found, "one of them gets through"
        assert set(found) & {"/t/a /t/b /t/a", "/t/b /t/a /t/b"}


async def test_a_circle_through_an_activation(ground: Ground) -> None:
    """The asked one starts, and asks its asker in `on_start`."""
    async with ground.node(tree(pool(AsksBack), Front)) as system:
        with pytest.raises(AskFailed) as caught:
            await system.ref("/t/front").ask(AskOf(address="/t/pool/x"))
        assert "AskCycle" in caught.value.reason.traceback
        assert "/t/pool/x -> /t/front -> /t/pool/x" in caught.value.reason.traceback


class AsksBack(Actor[None]):
    async def on_start(self) -> None:
        await self.system.ref("/t/front").ask(Chain(path=[]))

    @handler
    def raise_by(self, request: Raise) -> int:
        return 0


class AsksAddress(Actor[None]):
    def __init__(self, *, address: str) -> None:
        self.to = address

    async def on_start(self) -> None:
        await self.system.ref(self.to).ask(Get())


@pytest.mark.parametrize("to", ["/t", "/t/asker", "/t/later"])
async def test_a_start_that_waits_for_what_waits_for_it(memory: Ground, to: str) -> None:
    """Its supervisor, itself, and a sibling that starts only after it: at once, not after the time limit."""
    asker = ChildSpec(id="asker", actor=AsksAddress, args={"address": to})
    with pytest.raises(StartFailed) as caught:
        async with memory.node(tree(asker, ("later", Counter))):
            pass
    assert "AskCycle" in caught.value.reason.traceback


async def test_a_start_may_ask_an_earlier_sibling(ground: Ground) -> None:
    asker = ChildSpec(id="asker", actor=AsksAddress, args={"address": "/t/earlier"})
    async with ground.node(tree(("earlier", Counter), asker)):
        assert Counter.asked == ["get"]


async def test_a_start_may_ask_into_a_pool(ground: Ground) -> None:
    asker = ChildSpec(id="asker", actor=AsksAddress, args={"address": "/t/pool/x"})
    async with ground.node(tree(pool(Counter), asker)):
        assert Counter.asked == ["get"]


async def test_an_ask_after_the_turn(ground: Ground) -> None:
    async with ground.node(tree(Counter, Front)) as system:
        await system.ref("/t/front").tell(Block())
        await system.idle()
        Counter.gate.set()
        with pytest.raises(TurnClosed):
            await Front.leftover


# -- who isn't there ------------------------------------------------------------------------------------


class Unwilling(Actor[None]):
    async def on_start(self) -> None:
        raise Ignore("not today")

    @handler
    def get(self, request: Get) -> int:
        return 1


class Broken(Actor[None]):
    max_attempts = 2
    backoff = Backoff(initial_s=0.001)

    async def on_start(self) -> None:
        raise OSError("no cable")

    @handler
    def get(self, request: Get) -> int:
        return 1


async def test_asking_one_that_ignored_its_start(ground: Ground) -> None:
    async with ground.node(tree(Unwilling)) as system:
        with pytest.raises(ActorNotFound):
            await system.ref("/t/unwilling").ask(Get())


@pytest.mark.parametrize("actor", [Unwilling, Broken])
async def test_asking_one_whose_activation_fails(ground: Ground, actor: Any) -> None:
    async with ground.node(tree(pool(actor))) as system:
        for _ in range(3):
            with pytest.raises((AskFailed, ActorNotFound)) as caught:
                await system.ref("/t/pool/x").ask(Get())
            if actor is Broken:
                assert isinstance(caught.value, AskFailed)
                assert "no cable" in caught.value.reason.text
        await system.idle()


async def test_asking_a_stopped_system(memory: Ground) -> None:
    async with memory.node(tree(Counter)) as system:
        counter = system.ref("/t/counter")
    with pytest.raises(SystemStopped):
        await counter.ask(Get())


async def test_the_stop_answers_whoever_still_waits(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Counter), runtime=clock) as system:
        counter = system.ref("/t/counter")
        await counter.tell(Block())
        queued = asyncio.create_task(counter.ask(Get(), timeout_s=1000))
        await clock.settle()
        stop = asyncio.create_task(system.stop())
        await clock.advance(20)
        await stop
        with pytest.raises((SystemStopped, ActorNotFound, AskFailed)):
            await asyncio.wait_for(queued, 1)
