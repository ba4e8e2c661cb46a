"""Traces: an actor's turns as they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, MemoryGround, pool, tree
from ledger_actors import Add, Fail, Ledger, Light, Relay, Several, Stateless, Total, Wait, log
from patience import patience
from rounds import rounds

from greenroom import (
    Actor,
    ActorNotFound,
    ActorSystem,
    ChildSpec,
    GetState,
    Ignore,
    Message,
    StoreUnavailable,
    Suspend,
    Trace,
    TracedTurn,
    handler,
)
from greenroom.testing import Recorder

SPEC = tree(Ledger, Light, Stateless, ("other", Ledger), pool(Ledger), intensity=20)


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()
    Ledger.gate = asyncio.Event()


async def _tell(ref: Any, message: Message) -> None:
    await ref.tell(message)


def brief(turns: list[TracedTurn]) -> list[tuple[str, str, int]]:
    return [(turn.type, turn.outcome, turn.attempt) for turn in turns]


def is_off(system: ActorSystem, address: str) -> bool:
    incarnation = system.kernel.cells[address].incarnation
    assert incarnation is not None
    return incarnation.watch is None


async def test_what_a_turn_was(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        async with system.trace("/t/ledger") as turns:
            ref = system.ref("/t/ledger")
            began = system.kernel.runtime.now()
            await ref.tell(Add(amount=1))
            assert await ref.ask(Total()) == 1
            await ref.tell(Relay(to="/t/other"))
            await system.ref("/t/other").tell(Relay(to="/t/ledger", amount=0))
            await system.idle()
            found = turns.take()
            assert [turn.type for turn in found] == ["Add", "Total", "Relay", "Add"]
            assert {turn.outcome for turn in found} == {"finished"}
            assert [turn.state_changed for turn in found] == [True, False, False, False]
            assert [turn.sends for turn in found] == [0, 0, 1, 0]
            assert [turn.sender for turn in found] == ["", "", "", "/t/other"]
            assert len({turn.uid for turn in found}) == 4
            for turn in found:
                assert (turn.address, turn.attempt, turn.messages, turn.error) == ("/t/ledger", 1, 1, "")
                assert turn.incarnation == system.kernel.cells["/t/ledger"].incarnation.number  # type: ignore[union-attr]
                assert began <= turn.began <= system.kernel.runtime.now()
                assert 0 <= turn.duration_ms < 5000
        assert is_off(system, "/t/ledger")


@pytest.mark.parametrize("name", ["ledger", "light"])
async def test_how_turns_end(memory: MemoryGround, name: str) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref(f"/t/{name}")
        async with system.trace(ref) as turns:
            await ref.tell(Fail(how="retry", times=2))
            await system.idle()
            assert brief(turns.take()) == [("Fail", "retried", 1), ("Fail", "retried", 2), ("Fail", "finished", 3)]
            await ref.tell(Fail(how="retry", times=9))
            await system.idle()
            assert brief(turns.take()) == [("Fail", "retried", 1), ("Fail", "retried", 2), ("Fail", "failed", 3)]
            await ref.tell(Fail(how="reject"))
            await system.idle()
            (turn,) = turns.take()
            assert (turn.outcome, turn.attempt, turn.error) == ("rejected", 1, "Reject")
            await ref.tell(Fail(how="exit", times=1))
            await system.idle()
            failed, stopped, finished = turns.take()  # a restart doesn't end the trace
            assert (failed.outcome, failed.error, failed.state_changed) == (
                "failed",
                "ZeroDivisionError",
                False if name == "ledger" else None,
            )
            assert brief([stopped, finished]) == [("on_stop", "finished", 1), ("Fail", "finished", 2)]
            assert finished.incarnation > failed.incarnation == stopped.incarnation


async def test_a_turn_that_waits_and_one_that_is_cut_off(memory: MemoryGround) -> None:
    async with memory.node(tree(ChildSpec(id="ledger", actor=Ledger, shutdown="brutal_kill"))) as system:
        async with system.trace("/t/ledger") as turns:
            ref = system.ref("/t/ledger")
            ref.tell(Wait())
            await rounds()
            assert turns.waiting == 0
            Ledger.gate.set()
            assert (await anext(turns)).type == "Wait"
            Ledger.gate.clear()
            ref.tell(Wait())
            await rounds()
            await system.stop()
            assert brief([turn async for turn in turns]) == [("Wait", "discarded", 1)]


async def test_batches_and_hooks(memory: MemoryGround) -> None:
    async with memory.node(tree(Stateless, Hooked)) as system:
        async with system.trace("/t/stateless") as turns:
            for _ in range(3):
                system.ref("/t/stateless").tell(Several())
            await system.idle()
            (turn,) = turns.take()
            assert (turn.type, turn.messages, turn.outcome) == ("Several", 3, "finished")
        async with system.trace("/t/hooked") as turns:
            await system.ref("/t/hooked").tell(Add(amount=1))
            await system.idle()
            found = brief(turns.take())
            assert found == [
                ("Add", "failed", 1),
                ("on_start", "finished", 1),
                ("Add", "failed", 2),
                ("on_start", "finished", 1),
            ]


class Hooked(Actor[None]):
    broken = False
    max_attempts = 2

    async def on_start(self) -> None:
        if type(self).broken:
            raise ConnectionError

    @handler
    def add(self, message: Add) -> None:
        raise ZeroDivisionError


class Unwilling(Actor[None]):
    async def on_start(self) -> None:
        raise Ignore


async def test_starts_that_fail(memory: MemoryGround) -> None:
    async with memory.node(tree(pool(Hooked), pool(Unwilling, id="un"))) as system:
        Hooked.broken = True
        try:
            for address, outcome in (("/t/pool/x", "failed"), ("/t/un/x", "discarded")):
                async with system.trace(address) as turns:
                    system.ref(address).tell(Add(amount=1))
                    turn = await anext(turns)
                    assert (turn.type, turn.outcome) == ("on_start", outcome)
        finally:
            Hooked.broken = False


async def test_turns_are_shown_when_they_are_committed_and_failures_at_once(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        ref = system.ref("/t/ledger")
        async with system.trace(ref) as turns:
            ground.plan.hold()
            told = asyncio.ensure_future(_tell(ref, Add(amount=1)))
            await ground.plan.arrived()
            failing = asyncio.ensure_future(_tell(ref, Fail(how="retry", times=1)))
            await rounds()
            assert brief(turns.take()) == [("Fail", "retried", 1)]
            assert [event.measures["type"] for event in events.of("actor.turn")] == ["Fail"]
            ground.plan.release()
            await told
            await failing
            await system.idle()
            assert brief(turns.take()) == [("Add", "finished", 1), ("Fail", "finished", 2)]
            assert [event.measures["type"] for event in events.of("actor.turn", "/t/ledger")] == ["Fail", "Add", "Fail"]


async def test_a_light_actors_turn_waits_for_what_it_rests_on(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        async with system.trace("/t/light") as turns:
            ground.plan.hold()
            told = asyncio.ensure_future(_tell(system.ref("/t/ledger"), Relay(to="/t/light")))
            await ground.plan.arrived()
            await rounds()
            assert log == ["add 1"]
            assert turns.waiting == 0
            ground.plan.release()
            await told
            turn = await anext(turns)
            assert (turn.type, turn.sender, turn.state_changed) == ("Add", "/t/ledger", None)


async def test_what_was_lost_is_never_shown(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        async with system.trace(ref) as turns:
            ground.plan.hold()
            told = asyncio.ensure_future(_tell(ref, Add(amount=1)))
            await ground.plan.arrived()
            await rounds()
            assert log == ["add 1"]
            ground.plan.fail(StoreUnavailable("cable pulled"))
            ground.plan.release()
            with pytest.raises(StoreUnavailable):
                await told
            await system.idle()
            assert turns.take() == []
            await ref.tell(Add(amount=2))  # and a reset of the tree doesn't end the trace
            assert brief([await anext(turns)]) == [("Add", "finished", 1)]


async def test_light_turns_one_by_one(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/light")
        async with system.trace(ref) as turns:
            for amount in range(100):
                ref.tell(Add(amount=amount))
            await system.idle()
            found = turns.take()
            assert [turn.mailbox for turn in found] == list(range(99, -1, -1))
            ref.tell(Add(amount=0))
        ref.tell(Add(amount=0))
        await system.idle()
        assert is_off(system, "/t/light")
        assert len(log) == 102


async def test_system_messages_arent_traced(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        async with system.trace(ref) as turns:
            await ref.ask(GetState())
            await ref.ask(Suspend())
            await system.idle()
            assert turns.take() == []


async def test_several_look_on(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        ref = system.ref("/t/ledger")
        async with system.trace(ref) as first:
            async with system.trace("/t/ledger", waiting_max=2) as second:
                for amount in range(5):
                    await ref.tell(Add(amount=amount))
                await system.idle()
                assert (first.waiting, first.dropped) == (5, 0)
                assert (second.waiting, second.dropped) == (2, 3)
            await ref.tell(Add(amount=9))
            await system.idle()
            assert (first.waiting, second.waiting) == (6, 2)
            assert len([turn async for turn in second]) == 2  # what is there can be read
        assert is_off(system, "/t/ledger")


async def test_who_reads_is_woken(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        seen: list[str] = []

        async def read(turns: Trace) -> None:
            async for turn in turns:
                seen.append(turn.type)  # noqa: PERF401 - one by one, as they come

        async with system.trace("/t/ledger") as turns:
            readers = [asyncio.ensure_future(read(turns)) for _ in range(3)]
            await rounds()
            readers.pop().cancel()
            await rounds()
            await system.ref("/t/ledger").tell(Add(amount=1))
            await system.idle()
            await rounds()
            assert seen == ["Add"]
        async with patience():
            await asyncio.gather(*readers)


async def test_it_ends_with_the_node(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        async with system.trace("/t/ledger") as turns:
            await system.ref("/t/ledger").tell(Add(amount=1))
            await system.stop()
            assert [turn.type async for turn in turns] == ["Add", "on_stop"]


async def test_an_address_that_nothing_has_yet(memory: MemoryGround) -> None:
    async with memory.node(SPEC) as system:
        async with system.trace("/t/pool/later") as turns:
            await system.ref("/t/pool/later").tell(Add(amount=1))
            assert (await anext(turns)).type == "Add"
        with pytest.raises(ActorNotFound):
            async with system.trace("nowhere"):
                pass
        with pytest.raises(ValueError, match="at least one turn"):
            async with system.trace("/t/ledger", waiting_max=0):
                pass
