"""Messages and states are what their bytes say, and what can't be told is refused at the tell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from grounds import Ground, pool, tree
from turn_actors import FAST, Add, Adder, Steps, Sum, Total

from greenroom import Actor, ActorNotFound, ActorRef, Message, NotAMessage, Retry, UndecodableMessage, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow
from greenroom.testing import Recorder

# -- bytes are the truth --------------------------------------------------------------------------------


class Basket(Message):
    items: list[int]
    fail: int = 0


class Picker(Actor[Sum]):
    backoff = FAST
    max_attempts = 5

    @handler
    def pick(self, message: Basket) -> None:
        self.state.steps.append(message.items.pop())
        if self.turn.attempt <= message.fail:
            raise Retry(after_s=0)

    @handler
    def steps(self, message: Steps) -> list[int]:
        return self.state.steps


async def test_a_mutable_message_is_copied_at_the_tell(ground: Ground) -> None:
    async with ground.node(tree(Picker)) as system:
        basket = Basket(items=[1, 2])
        receipt = system.ref("/t/picker").tell(basket)
        basket.items.append(3)
        await receipt
        await system.idle()
        assert await system.ref("/t/picker").ask(Steps()) == [2]
        assert basket.items == [1, 2, 3]


async def test_each_attempt_gets_the_message_as_it_was_told(ground: Ground) -> None:
    async with ground.node(tree(Picker)) as system:
        await system.ref("/t/picker").tell(Basket(items=[1, 2, 3], fail=2))
        await system.idle()
        assert await system.ref("/t/picker").ask(Steps()) == [3]


class Put(Message):
    value: Any


class Measures(msgspec.Struct):
    number: float = 0.0
    maybe: float | None = None
    names: dict[str, int] = {}


class Gauge(Actor[Measures]):
    max_attempts = 1

    @handler
    def put(self, message: Put) -> None:
        match message.value:
            case "nan":
                self.state.number = float("nan")
            case "infinity":
                self.state.number = float("inf")
            case "maybe":
                self.state.maybe = float("nan")
            case "type":
                self.state.number = "x"  # type: ignore[assignment]
            case "object":
                self.state.names["a"] = object()  # type: ignore[assignment]
            case "other":
                self.state = Sum(total=3)  # type: ignore[assignment]
            case "key":
                self.state.names[3] = 1  # type: ignore[index]
            case "surrogate":
                self.state.names["\ud800"] = 1
            case value:
                self.state.number = value

    @handler
    def total(self, message: Total) -> int:
        return int(self.state.number)


@pytest.mark.parametrize("value", ["nan", "infinity", "maybe", "type", "object", "other", "surrogate"])
async def test_a_state_that_does_not_round_trip_fails_its_turn(ground: Ground, value: str) -> None:
    async with ground.node(tree(Gauge)) as system:
        gauge = system.ref("/t/gauge")
        await gauge.tell(Put(value=4))
        await gauge.tell(Put(value=value))
        await system.idle()
        assert await gauge.ask(Total()) == 4
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.error.endswith("StateError")
    (row,) = ground.rows(ActorRow)
    assert msgspec.json.decode(row.state)["number"] == 4


# -- what can't be told ---------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [None, 5, "Add", {"amount": 5}, Add, object(), Sum(total=1)])
async def test_only_messages_can_be_told(memory: Ground, what: Any) -> None:
    async with memory.node(tree(Adder)) as system:
        with pytest.raises(NotAMessage):
            system.ref("/t/adder").tell(what)
        with pytest.raises(NotAMessage):
            await system.ref("/t/adder").ask(what)


class TellWrong(Message):
    pass


class WrongTeller(Actor[None]):
    max_attempts = 1

    @handler
    def go(self, message: TellWrong) -> None:
        self.ref.tell("no message")  # type: ignore[arg-type]


async def test_in_a_turn_too(memory: Ground) -> None:
    async with memory.node(tree(WrongTeller)) as system:
        await system.ref("/t/wrongteller").tell(TellWrong())
        await system.idle()
    (letter,) = memory.rows(DeadLetterRow)
    assert letter.error.endswith("NotAMessage")


async def test_a_message_with_a_wrong_value_is_refused_at_the_tell(ground: Ground) -> None:
    async with ground.node(tree(Adder)) as system:
        with pytest.raises(UndecodableMessage, match="amount"):
            system.ref("/t/adder").tell(Add(amount="five"))  # type: ignore[arg-type]
        with pytest.raises(UndecodableMessage):
            system.ref("/t/adder").tell(Add(amount=object()))  # type: ignore[arg-type]
        await system.idle()
    assert not ground.rows(DeadLetterRow)


@pytest.mark.parametrize(
    "options",
    [
        {"key": 5},
        {"key": "\ud800"},
        {"priority": 1.5},
        {"priority": "high"},
        {"delay_s": float("nan")},
        {"delay_s": float("inf")},
        {"delay_s": -1.0},
        {"delay_s": "soon"},
    ],
    ids=str,
)
async def test_wrong_options_are_refused_at_the_tell_and_hurt_nobody(ground: Ground, options: dict[str, Any]) -> None:
    async with ground.node(tree(Adder)) as system:
        events = Recorder(system)
        adder = system.ref("/t/adder")
        other = adder.tell(Add(amount=1))
        with pytest.raises((TypeError, ValueError)):
            await adder.tell(Add(amount=2), **options)
        await other
        await system.idle()
        assert await adder.ask(Steps()) == [1]
        assert not events.of("node.broken")


@pytest.mark.parametrize("address", ["", "t/adder", "/t/adder/", "/", "/t/nobody", "/x", "//", "/t//adder", 5])
async def test_addresses_that_nobody_has(memory: Ground, address: Any) -> None:
    async with memory.node(tree(Adder)) as system:
        with pytest.raises(ActorNotFound):
            system.ref(address).tell(Add(amount=1))


@pytest.mark.parametrize("key", ["a/b", "", "\n", "\ud800", "x" * 201, "\x00"])
async def test_keys_that_are_none(ground: Ground, key: str) -> None:
    async with ground.node(tree(pool(Adder))) as system:
        with pytest.raises(ActorNotFound):
            system.ref(f"/t/pool/{key}").tell(Add(amount=1))


@pytest.mark.parametrize("key", ["a", "ü", "日本", "x" * 200, "..", "%2f", "a b", "'; DROP TABLE message"])
async def test_keys_that_are_some(ground: Ground, key: str) -> None:
    for life in (1, 2):
        async with ground.node(tree(pool(Adder))) as system:
            ref: ActorRef = system.ref(f"/t/pool/{key}")
            await ref.tell(Add(amount=1))
            await system.idle()
            assert await ref.ask(Total()) == life
