"""A turn is a transaction: all of it commits, or nothing; and it is closed afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, tree
from turn_actors import EXPECTED, FAILURES, FAST, Add, Adder, Relay, Sender, Steps, Sum, Total

from greenroom import Actor, Backoff, Message, Retry, TurnClosed, handler
from greenroom.persistence.store.rows import ActorRow, AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("fail", FAILURES)
async def test_a_turn_that_fails_leaves_only_its_attempt(ground: Ground, fail: str, waits: bool) -> None:
    """It is tried again and then done once, whatever way it failed."""
    sender = ("sender", Sender)
    spec = tree(Adder, sender)
    from greenroom import ChildSpec

    spec = tree(Adder, ChildSpec(id="sender", actor=Sender, args={"waits": waits}))
    async with ground.node(spec) as system:
        events = Recorder(system)
        await system.ref("/t/sender").tell(Relay(amounts=[1, 2, 3], fail=fail))
        await system.idle()
        assert await system.ref("/t/sender").ask(Total()) == 6
        assert await system.ref("/t/adder").ask(Steps()) == [1, 2, 3]
        assert len(events.of("message.failed")) == 1
        exits = 0 if fail in EXPECTED else 1
        assert len(events.of("actor.exited")) == exits
    assert not ground.rows(MessageRow)
    assert not ground.rows(AttemptRow)
    assert not ground.rows(DeadLetterRow)


@pytest.mark.parametrize("fail", [*FAILURES, "reject", "reject in a group"])
async def test_a_message_that_always_fails_is_parked_and_nothing_else_is_left(ground: Ground, fail: str) -> None:
    async with ground.node(tree(Adder, Sender)) as system:
        sender = system.ref("/t/sender")
        await sender.tell(Relay(amounts=[1], fail=fail, times=99))
        await sender.tell(Relay(amounts=[5]))
        await system.idle()
        assert await sender.ask(Total()) == 5
        assert await system.ref("/t/adder").ask(Steps()) == [5]
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.attempts == (1 if fail.startswith("reject") else 3)
    assert letter.cause == ("rejected" if fail.startswith("reject") else "failed")
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
    def go(self, message: Leave) -> None:
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
    def go(self, message: Leave) -> None:
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
