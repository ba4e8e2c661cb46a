"""The database refuses what somebody wrote: that one is charged for it, and nobody else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from books import FAST, SPEC, Clerk, Entries, Ledger, Memory, Order, Take, told
from grounds import Ground, MemoryGround, SqliteGround, as_spec, pool, tree
from patience import patience

from greenroom import (
    Actor,
    ActorNotFound,
    AskFailed,
    Client,
    ExitReason,
    GreenroomError,
    Message,
    StoreDataError,
    StoreError,
    StoreUnavailable,
    SupervisorSpec,
    TreeGaveUp,
    handler,
)
from greenroom.persistence.store.rows import ActorRow, AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder


class Poisoned(Actor[Memory]):
    """Its state becomes too big for the store when it is told so."""

    backoff = FAST
    max_attempts = 3

    @handler
    def order(self, message: Order) -> None:
        self.state.numbers.append(message.number)
        if message.number == 666:
            self.system.ref("/t/clerk").tell(Order(number=666))

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


async def test_a_turn_whose_data_are_refused_is_charged_alone(memory: MemoryGround) -> None:
    """A message behind it in the batch is redelivered; the guilty one is parked after its attempts;
    no other is charged."""

    def hook(commit: Any) -> None:
        for row in commit.puts.get(ActorRow, ()):
            if "666" in row.state:
                raise StoreDataError("it holds the number of the beast")

    async with memory.node(tree(Ledger, Clerk, Poisoned, intensity=1000)) as system:
        events = Recorder(system)
        poisoned = system.ref("/t/poisoned")
        await poisoned.tell(Order(number=666), delay_s=0.01)
        memory.plan.hook = hook
        acked: set[int] = set()
        refused: dict[int, StoreError] = {}
        for number in range(1, 40):
            if number % 10 == 0:
                await asyncio.sleep(0.005)
            await told(system.ref("/t/clerk"), number, acked, refused)
        await events.until("message.parked", "/t/poisoned")
        await system.idle()
        assert await poisoned.ask(Entries()) == []
        clerks = await system.ref("/t/clerk").ask(Entries())
        assert acked <= set(clerks)
        assert len(clerks) == len(set(clerks))
        assert set(clerks) == acked, "who was refused was told so, with the message"
    (letter,) = memory.rows(DeadLetterRow)
    assert (letter.address, letter.attempts) == ("/t/poisoned", 3)
    assert "beast" in letter.text


# -- who has no message to charge ---------------------------------------------------------------------------


def beastly(commit: Any) -> None:
    """Refuse each state with the number of the beast, and each message."""
    for row in commit.puts.get(ActorRow, ()):
        if "666" in row.state:
            raise StoreDataError("it holds the number of the beast")
    for row in commit.inserts:
        if "666" in row.body:
            raise StoreDataError("it names the number of the beast")


class Starter(Actor[Memory]):
    """Its start leaves what the database refuses, and tells of it."""

    backoff = FAST
    max_attempts = 3

    async def on_start(self) -> None:
        self.state.numbers.append(666)
        self.system.ref("/t/clerk").tell(Order(number=13))

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers

    @handler
    def order(self, message: Order) -> None:
        self.state.numbers.append(message.number)


class Stopper(Actor[Memory]):
    """Its end leaves what the database refuses."""

    async def on_stop(self, reason: ExitReason) -> None:
        self.state.numbers.append(666)

    @handler
    def order(self, message: Order) -> None:
        raise RuntimeError("it exits")


class Sly(Starter):
    """One bad number makes it write another."""

    on_start = Actor.on_start

    @handler
    def order(self, message: Order) -> None:
        self.state.numbers.append(666 if message.number == 13 else message.number)


class Asking(Actor[Memory]):
    backoff = FAST
    max_attempts = 3

    @handler
    async def order(self, message: Order) -> None:
        number = 666 if message.number == 5 else message.number
        self.state.numbers.append(await self.system.ref("/t/clerk").ask(Take(number=number)))


async def settled(system: Any) -> None:
    """Until nothing is left to do: resets, restarts and retries included."""
    async with patience():
        await system.idle()


async def test_a_refused_on_start_is_a_failed_start(ground: Ground) -> None:
    """Charged to the actor: the tree is reset once, then intensity and escalation apply."""
    spec = tree(Ledger, Clerk, Starter, intensity=2, period_s=1000.0)
    ground.plan.hook = beastly
    events = Recorder()
    async with ground.node(spec, on_event=events) as system:
        with pytest.raises(TreeGaveUp, match=r"(?s)/t/starter.*number of the beast"):
            await settled(system)
        assert len(events.of("node.broken")) <= 1
        assert len(events.of("actor.exited", "/t/starter")) == 1
        assert len(events.of("actor.start_failed", "/t/starter")) == 2
    ground.plan.hook = None
    async with ground.node(spec) as system:
        await system.idle()
        assert await system.ref("/t/starter").ask(Entries()) == [666]
        assert await system.ref("/t/clerk").ask(Entries()) == [13], "nothing of the refused starts is left"


async def test_it_escalates_by_the_tree(ground: Ground) -> None:
    """The supervisor above restarts the one that gave up, and bears as much as it says; others go on meanwhile."""
    inner = SupervisorSpec(id="inner", intensity=1, restart="transient", children=[as_spec(("starter", Starter))])
    ground.plan.hook = beastly
    events = Recorder()
    async with ground.node(tree(Ledger, Clerk, inner, intensity=0), on_event=events) as system:
        await settled(system)
        assert [event.address for event in events.of("supervisor.gave_up")] == ["/t/inner"]
        assert len(events.of("node.broken")) <= 1
        await system.ref("/t/clerk").tell(Order(number=1))
        await system.idle()
        assert await system.ref("/t/clerk").ask(Entries()) == [1]


async def test_a_temporary_child_is_not_started_again(ground: Ground) -> None:
    ground.plan.hook = beastly
    async with ground.node(tree(Ledger, Clerk, as_spec(("starter", Starter), restart="temporary"))) as system:
        await settled(system)
        with pytest.raises(ActorNotFound):
            await system.ref("/t/starter").ask(Entries())
        await system.ref("/t/clerk").tell(Order(number=1))


async def test_refused_once_it_starts_the_next_time(ground: Ground) -> None:
    refused = 0

    def once(commit: Any) -> None:
        nonlocal refused
        if not refused:
            refused += any("666" in row.state for row in commit.puts.get(ActorRow, ()))
            beastly(commit)

    ground.plan.hook = once
    async with ground.node(tree(Ledger, Clerk, Starter, intensity=1)) as system:
        await settled(system)
        assert refused == 1
        assert await system.ref("/t/starter").ask(Entries()) == [666]
        assert await system.ref("/t/clerk").ask(Entries()) == [13]


async def test_under_a_template_the_first_message_is_charged(ground: Ground) -> None:
    """As with every start that fails there: parked letter by letter, and nobody exits."""
    ground.plan.hook = beastly
    async with ground.node(tree(Ledger, Clerk, pool(Starter), intensity=0)) as system:
        events = Recorder(system)
        for number in (1, 2):
            await system.ref("/t/pool/x").tell(Order(number=number))
            await settled(system)
        assert len(events.of("message.parked", "/t/pool/x")) == 2
        assert len(events.of("node.broken")) == 1
        with pytest.raises(AskFailed, match="beast"):
            await system.ref("/t/pool/x").ask(Entries())
        await system.ref("/t/clerk").tell(Order(number=1))
    assert len(ground.rows(DeadLetterRow)) == 2
    assert not ground.rows(MessageRow)


async def test_a_refused_on_stop_is_one_that_failed(ground: Ground) -> None:
    ground.plan.hook = beastly
    spec = tree(Ledger, Clerk, as_spec(("stopper", Stopper), max_attempts=1), intensity=100)
    async with ground.node(spec) as system:
        events = Recorder(system)
        for number in range(1, 5):
            await system.ref("/t/stopper").tell(Order(number=number))
            await settled(system)
        assert len(events.of("node.broken")) == 1
        failed = events.of("actor.stop_failed", "/t/stopper")
        assert len(failed) == 3
        assert all("beast" in event.measures["text"] for event in failed)
    assert all("666" not in row.state for row in ground.rows(ActorRow))


async def test_a_refused_tell_is_its_tellers(ground: Ground) -> None:
    """A teller that was merely behind it is told to tell again."""
    ground.plan.hook = beastly
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        clerk = system.ref("/t/clerk")
        for _ in range(15):  # it is nobody else's: the node never gives up for it
            bad = clerk.tell(Order(number=666), delay_s=1000)
            behind = clerk.tell(Order(number=7), delay_s=1000)
            with pytest.raises(StoreDataError, match="beast") as refused:
                await bad
            assert refused.value.undelivered == Order(number=666)
            with pytest.raises(StoreUnavailable) as dropped:
                await behind
            assert dropped.value.undelivered == Order(number=7)
            assert not bad.committed
            assert not behind.committed
            await settled(system)
        assert len(events.of("node.broken")) == 15
        await clerk.tell(Order(number=1))
        await system.idle()
        assert await clerk.ask(Entries()) == [1]
    assert not ground.rows(DeadLetterRow)
    assert not ground.rows(MessageRow)


async def test_a_refused_answer_is_charged_to_who_asked(ground: Ground) -> None:
    ground.plan.hook = beastly
    async with ground.node(tree(Ledger, Clerk, Asking, intensity=0)) as system:
        with pytest.raises(StoreDataError, match="beast"):
            await system.ref("/t/clerk").ask(Take(number=666))
        await settled(system)
        await system.ref("/t/asking").tell(Order(number=5))
        await settled(system)
        await system.ref("/t/asking").tell(Order(number=1))
        await settled(system)
        assert await system.ref("/t/clerk").ask(Entries()) == [1]
    (letter,) = ground.rows(DeadLetterRow)
    assert (letter.address, letter.attempts) == ("/t/asking", 3)
    assert "beast" in letter.text


async def test_a_reply_that_rests_on_refused_data_can_be_asked_for_again(ground: Ground) -> None:
    """They are another turn's: who only read what it left has nothing to mend."""
    ground.plan.hook = beastly
    async with ground.node(tree(Sly)) as system:
        sly = system.ref("/t/sly")
        told = sly.tell(Order(number=13))
        with pytest.raises(StoreUnavailable, match=r"another turn.*ask again"):
            await sly.ask(Entries())
        await settled(system)
        assert await sly.ask(Entries()) == []
        await told
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.attempts == Sly.max_attempts


async def test_a_node_gives_up_when_nobody_is_to_blame(ground: Ground) -> None:
    """The database refuses the very note of a failed attempt."""

    def no_notes(commit: Any) -> None:
        if commit.puts.get(AttemptRow):
            raise StoreDataError("no notes here")

    ground.plan.hook = no_notes
    async with ground.node(tree(as_spec(("stopper", Stopper)), intensity=1000)) as system:
        events = Recorder(system)
        await system.ref("/t/stopper").tell(Order(number=1))
        with pytest.raises(StoreDataError, match=r"no notes here.*10 times within 60 s.*triggers"):
            await settled(system)
        assert len(events.of("node.broken")) == 10
        assert system.ended.is_set()
    ground.plan.hook = None
    assert len(ground.rows(MessageRow)) == 1, "nothing is lost for it"


async def test_refusals_of_a_moment(memory: MemoryGround) -> None:
    """The second half of a batch that was refused as a whole, and whose first half isn't refused after all."""
    async with memory.node(SPEC) as system:
        clerk = system.ref("/t/clerk")
        memory.plan.fail(StoreDataError("no"), at=1)
        memory.plan.fail(StoreDataError("no"), at=2)
        receipts = [clerk.tell(Order(number=number), delay_s=1000) for number in range(1, 9)]
        async with patience():
            for receipt in receipts:
                await receipt
        await system.idle()
    assert len(memory.rows(MessageRow)) == 8


# -- another process ------------------------------------------------------------------------------------------


async def test_what_another_process_told_is_parked_or_answered(disk: SqliteGround) -> None:
    """Its rows in the inbox aren't tried again and again."""
    disk.plan.hook = beastly
    async with disk.node(SPEC) as system:
        events = Recorder(system)
        async with Client(disk.url) as client:
            for key in (None, "key"):
                await client.tell("/t/clerk", Order(number=666), key=key)  # returns when it lies in the inbox
            with pytest.raises(GreenroomError, match="beast"):
                await client.ask("/t/clerk", Take(number=666))
            await client.tell("/t/clerk", Order(number=1))
        await settled(system)
        assert len(events.of("node.broken")) == 3
        assert await system.ref("/t/clerk").ask(Entries()) == [1]
    assert [letter.cause for letter in disk.rows(DeadLetterRow)] == ["failed", "failed"]


# -- a real refusal -------------------------------------------------------------------------------------------


async def test_a_trigger_of_the_users(disk: SqliteGround) -> None:
    import sqlite3
    from contextlib import closing

    spec = tree(Ledger, Clerk, Starter, intensity=2, period_s=1000.0)
    async with disk.node(tree(Ledger, Clerk)):
        pass
    with closing(sqlite3.connect(disk.path)) as connection, connection:
        connection.execute(
            "CREATE TRIGGER no_beast BEFORE INSERT ON greenroom_actor WHEN NEW.state LIKE '%666%' "
            "BEGIN SELECT RAISE(ABORT, 'the beast is not welcome'); END"
        )
    async with disk.node(spec) as system:
        with pytest.raises(TreeGaveUp, match="the beast is not welcome"):
            await settled(system)
    with closing(sqlite3.connect(disk.path)) as connection, connection:
        connection.execute("DROP TRIGGER no_beast")
    async with disk.node(spec) as system:
        await system.idle()
        assert await system.ref("/t/starter").ask(Entries()) == [666]


async def test_a_message_that_is_too_big(disk: SqliteGround) -> None:
    import sqlite3

    async with disk.node(SPEC) as system:
        events = Recorder(system)
        system.kernel.store._writer.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
        with pytest.raises(StoreDataError, match="too big") as caught:
            await system.ref("/t/ledger").tell(Big(text="x" * 200_000), delay_s=1000)
        assert caught.value.undelivered == Big(text="x" * 200_000)
        await events.until("node.recovered")
        await system.ref("/t/clerk").tell(Order(number=1))


class Big(Message):
    text: str
