"""Asks between actors: circles, order, and those who are not there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from ask_actors import (
    FRONTS,
    AskMany,
    AskOf,
    AskThenTell,
    Basket,
    Block,
    Caught,
    Chain,
    Counter,
    Front,
    Get,
    Raise,
    TellThenAsk,
)
from grounds import Ground, pool, tree
from patience import patient

from greenroom import (
    Actor,
    ActorNotFound,
    AskFailed,
    Backoff,
    ChildSpec,
    Ignore,
    StartFailed,
    SystemStopped,
    TurnClosed,
    handler,
)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Counter.gate = asyncio.Event()
    Counter.asked = []
    Counter.basket = Basket(items=[1, 2])


# -- between actors -------------------------------------------------------------------------------------


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
            await patient(queued)
