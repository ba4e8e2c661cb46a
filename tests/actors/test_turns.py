"""A turn is a transaction: all of it commits, or nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, pool, tree

from understudy import (
    Actor,
    ActorNotFound,
    ActorRef,
    Backoff,
    Message,
    NotAMessage,
    Reject,
    Request,
    Retry,
    TurnClosed,
    UndecodableMessage,
    handler,
)
from understudy.actors.testing import Recorder
from understudy.persistence.record import ActorRow, AttemptRow, DeadLetterRow, MessageRow

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Relay(Message):
    amounts: list[int]
    fail: str = ""
    """How the turn ends, after everything is told: "" well, else which exception."""
    times: int = 1
    """The first so many attempts fail."""


class Steps(Request[list[int]]):
    pass


class Sum(msgspec.Struct):
    total: int = 0
    steps: list[int] = []


class Adder(Actor[Sum]):
    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount
        self.state.steps.append(message.amount)

    @handler
    def total(self, message: Total) -> int:
        return self.state.total

    @handler
    def steps(self, message: Steps) -> list[int]:
        return self.state.steps


class Expected(Exception):
    pass


class Sender(Actor[Sum]):
    backoff = FAST
    retry_on = (Expected,)
    max_attempts = 3

    def __init__(self, *, waits: bool = False) -> None:
        self.waits = waits

    @handler
    async def relay(self, message: Relay) -> None:
        to = self.system.ref("/t/adder")
        for amount in message.amounts:
            self.state.total += amount
            to.tell(Add(amount=amount))
            if self.waits:
                await asyncio.sleep(0)
        if message.fail and self.turn.attempt <= message.times:
            match message.fail:
                case "retry":
                    raise Retry(after_s=0.0)
                case "expected":
                    raise Expected
                case "reject":
                    raise Reject("no")
                case "state":
                    self.state.total = "nonsense"  # type: ignore[assignment]
                case "cancelled":
                    raise asyncio.CancelledError
                case "exit":
                    raise SystemExit(3)
                case "stop":
                    raise StopIteration
                case _:
                    raise RuntimeError(message.fail)

    @handler
    def total(self, message: Total) -> int:
        return self.state.total


FAILURES = ["retry", "expected", "error", "state", "cancelled", "exit", "stop"]


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("fail", FAILURES)
async def test_a_turn_that_fails_leaves_only_its_attempt(ground: Ground, fail: str, waits: bool) -> None:
    """It is tried again and then done once, whatever way it failed."""
    sender = ("sender", Sender)
    spec = tree(Adder, sender)
    from understudy import ChildSpec

    spec = tree(Adder, ChildSpec(id="sender", actor=Sender, args={"waits": waits}))
    async with ground.node(spec) as system:
        events = Recorder(system)
        await system.ref("/t/sender").tell(Relay(amounts=[1, 2, 3], fail=fail))
        await system.idle()
        assert await system.ref("/t/sender").ask(Total()) == 6
        assert await system.ref("/t/adder").ask(Steps()) == [1, 2, 3]
        assert len(events.of("message.failed")) == 1
        exits = 0 if fail in ("retry", "expected") else 1
        assert len(events.of("actor.exited")) == exits
    assert not ground.rows(MessageRow)
    assert not ground.rows(AttemptRow)
    assert not ground.rows(DeadLetterRow)


@pytest.mark.parametrize("fail", [*FAILURES, "reject"])
async def test_a_message_that_always_fails_is_parked_and_nothing_else_is_left(ground: Ground, fail: str) -> None:
    async with ground.node(tree(Adder, Sender)) as system:
        sender = system.ref("/t/sender")
        await sender.tell(Relay(amounts=[1], fail=fail, times=99))
        await sender.tell(Relay(amounts=[5]))
        await system.idle()
        assert await sender.ask(Total()) == 5
        assert await system.ref("/t/adder").ask(Steps()) == [5]
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.attempts == (1 if fail == "reject" else 3)
    assert letter.cause == ("rejected" if fail == "reject" else "failed")
    assert letter.type == "Relay"
    assert msgspec.json.decode(letter.body)["amounts"] == [1]
    assert not ground.rows(MessageRow)
    assert not ground.rows(AttemptRow)


async def test_what_was_committed_is_there_in_the_next_life(ground: Ground) -> None:
    for life in range(1, 4):
        async with ground.node(tree(Adder)) as system:
            adder = system.ref("/t/adder")
            await adder.tell(Add(amount=life))
            await system.idle()
            assert await adder.ask(Steps()) == list(range(1, life + 1))
    (row,) = ground.rows(ActorRow)
    assert msgspec.json.decode(row.state) == {"total": 6, "steps": [1, 2, 3]}


async def test_an_acknowledged_tell_survives_a_kill(ground: Ground) -> None:
    """The image of the disk, taken when the receipt is back and nothing else has been waited for."""
    async with ground.node(tree(Adder)) as system:
        await system.ref("/t/adder").tell(Add(amount=7))
        image = ground.image()
    async with image.node(tree(Adder)) as system:
        await system.idle()
        assert await system.ref("/t/adder").ask(Total()) == 7


# -- after the turn -------------------------------------------------------------------------------------


class Spawn(Message):
    wait_for_it: bool


class Spawner(Actor[None]):
    tasks: list[asyncio.Task[Any]] = []
    gate: asyncio.Event

    @handler
    async def spawn(self, message: Spawn) -> None:
        async def child() -> None:
            if not message.wait_for_it:
                await Spawner.gate.wait()
            self.system.ref("/t/adder").tell(Add(amount=1))

        task = asyncio.create_task(child())
        Spawner.tasks.append(task)
        if message.wait_for_it:
            await task


@pytest.fixture
def spawner() -> Any:
    Spawner.tasks = []
    Spawner.gate = asyncio.Event()
    return Spawner


async def test_a_child_task_of_the_handler_tells_within_its_turn(ground: Ground, spawner: Any) -> None:
    async with ground.node(tree(Adder, spawner)) as system:
        await system.ref("/t/spawner").tell(Spawn(wait_for_it=True))
        await system.idle()
        assert await system.ref("/t/adder").ask(Steps()) == [1]


async def test_a_tell_after_the_turn_raises(ground: Ground, spawner: Any) -> None:
    async with ground.node(tree(Adder, spawner)) as system:
        await system.ref("/t/spawner").tell(Spawn(wait_for_it=False))
        await system.idle()
        spawner.gate.set()
        with pytest.raises(TurnClosed, match="/t/spawner"):
            await spawner.tasks[0]
        await system.idle()
        assert await system.ref("/t/adder").ask(Steps()) == []


class Leave(Message):
    kind: str


class Leaver(Actor[Sum]):
    """Tries everything that a closed turn must refuse."""

    left: Leaver

    @handler
    def leave(self, message: Leave) -> None:
        Leaver.left = self


@pytest.mark.parametrize(
    "use",
    [
        lambda actor: actor.stop(),
        lambda actor: actor.retire(),
        lambda actor: actor.turn,
    ],
)
async def test_the_instance_api_is_closed_between_turns(memory: Ground, use: Any) -> None:
    async with memory.node(tree(Leaver)) as system:
        await system.ref("/t/leaver").tell(Leave(kind=""))
        await system.idle()
        with pytest.raises(TurnClosed):
            use(Leaver.left)


async def test_settled_after_the_turn_raises(memory: Ground) -> None:
    turns: list[Any] = []

    def keep(actor: Any) -> None:
        turns.append(actor.turn)

    Keeper.do = staticmethod(keep)
    async with memory.node(tree(Keeper)) as system:
        await system.ref("/t/keeper").tell(Leave(kind=""))
        await system.idle()
        with pytest.raises(TurnClosed):
            await turns[0].settled()


class Keeper(Actor[None]):
    do: Any

    @handler
    def leave(self, message: Leave) -> None:
        Keeper.do(self)


# -- what a turn is told of itself ----------------------------------------------------------------------


class Look(Message):
    fail: int


class Looker(Actor[None]):
    backoff = FAST
    max_attempts = 5
    seen: list[tuple[str, int]] = []

    @handler
    def look(self, message: Look) -> None:
        Looker.seen.append((self.turn.key, self.turn.attempt))
        if self.turn.attempt <= message.fail:
            raise Retry(after_s=0)


async def test_the_key_stays_and_the_attempt_counts(ground: Ground) -> None:
    Looker.seen = []
    async with ground.node(tree(Looker)) as system:
        await system.ref("/t/looker").tell(Look(fail=3))
        await system.idle()
    keys, attempts = zip(*Looker.seen, strict=True)
    assert len(set(keys)) == 1
    assert attempts == (1, 2, 3, 4)


async def test_attempts_are_on_record_across_lives(ground: Ground) -> None:
    Looker.seen = []
    async with ground.node(tree(Looker)) as system:
        events = Recorder(system)
        await system.ref("/t/looker").tell(Look(fail=1))
        await events.until("message.failed")
        await system.idle()
    for life in range(3):
        Looker.seen = []
        Slow.failing = True
        async with ground.node(tree(Slow)) as system:
            events = Recorder(system)
            if not life:
                await system.ref("/t/slow").tell(Look(fail=99))
            await events.until("message.failed") if not life else None
        (row,) = ground.rows(AttemptRow)
        assert row.count == 1


class Slow(Actor[None]):
    """Its backoff is longer than any test."""

    backoff = Backoff(initial_s=1000.0, max_s=1000.0, jitter=0.0)

    @handler
    def look(self, message: Look) -> None:
        raise RuntimeError("not yet")


async def test_a_retry_comes_at_its_moment_and_not_before(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Slow), runtime=clock) as system:
        events = Recorder(system)
        await system.ref("/t/slow").tell(Look(fail=99))
        await clock.settle()
        assert len(events.of("message.failed")) == 1
        await clock.advance(999.9)
        assert len(events.of("message.failed")) == 1
        await clock.advance(0.2)
        assert [event.measures["attempt"] for event in events.of("message.failed")] == [1, 2]


async def test_a_retry_waits_on_across_lives(memory: Ground, clock: Any) -> None:
    async with memory.node(tree(Slow), runtime=clock) as system:
        await system.ref("/t/slow").tell(Look(fail=99))
        await clock.settle()
    await clock.advance(500)
    async with memory.node(tree(Slow), runtime=clock) as system:
        events = Recorder(system)
        await clock.advance(499)
        assert not events.of("message.failed")
        await clock.advance(2)
        assert [event.measures["attempt"] for event in events.of("message.failed")] == [2]


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
