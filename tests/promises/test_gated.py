"""Nothing uncommitted is seen from outside."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree
from rounds import rounds
from suspicion import suspect

from greenroom import Actor, Message, Request, StoreUnavailable, handler
from greenroom.actors.recovery.reset import Reset
from greenroom.persistence.store.rows import MessageRow
from greenroom.testing import Collector, Probe, Recorder, VirtualRuntime


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Leave(Message):
    how: str


class Act(Message):
    """Do something outside, once all it rests on is on disk."""


class Book(msgspec.Struct):
    total: int = 0


outside: list[str] = []


class Account(Actor[Book]):
    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount
        self.system.ref("/t/collector").tell(message)

    @handler
    def total(self, request: Total) -> int:
        return self.state.total

    @handler
    def go(self, message: Leave) -> None:
        self.state.total += 1
        if message.how == "retire":
            self.retire()
        elif message.how == "normal":
            self.stop()
        else:
            raise RuntimeError

    @handler
    async def act(self, message: Act) -> None:
        outside.append("began")
        self.state.total += 1
        await self.turn.settled()
        outside.append("acted")


class Acting(Actor[Book]):
    @handler(external=True)
    async def act(self, message: Act) -> None:
        outside.append("acted")

    @handler(external=True)
    def sync(self, message: Add) -> None:
        outside.append("acted")

    @handler
    def total(self, request: Total) -> int:
        return self.state.total


@pytest.fixture(autouse=True)
def fresh() -> None:
    outside.clear()


SPEC = tree(Collector, Account, Acting, pool(Account), intensity=20)


async def _tell(ref: Any, message: Message) -> None:
    await ref.tell(message)


async def test_a_receipt_waits_for_the_disk(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        ground.plan.hold()
        account = system.ref("/t/account")
        receipt = account.tell(Add(amount=1))
        told = asyncio.ensure_future(_tell(account, Add(amount=1)))
        await ground.plan.arrived()
        await rounds()
        assert not receipt.committed
        assert not told.done()
        assert not ground.rows(MessageRow)
        ground.plan.release()
        await told
        assert receipt.committed


async def test_actors_run_ahead_of_the_disk(ground: Ground) -> None:
    """Within the node nothing waits: the collector has it before the commit."""
    async with ground.node(SPEC) as system:
        probe = Probe(system, "/t/collector")
        ground.plan.hold()
        receipt = system.ref("/t/account").tell(Add(amount=1))
        assert await probe.next(Add) == Add(amount=1)
        assert not receipt.committed
        ground.plan.release()
        await receipt


@pytest.mark.parametrize("how", ["settled", "external", "external sync"])
async def test_effects_outside_wait_for_what_they_rest_on(ground: Ground, how: str) -> None:
    async with ground.node(SPEC) as system:
        await system.ref("/t/account").tell(Add(amount=1))
        await system.idle()
        ground.plan.hold()
        ref = system.ref("/t/account" if how == "settled" else "/t/acting")
        told = asyncio.ensure_future(_tell(ref, Add(amount=1) if how == "external sync" else Act()))
        await ground.plan.arrived()
        await rounds()
        assert "acted" not in outside
        ground.plan.release()
        await told
        await system.idle()
        assert outside[-1] == "acted"
        assert outside.count("acted") == 1


@pytest.mark.parametrize("how", ["settled", "external"])
async def test_no_effect_outside_for_what_was_lost(ground: Ground, how: str) -> None:
    async with ground.node(SPEC) as system:
        ground.plan.hold()
        ref = system.ref("/t/account" if how == "settled" else "/t/acting")
        told = asyncio.ensure_future(_tell(ref, Act()))
        await ground.plan.arrived()
        await rounds()
        ground.plan.fail(StoreUnavailable("cable pulled"))
        ground.plan.release()
        with pytest.raises(StoreUnavailable):
            await told
        await system.idle()
        assert "acted" not in outside


@pytest.mark.parametrize(("how", "name"), [("normal", "actor.exited"), ("retire", "actor.retired")])
async def test_events_wait_for_the_commit_they_rest_on(ground: Ground, how: str, name: str) -> None:
    async with ground.node(SPEC) as system:
        account = system.ref("/t/pool/x")
        assert await account.ask(Total()) == 0
        events = Recorder(system)
        ground.plan.hold()
        told = asyncio.ensure_future(_tell(account, Leave(how=how)))
        await ground.plan.arrived()
        await rounds()
        assert not events.of(name)
        ground.plan.release()
        await told
        await events.until(name)


async def test_failures_are_published_at_once(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        account = system.ref("/t/account")
        events = Recorder(system)
        ground.plan.hold()
        told = asyncio.ensure_future(_tell(account, Leave(how="error")))
        await ground.plan.arrived()
        await events.until("message.failed")
        await events.until("actor.exited", "/t/account")
        assert not told.done()
        ground.plan.release()
        await told


async def test_a_reply_that_rests_on_another_actors_turn(ground: Ground) -> None:
    """The asked one changed nothing itself, but what it read was told by a turn that isn't on disk."""
    async with ground.node(SPEC) as system:
        await system.ref("/t/pool/x").tell(Add(amount=0))
        await system.idle()
        ground.plan.hold()
        system.ref("/t/pool/x").tell(Add(amount=5))
        await ground.plan.arrived()
        ask = asyncio.ensure_future(system.ref("/t/pool/x").ask(Total()))
        await rounds()
        assert not ask.done()
        ground.plan.release()
        assert await ask == 5


async def test_the_loop_stays_free_while_a_commit_is_on_its_way(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        ground.plan.hold()
        told = asyncio.ensure_future(_tell(system.ref("/t/account"), Add(amount=1)))
        await ground.plan.arrived()
        await asyncio.wait_for(asyncio.sleep(0.01), 1)
        ground.plan.release()
        await told


# -- after a crash --------------------------------------------------------------------------------------


async def test_suspects_that_never_come_back_are_forgotten_by_themselves(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    """Also on a node that nobody ever asks whether it is idle."""
    memory.data.attempts.note(0, "ab" * 16, "/t/account")
    async with memory.node(SPEC, runtime=clock) as system:
        assert system.kernel.part(Reset).suspects_left
        await system.ref("/t/account").tell(Add(amount=1))
        await clock.advance(1.0)
        assert not system.kernel.part(Reset).suspects_left
        assert not system.kernel.caution is not None


async def test_while_suspects_exist_nothing_runs_ahead(memory: MemoryGround) -> None:
    memory.data.attempts.note(0, "ab" * 16, "/t/account")
    async with memory.node(SPEC) as system:
        suspect(system, "ab" * 16, "/t/account")
        probe = Probe(system, "/t/collector")
        memory.plan.hold()
        receipt = system.ref("/t/account").tell(Add(amount=1))
        told = asyncio.ensure_future(_tell(system.ref("/t/account"), Add(amount=2)))
        await memory.plan.arrived()
        await rounds()
        assert probe.messages == []
        memory.plan.release()
        await told
        await system.idle()
        assert receipt.committed
        assert probe.messages == [Add(amount=1), Add(amount=2)]
