"""The ends of actors: time limits of handlers and the shutdown ladder."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from ending_workers import Notes, Run, Worker, log, notes, running, worker
from grounds import Ground, MemoryGround, tree

from greenroom import Actor, AskFailed, ChildSpec, handler
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    Worker.gate = asyncio.Event()
    yield
    with suppress(RuntimeError):  # the loop is closed after a test that hung
        Worker.gate.set()  # whatever swallows its cancellation ends now


# -- time limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["never", "swallow once", "cleanup", "swallow"])
async def test_a_handler_that_takes_too_long(memory: MemoryGround, clock: Any, how: str) -> None:
    """It is charged, its actor exits and is restarted, the message is tried again and then parked."""
    spec = tree(worker(handler_timeout_s=10.0), ("other", Worker), intensity=5)
    async with memory.node(spec, runtime=clock) as system:
        events = Recorder(system)
        ref = system.ref("/t/worker")
        await ref.tell(Run(how=how))
        await ref.tell(Run(note="next"))
        await clock.advance(9.9)
        assert not events.of("message.failed")
        await clock.advance(30)
        await clock.run(system.idle())
        assert len(events.of("message.failed")) == 1
        assert [event.measures["cause"] for event in events.of("message.parked")] == ["failed"]
        assert len(events.of("actor.exited", "/t/worker")) == 2
        assert await ref.ask(Notes()) == ["next"]
        if how == "swallow":
            assert len(events.of("actor.abandoned")) == 2
            Worker.gate.set()
            await clock.run(system.idle())
            await clock.settle()
            assert await ref.ask(Notes()) == ["next"], "a zombie commits nothing"
            assert await system.ref("/t/other").ask(Notes()) == []
    (letter,) = memory.rows(DeadLetterRow)
    assert letter.error.endswith("HandlerTimeout")
    assert letter.attempts == 2
    assert notes(memory) == ["next"]


async def test_a_zombie_that_dies_later_harms_nobody(memory: MemoryGround, clock: Any) -> None:
    async with memory.node(tree(worker(handler_timeout_s=1.0, max_attempts=1)), runtime=clock) as system:
        ref = system.ref("/t/worker")
        await ref.tell(Run(how="swallow"))
        await clock.advance(5)
        await ref.tell(Run(note="a"))
        await clock.run(system.idle())
        Worker.gate.set()  # it goes on, and fails at its tell
        await clock.settle()
        await ref.tell(Run(note="b"))
        await clock.run(system.idle())
        assert await ref.ask(Notes()) == ["a", "b"]


async def test_an_asked_handler_that_takes_too_long(memory: MemoryGround, clock: Any) -> None:
    spec = tree(ChildSpec(id="slow", actor=SlowAnswer, handler_timeout_s=1.0))
    async with memory.node(spec, runtime=clock) as system:
        ask = asyncio.ensure_future(system.ref("/t/slow").ask(Notes(), timeout_s=100))
        await clock.advance(3)
        with pytest.raises(AskFailed, match="HandlerTimeout"):
            await ask


class SlowAnswer(Actor[None]):
    @handler
    async def notes(self, request: Notes) -> list[str]:
        await asyncio.Event().wait()
        return []


async def test_the_users_own_time_limits_work_in_a_handler(ground: Ground) -> None:
    async with ground.node(tree(Limits)) as system:
        assert await system.ref("/t/limits").ask(Notes()) == ["asyncio", "anyio", "group", "wait_for"]


class Limits(Actor[None]):
    @handler
    async def notes(self, request: Notes) -> list[str]:
        import anyio

        found = []
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            found.append("asyncio")
        with anyio.move_on_after(0.001) as scope:
            await anyio.Event().wait()
        if scope.cancelled_caught:
            found.append("anyio")
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(asyncio.sleep, 0)
                raise ValueError
        except* ValueError:
            found.append("group")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        except TimeoutError:
            found.append("wait_for")
        return found


# -- the shutdown ladder --------------------------------------------------------------------------------


async def test_ask_the_running_turn_may_finish(memory: MemoryGround, clock: Any) -> None:
    async with memory.node(tree(worker(shutdown=5.0)), runtime=clock) as system:
        await system.ref("/t/worker").tell(Run(how="wait", note="done"))
        await system.ref("/t/worker").tell(Run(note="next"))
        await running(clock)
        stop = asyncio.ensure_future(system.stop())
        await clock.advance(4.9)
        Worker.gate.set()
        await clock.settle()
        await stop
    assert log == ["run wait", "stop shutdown"]
    assert notes(memory) == ["done"]
    assert len(memory.rows(MessageRow)) == 1


@pytest.mark.parametrize("how", ["never", "cleanup"])
async def test_cancel_after_the_shutdown_time_and_no_charge(memory: MemoryGround, clock: Any, how: str) -> None:
    async with memory.node(tree(worker(shutdown=5.0)), runtime=clock) as system:
        await system.ref("/t/worker").tell(Run(how=how))
        await running(clock)
        stop = asyncio.ensure_future(system.stop())
        await clock.advance(4.9)
        assert not stop.done()
        await clock.advance(0.2)
        await clock.run(stop)
    assert notes(memory) == []
    assert len(memory.rows(MessageRow)) == 1
    assert not memory.rows(AttemptRow), "it hasn't failed"
    assert ("cleaned up" in log) == (how == "cleanup")


async def test_abandon_what_swallows_the_cancellation(memory: MemoryGround, clock: Any) -> None:
    async with memory.node(tree(worker(shutdown=5.0), ("other", Worker)), runtime=clock) as system:
        events = Recorder(system)
        await system.ref("/t/worker").tell(Run(how="swallow"))
        await running(clock)
        stop = asyncio.ensure_future(system.stop())
        await clock.advance(20)
        await clock.run(stop)
        assert [event.address for event in events.of("actor.abandoned")] == ["/t/worker"]
    Worker.gate.set()
    await clock.settle()
    assert notes(memory) == []
    assert notes(memory, "/t/other") == []
    assert len(memory.rows(MessageRow)) == 1
    assert not memory.rows(AttemptRow)


async def test_brutal_kill_begins_at_cancel(memory: MemoryGround, clock: Any) -> None:
    async with memory.node(tree(worker(shutdown="brutal_kill")), runtime=clock) as system:
        await system.ref("/t/worker").tell(Run(how="cleanup"))
        await running(clock)
        stop = asyncio.ensure_future(system.stop())
        await clock.settle()
        assert stop.done() or log[-1] == "cleaned up"
        await clock.run(stop)
    assert log == ["run cleanup", "cleaned up"], "and there is no time for on_stop"


async def test_infinity_waits(memory: MemoryGround, clock: Any) -> None:
    spec = tree(worker(shutdown="infinity", handler_timeout_s="infinity"))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/worker").tell(Run(how="wait", note="done"))
        await running(clock)
        stop = asyncio.ensure_future(system.stop())
        await clock.advance(100_000)
        assert not stop.done()
        Worker.gate.set()
        await clock.run(stop)
    assert notes(memory) == ["done"]


async def test_a_slow_child_doesnt_change_how_its_siblings_end(memory: MemoryGround, clock: Any) -> None:
    """[sup_stop_timeout]"""
    spec = tree(("a", Worker), worker(shutdown=5.0), ("c", Worker))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/worker").tell(Run(how="never"))
        await running(clock)
        log.clear()
        await clock.run(system.stop())
    assert log == ["stop shutdown", "stop shutdown"]


async def test_children_that_exit_by_themselves_during_the_stop(memory: MemoryGround, clock: Any) -> None:
    """[sup_stop_race]"""
    spec = tree(*((f"w{number}", Selfish) for number in range(5)))
    async with memory.node(spec, runtime=clock) as system:
        for number in range(5):
            await system.ref(f"/t/w{number}").tell(Run())
        await clock.settle()
        stop = asyncio.ensure_future(system.stop())
        Worker.gate.set()
        await clock.run(stop)


class Selfish(Actor[None]):
    @handler
    async def run(self, message: Run) -> None:
        await Worker.gate.wait()
        self.stop()


async def test_a_pool_stops_its_actors_together(memory: MemoryGround, clock: Any) -> None:
    """[simple_one_for_one_shutdown] Bounded by one shutdown time, not by their sum."""
    from greenroom import SupervisorSpec

    slow = ChildSpec(id="w", actor=Worker, shutdown=5.0)
    spec = tree(SupervisorSpec(id="pool", strategy="dynamic", template=slow))
    async with memory.node(spec, runtime=clock) as system:
        for number in range(10):
            await system.ref(f"/t/pool/{number}").tell(Run(how="never"))
        await running(clock)
        began = clock.monotonic()
        await clock.run(system.stop())
        assert clock.monotonic() - began < 10
    assert len(memory.rows(MessageRow)) == 10
