"""`durable=False`: no rows, no commits, the shortest way; the rules of turns, order and supervision hold."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree

from greenroom import (
    Actor,
    AskFailed,
    Backoff,
    ChildSpec,
    ExitReason,
    MailboxFull,
    Message,
    Reject,
    Request,
    Retry,
    TurnClosed,
    handler,
)
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


class Put(Message):
    number: int
    how: str = ""


class Basket(Message):
    items: list[int]


class Later(Message):
    number: int


class Numbers(Request[list[int]]):
    pass


class Add(Request[int]):
    number: int
    how: str = ""


class Forward(Message):
    to: str
    numbers: list[int]


class Memory(msgspec.Struct):
    numbers: list[int] = []


class Light(Actor[Memory]):
    durable = False
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 3
    gate: asyncio.Event
    kept: Any = None

    @handler
    def put(self, message: Put) -> None:
        match message.how:
            case "raise":
                raise RuntimeError(message.number)
            case "once" if self.turn.attempt == 1:
                raise Retry(after_s=0)
            case "reject":
                raise Reject
            case "stop":
                self.stop()
            case "keep":
                Light.kept = self.turn
        self.state.numbers.append(message.number)

    @handler
    async def later(self, message: Later) -> None:
        await Light.gate.wait()
        self.state.numbers.append(message.number)

    @handler
    def basket(self, message: Basket) -> None:
        self.state.numbers.append(message.items.pop())

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state.numbers

    @handler
    def add(self, request: Add) -> int:
        if request.how:
            raise RuntimeError(request.how)
        self.state.numbers.append(request.number)
        return sum(self.state.numbers)

    @handler
    def forward(self, message: Forward) -> None:
        for number in message.numbers:
            self.system.ref(message.to).tell(Put(number=number))


@pytest.fixture(autouse=True)
def fresh() -> None:
    Light.gate = asyncio.Event()
    Light.kept = None


async def numbers(system: Any, address: str = "/t/light") -> list[int]:
    await system.idle()
    found: list[int] = await system.ref(address).ask(Numbers())
    return found


async def test_nothing_of_it_is_stored(ground: Ground) -> None:
    async with ground.node(tree(Light)) as system:
        for number in range(100):
            receipt = system.ref("/t/light").tell(Put(number=number))
            assert receipt.committed
            await receipt
        assert await numbers(system) == list(range(100))
    assert not ground.rows(MessageRow)
    assert not [row for row in ground.rows(ActorRow) if row.address == "/t/light"]
    async with ground.node(tree(Light)) as system:
        assert await numbers(system) == []


async def test_order_with_priorities_and_asks_between(memory: MemoryGround) -> None:
    async with memory.node(tree(Light)) as system:
        light = system.ref("/t/light")
        light.tell(Later(number=0))
        await asyncio.sleep(0)
        for number in range(1, 6):
            light.tell(Put(number=number))
            light.tell(Put(number=10 * number), priority=3)
        asks = [asyncio.ensure_future(light.ask(Add(number=100 * number))) for number in range(1, 4)]
        await asyncio.sleep(0)
        for number in range(6, 100):
            light.tell(Put(number=number))
        Light.gate.set()
        found = await numbers(system)
        await asyncio.gather(*asks)
        assert found[0] == 0
        plain = [number for number in found if number < 10 or number % 10]
        assert plain == sorted(plain)
        assert found[1:6] == [10, 20, 30, 40, 50]
        assert [number for number in found if number >= 100] == [100, 200, 300]


@pytest.mark.parametrize("place", [0, 1, 31, 32, 33, 63, 64, 65, 99])
@pytest.mark.parametrize("how", ["raise", "once", "reject", "stop"])
async def test_one_odd_message_among_many(memory: MemoryGround, how: str, place: int) -> None:
    """Wherever in a run of messages it stands, every other one is handled once, in order."""
    spec = tree(ChildSpec(id="light", actor=Light, max_attempts=1 if how == "raise" else 3), intensity=100)
    async with memory.node(spec) as system:
        light = system.ref("/t/light")
        light.tell(Later(number=-1))
        await asyncio.sleep(0)
        for number in range(100):
            light.tell(Put(number=number, how=how if number == place else ""))
        Light.gate.set()
        found = await numbers(system)
    rest = [number for number in found if number not in (-1, place)]
    if how == "once":
        assert rest == [number for number in range(100) if number != place]
        assert found.count(place) == 1
    elif how == "reject":
        assert found == [-1, *(number for number in range(100) if number != place)]
    else:
        assert rest == sorted(rest)
        assert found == list(range(place + 1, 100)), "a restart gives fresh state"
    assert len(memory.rows(DeadLetterRow)) == (0 if how in ("once", "stop") else 1)


async def test_a_failure_of_many_comes_to_an_end(memory: MemoryGround) -> None:
    async with memory.node(tree(Light, intensity=10_000)) as system:
        events = Recorder(system)
        for number in range(50):
            system.ref("/t/light").tell(Put(number=number, how="raise"))
        assert await numbers(system) == []
        assert len(events.of("message.parked")) == 50
        assert len(events.of("actor.exited")) == 150
    letters = memory.rows(DeadLetterRow)
    assert sorted(msgspec.json.decode(letter.body)["number"] for letter in letters) == list(range(50))


async def test_mutable_messages_are_copies(memory: MemoryGround) -> None:
    async with memory.node(tree(Light)) as system:
        basket = Basket(items=[1, 2, 3])
        system.ref("/t/light").tell(basket)
        basket.items.clear()
        assert await numbers(system) == [3]


async def test_mutable_replies_are_copies(memory: MemoryGround) -> None:
    async with memory.node(tree(Light)) as system:
        light = system.ref("/t/light")
        await light.ask(Add(number=1))
        (await light.ask(Numbers())).append(5)
        assert await light.ask(Numbers()) == [1]


async def test_asks(memory: MemoryGround) -> None:
    async with memory.node(tree(Light, intensity=100)) as system:
        light = system.ref("/t/light")
        assert [await light.ask(Add(number=number)) for number in range(5)] == [0, 1, 3, 6, 10]
        with pytest.raises(AskFailed, match="nope"):
            await light.ask(Add(number=1, how="nope"))
        found = await asyncio.gather(*(light.ask(Add(number=1)) for _ in range(200)))
        assert found == list(range(1, 201))


async def test_from_memory_to_disk_and_back(ground: Ground) -> None:
    async with ground.node(tree(Light, ("stored", Stored))) as system:
        for batch in range(20):
            system.ref("/t/light").tell(Forward(to="/t/stored", numbers=[batch * 2, batch * 2 + 1]))
        await system.idle()
        assert await numbers(system, "/t/stored") == list(range(40))
        await system.ref("/t/stored").tell(Forward(to="/t/light", numbers=[7, 8]))
        assert await numbers(system) == [7, 8]
    async with ground.node(tree(Light, ("stored", Stored))) as system:
        assert await numbers(system, "/t/stored") == list(range(40))


class Stored(Light):
    durable = True


async def test_a_turn_that_fails_takes_its_tells_back(ground: Ground) -> None:
    async with ground.node(tree(("f", FailsAfterTelling), ("stored", Stored), intensity=100)) as system:
        await system.ref("/t/f").tell(Put(number=5))
        assert await numbers(system, "/t/stored") == [5]


class FailsAfterTelling(Actor[None]):
    durable = False
    backoff = Backoff(initial_s=0.001)

    @handler
    def put(self, message: Put) -> None:
        self.system.ref("/t/stored").tell(message)
        if self.turn.attempt < 3:
            raise RuntimeError


async def test_capacity(memory: MemoryGround) -> None:
    spec = tree(
        ChildSpec(id="light", actor=Light, capacity=5, overflow="reject"),
        ChildSpec(id="waits", actor=Light, capacity=5),
    )
    async with memory.node(spec) as system:
        for address in ("/t/light", "/t/waits"):
            system.ref(address).tell(Later(number=0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for address in ("/t/light", "/t/waits"):
            for number in range(1, 6):
                system.ref(address).tell(Put(number=number))
        with pytest.raises(MailboxFull) as caught:
            system.ref("/t/light").tell(Put(number=6))
        assert caught.value.undelivered == Put(number=6)
        late = [system.ref("/t/waits").tell(Put(number=number)) for number in range(6, 9)]
        Light.gate.set()
        for receipt in late:
            await receipt
        assert await numbers(system) == list(range(6))
        assert await numbers(system, "/t/waits") == list(range(9))


async def test_the_turn_is_closed_afterwards(memory: MemoryGround) -> None:
    async with memory.node(tree(Light)) as system:
        for number in range(3):
            system.ref("/t/light").tell(Put(number=number, how="keep" if number == 1 else ""))
        await system.idle()
        with pytest.raises(TurnClosed):
            Light.kept.check_open()
        with pytest.raises(TurnClosed):
            await Light.kept.settled()


async def test_delays_and_pools(memory: MemoryGround, clock: VirtualRuntime) -> None:
    template = ChildSpec(id="light", actor=Light, idle_timeout_s=10.0)
    async with memory.node(tree(pool(template)), runtime=clock) as system:
        x = system.ref("/t/pool/x")
        x.tell(Put(number=1))
        x.tell(Put(number=2), delay_s=5.0)
        await clock.advance(6)
        assert await x.ask(Numbers()) == [1, 2]
        await clock.advance(60)
        assert "/t/pool/x" not in system.kernel.cells
        assert await x.ask(Numbers()) == [], "it had nothing but memory"


async def test_a_time_limit(memory: MemoryGround, clock: VirtualRuntime) -> None:
    spec = tree(ChildSpec(id="light", actor=Light, handler_timeout_s=1.0, max_attempts=1))
    async with memory.node(spec, runtime=clock) as system:
        system.ref("/t/light").tell(Later(number=1))
        system.ref("/t/light").tell(Put(number=2))
        await clock.advance(5)
        await clock.run(system.idle())
        assert await system.ref("/t/light").ask(Numbers()) == [2]


async def test_many_senders_many_receivers(memory: MemoryGround) -> None:
    """Runs of light turns take turns: nobody starves, nothing is lost."""
    names = [f"l{number}" for number in range(10)]
    async with memory.node(tree(*((name, Light) for name in names))) as system:

        async def send(me: int) -> None:
            for number in range(200):
                system.ref(f"/t/{names[(me + number) % 10]}").tell(Put(number=me * 1000 + number))
                if number % 50 == 0:
                    await asyncio.sleep(0)

        await asyncio.gather(*(send(me) for me in range(10)))
        everything: list[int] = []
        for name in names:
            found = await numbers(system, f"/t/{name}")
            for me in range(10):
                mine = [number for number in found if number // 1000 == me]
                assert mine == sorted(mine)
            everything += found
        assert len(everything) == len(set(everything)) == 2000


async def test_on_stop_sees_the_state(memory: MemoryGround) -> None:
    seen: list[list[int]] = []
    Stopping.seen = seen
    async with memory.node(tree(Stopping)) as system:
        await system.ref("/t/stopping").tell(Put(number=3))
        await system.idle()
    assert seen == [[3]]


class Stopping(Light):
    seen: list[list[int]]

    async def on_stop(self, reason: ExitReason) -> None:
        Stopping.seen.append(list(self.state.numbers))
