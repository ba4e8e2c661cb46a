"""Suspend and Resume, as OTP's sys(3) has them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, MemoryGround, as_spec, pool, tree
from ledger_actors import Add, Fail, Ledger, Light, Total, Wait, log
from rounds import rounds
from suspicion import suspect

from greenroom import (
    AskFailed,
    AskTimeout,
    ChildSpec,
    GetState,
    MailboxFull,
    Message,
    Resume,
    StoreUnavailable,
    Suspend,
)
from greenroom.actors.execution.dispatcher import Dispatcher
from greenroom.actors.kernel.cell import Cell
from greenroom.actors.recovery.reset import Reset
from greenroom.persistence.store.rows import MessageRow
from greenroom.testing import Recorder, VirtualRuntime

SPEC = tree(Ledger, Light, ("other", Ledger), pool(ChildSpec(id="x", actor=Ledger, idle_timeout_s=1.0)), intensity=20)


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()


async def _tell(ref: Any, message: Message) -> None:
    await ref.tell(message)


@pytest.mark.parametrize("name", ["ledger", "light", "pool/x"])
async def test_messages_wait_and_system_messages_dont(ground: Ground, name: str) -> None:
    async with ground.node(SPEC) as system:
        ref = system.ref(f"/t/{name}")
        await ref.tell(Add(amount=1))
        await ref.ask(Suspend())
        assert system.kernel.cells[ref.address].suspended
        for amount in (2, 3):
            await ref.tell(Add(amount=amount))
        asked = asyncio.ensure_future(ref.ask(Total()))
        await system.idle()  # what waits there is no work
        assert log == ["add 1"]
        assert (await ref.ask(GetState()))["total"] == 1
        await ref.ask(Suspend())
        assert system.kernel.cells[ref.address].mailbox.count == 3
        await ref.ask(Resume())
        assert await asked == 6
        assert not system.kernel.cells[ref.address].suspended
        await system.idle()
        assert log == ["add 1", "add 2", "add 3"]
        await ref.ask(Resume())  # nothing happens
        assert await ref.ask(Total()) == 6


async def test_idleness_waits_for_what_is_served(memory: MemoryGround) -> None:
    """A resumption that is on its way is work."""
    async with memory.node(SPEC) as system:
        for name in ("ledger", "light"):
            ref = system.ref(f"/t/{name}")
            await ref.ask(Suspend())
            ref.tell(Add(amount=1))
            await system.idle()
            assert log == []
            ref.tell(Resume())
            await system.idle()
            assert log == ["add 1"]
            log.clear()


async def test_it_stands_in_line(memory: MemoryGround) -> None:
    Ledger.gate = asyncio.Event()
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        ref.tell(Wait())
        ref.tell(Add(amount=1))
        suspended = asyncio.ensure_future(ref.ask(Suspend()))
        await rounds()
        ref.tell(Add(amount=2))
        assert log == ["waits"]
        Ledger.gate.set()
        await suspended
        await system.idle()
        assert log == ["waits", "add 1"]


async def test_what_may_pass_is_found_in_the_line(memory: MemoryGround) -> None:
    """Told before the suspension began, and standing behind what has to wait."""
    async with memory.node(SPEC) as system:
        for name in ("ledger", "light"):
            ref = system.ref(f"/t/{name}")
            for message in (Suspend(), Add(amount=1), Add(amount=2), Resume(), Add(amount=3)):
                ref.tell(message)
            await system.idle()
            assert log == ["add 1", "add 2", "add 3"]
            assert not system.kernel.cells[ref.address].suspended
            log.clear()


async def test_what_came_with_the_resumption_is_served_after_it(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/light")
        await ref.ask(Suspend())
        ref.tell(Add(amount=1))
        ref.tell(Resume())
        assert (await ref.ask(GetState(), timeout_s=2.0))["total"] == 1


async def test_asks_wait_until_they_time_out(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        await ref.ask(Suspend())
        with pytest.raises(AskTimeout):
            await ref.ask(Total(), timeout_s=0.02)
        await ref.ask(Resume())
        await system.idle()
        assert await ref.ask(Total()) == 0


@pytest.mark.parametrize("name", ["small", "light"])
async def test_the_capacity_applies_but_not_to_the_resumption(memory: MemoryGround, name: str) -> None:
    flags: dict[str, Any] = {"capacity": 2, "overflow": "reject"}
    spec = tree(as_spec(("small", Ledger), **flags), as_spec(("light", Light), **flags))
    async with memory.node(spec) as system:
        ref = system.ref(f"/t/{name}")
        await ref.ask(Suspend())
        for amount in (1, 2):
            await ref.tell(Add(amount=amount))
        with pytest.raises(MailboxFull):
            ref.tell(Add(amount=3))
        with pytest.raises(MailboxFull):
            await ref.ask(Total())
        assert (await ref.ask(GetState()))["total"] == 0
        await ref.ask(Resume())
        await system.idle()
        assert await ref.ask(Total()) == 3


@pytest.mark.parametrize("name", ["ledger", "light"])
async def test_a_stop_goes_as_usual(ground: Ground, name: str) -> None:
    async with ground.node(SPEC) as system:
        ref = system.ref(f"/t/{name}")
        await ref.ask(Suspend())
        await ref.tell(Add(amount=1))
    assert f"stop /t/{name} shutdown" in log
    assert "add 1" not in log
    assert len(ground.rows(MessageRow)) == (name == "ledger")


async def test_a_boot_ends_it(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        await system.ref("/t/ledger").ask(Suspend())
        await system.ref("/t/ledger").tell(Add(amount=1))
        left = ground.image()
    log.clear()
    async with left.node(SPEC) as system:
        assert not system.kernel.part(Reset).suspects_left  # a suspended actor is not at work
        await system.idle()
        assert log == ["add 1"]


async def test_a_restart_ends_it(memory: MemoryGround) -> None:
    spec = tree(Ledger, ("other", Ledger), pool(Ledger), strategy="one_for_all", intensity=20)
    async with memory.node(spec) as system:
        events = Recorder(system)
        suspended = [system.ref(f"/t/{name}") for name in ("ledger", "pool/x")]
        for ref in suspended:
            await ref.ask(Suspend())
            await ref.tell(Add(amount=1))
        await system.ref("/t/other").tell(Fail(how="exit"))
        await events.until("actor.started", "/t/other")
        await system.idle()
        for ref in suspended:
            assert not system.kernel.cells[ref.address].suspended
            assert await ref.ask(Total()) == 1


async def test_a_reset_of_the_tree_ends_it(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        await ref.ask(Suspend())
        await ref.tell(Add(amount=1))
        asked = asyncio.ensure_future(ref.ask(Total()))
        await rounds()
        ground.plan.fail(StoreUnavailable("cable pulled"))
        with pytest.raises(StoreUnavailable):
            await system.ref("/t/other").tell(Add(amount=1))
        with pytest.raises(StoreUnavailable):
            await asked
        await system.idle()
        assert not system.kernel.cells["/t/ledger"].suspended
        assert await ref.ask(Total()) == 1
        assert system.kernel.part(Dispatcher).resting == 0


async def test_it_isnt_passivated(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(SPEC, runtime=clock) as system:
        held, idle = system.ref("/t/pool/held"), system.ref("/t/pool/idle")
        await idle.ask(Total())
        await held.ask(Suspend())
        await clock.advance(30.0)
        assert "/t/pool/idle" not in system.kernel.cells
        assert (await held.ask(GetState()))["total"] == 0
        await clock.advance(30.0)
        assert system.kernel.cells[held.address].suspended
        await held.ask(Resume())
        await clock.advance(30.0)
        assert held.address not in system.kernel.cells


async def test_a_suspended_supervisor_still_restarts(memory: MemoryGround) -> None:
    """Exits come in the system lane."""
    async with memory.node(SPEC) as system:
        events = Recorder(system)
        await system.ref("/t").ask(Suspend())
        for count in (1, 2):
            await system.ref("/t/ledger").tell(Fail(how="exit", times=1))
            await events.until("actor.started", "/t/ledger", count=count)
            await system.idle()
        assert system.kernel.cells["/t"].suspended
        await system.ref("/t").ask(Resume())
        assert await system.ref("/t/ledger").ask(Total()) == -1


async def test_a_suspended_supervisor_can_give_up(memory: MemoryGround) -> None:
    spec = tree(("outer", Ledger), *[tree(Ledger, id="inner", intensity=0)], intensity=5)
    async with memory.node(spec) as system:
        events = Recorder(system)
        await system.ref("/t/inner").ask(Suspend())
        await system.ref("/t/inner/ledger").tell(Fail(how="exit", times=1))
        await events.until("actor.started", "/t/inner")
        await system.idle()
        assert not system.kernel.cells["/t/inner"].suspended
        assert await system.ref("/t/inner/ledger").ask(Total()) == -1
        assert system.kernel.part(Dispatcher).resting == 0


async def test_there_is_a_limit(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        system.kernel.attempts.slots = 4
        for name in ("ledger", "light"):
            await system.ref(f"/t/{name}").ask(Suspend())
        with pytest.raises(AskFailed, match="2 actors are suspended, and more can't be"):
            await system.ref("/t/other").ask(Suspend())
        await system.ref("/t/ledger").ask(Suspend())  # it is one of them
        await system.ref("/t/ledger").ask(Resume())
        await system.ref("/t/other").ask(Suspend())


async def test_a_suspend_that_is_a_suspect_is_carried_out(memory: MemoryGround) -> None:
    """It is no suspect then, because its runner stays with the actor, and others would have to wait for it."""
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        suspect(system, "ab" * 16, "/t/ledger")
        cell: Cell = system.kernel.cells["/t/ledger"]
        envelope = system.kernel.wrap(cell.address, Suspend())
        envelope.uid = "ab" * 16
        cell.push(envelope)
        await system.ref("/t/other").tell(Add(amount=1))
        await system.idle()
        assert log == ["add 1"]
        assert cell.suspended
        await ref.ask(Resume())
        assert await ref.ask(Total()) == 0
