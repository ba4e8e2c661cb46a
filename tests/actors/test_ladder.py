"""The ends of actors: stops, time limits, handlers that don't end, hooks that raise."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, pool, tree

from understudy import Actor, AskFailed, Backoff, ChildSpec, ExitReason, Message, Request, StartFailed, handler
from understudy.actors.testing import Recorder
from understudy.persistence.record import ActorRow, AttemptRow, DeadLetterRow, MessageRow

log: list[str] = []


class Run(Message):
    how: str = ""
    note: str = ""


class Notes(Request[list[str]]):
    pass


class Memory(msgspec.Struct):
    notes: list[str] = []


async def swallow_cancellations() -> None:
    """Wait for the gate through one cancellation; a second one, at the end of the loop, gets through."""
    try:
        await Worker.gate.wait()
        return
    except asyncio.CancelledError:
        log.append("swallowed")
    await Worker.gate.wait()


class Worker(Actor[Memory]):
    """`how` says what a turn does before it notes something."""

    gate: asyncio.Event
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 2
    zombie: Worker

    @handler
    async def run(self, message: Run) -> None:
        log.append(f"run {message.how}")
        Worker.zombie = self
        self.state.notes.append("draft")
        match message.how:
            case "wait":
                await Worker.gate.wait()
            case "never":
                await asyncio.Event().wait()
            case "swallow":
                await swallow_cancellations()
                self.system.ref("/t/other").tell(Run(note="from a zombie"))
            case "swallow once":
                try:
                    await Worker.gate.wait()
                except asyncio.CancelledError:
                    log.append("swallowed")
            case "cleanup":
                try:
                    await Worker.gate.wait()
                finally:
                    log.append("cleaned up")
        self.state.notes.remove("draft")
        self.state.notes.append(message.note)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes

    async def on_stop(self, reason: ExitReason) -> None:
        log.append(f"stop {reason.kind}")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    Worker.gate = asyncio.Event()
    yield
    with suppress(RuntimeError):  # the loop is closed after a test that hung
        Worker.gate.set()  # whatever swallows its cancellation ends now


def worker(**options: Any) -> ChildSpec:
    return ChildSpec(id="worker", actor=Worker, **options)


async def running(clock: Any) -> None:
    await clock.settle()
    assert log[-1].startswith("run")


def notes(ground: Ground, address: str = "/t/worker") -> list[str]:
    (row,) = [row for row in ground.rows(ActorRow) if row.address == address]
    found: list[str] = msgspec.json.decode(row.state)["notes"]
    return found


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
    from understudy import SupervisorSpec

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


# -- hooks ----------------------------------------------------------------------------------------------


class Hooked(Actor[Memory]):
    backoff = Backoff(initial_s=0.001, factor=1.0)
    start: Any = None
    end: Any = None

    async def on_start(self) -> None:
        log.append("on_start")
        if Hooked.start is not None:
            await Hooked.start(self)

    async def on_stop(self, reason: ExitReason) -> None:
        log.append(f"on_stop {reason.kind}")
        if Hooked.end is not None:
            await Hooked.end(self)

    @handler
    def run(self, message: Run) -> None:
        if message.how == "raise":
            raise RuntimeError
        self.state.notes.append(message.note)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


@pytest.fixture(autouse=True)
def unhooked() -> None:
    Hooked.start = Hooked.end = None


async def _note(actor: Any) -> None:
    actor.state.notes.append("hook")
    actor.system.ref("/t/worker").tell(Run(note="from the hook"))


async def _note_and_raise(actor: Any) -> None:
    await _note(actor)
    raise RuntimeError("hook")


async def _swallow(actor: Any) -> None:
    await swallow_cancellations()


async def _never(actor: Any) -> None:
    await asyncio.Event().wait()


async def test_on_start_and_on_stop_are_turns(ground: Ground) -> None:
    Hooked.start = _note
    async with ground.node(tree(worker(), Hooked)) as system:
        await system.idle()
        assert await system.ref("/t/worker").ask(Notes()) == ["from the hook"]
        Hooked.end = _note
    assert notes(ground, "/t/hooked") == ["hook", "hook"]
    Hooked.start = Hooked.end = None
    async with ground.node(tree(worker(), Hooked)) as system:
        await system.idle()
        assert await system.ref("/t/worker").ask(Notes()) == ["from the hook", "from the hook"]


async def test_on_start_that_raises_leaves_nothing(ground: Ground) -> None:
    Hooked.start = _note_and_raise
    with pytest.raises(StartFailed, match="hook"):
        async with ground.node(tree(worker(), Hooked)):
            pytest.fail("it started")
    Hooked.start = None
    assert not [row for row in ground.rows(ActorRow) if row.address == "/t/hooked"]
    async with ground.node(tree(worker(), Hooked)) as system:
        await system.idle()
        assert await system.ref("/t/worker").ask(Notes()) == []


async def test_on_stop_that_raises_leaves_nothing_and_stops_all_the_same(ground: Ground) -> None:
    Hooked.end = _note_and_raise
    async with ground.node(tree(worker(), Hooked)) as system:
        events = Recorder(system)
        await system.ref("/t/hooked").tell(Run(note="a"))
        await system.idle()
    assert len(events.of("actor.stop_failed", "/t/hooked")) == 1
    assert notes(ground, "/t/hooked") == ["a"]
    assert not ground.rows(MessageRow)


async def test_on_stop_after_a_failed_turn_sees_the_last_finished_state(ground: Ground) -> None:
    seen: list[list[str]] = []

    async def look(actor: Any) -> None:
        seen.append(list(actor.state.notes))

    Hooked.end = look
    async with ground.node(tree(("hooked", Drafts))) as system:
        await system.ref("/t/hooked").tell(Run(note="a"))
        await system.ref("/t/hooked").tell(Run(how="raise"))
        await system.idle()
    assert seen[0] == ["a"]


class Drafts(Hooked):
    max_attempts = 1

    @handler
    def run(self, message: Run) -> None:
        self.state.notes.append(message.note or "draft")
        if message.how == "raise":
            raise RuntimeError


@pytest.mark.parametrize("end", [_never, _swallow])
async def test_on_stop_that_never_ends(memory: MemoryGround, clock: Any, end: Any) -> None:
    Hooked.end = end
    async with memory.node(tree(ChildSpec(id="hooked", actor=Hooked, shutdown=5.0)), runtime=clock) as system:
        await asyncio.wait_for(clock.run(system.stop()), 20)
    assert clock.monotonic() < 60


@pytest.mark.parametrize("end", [_never, _swallow])
async def test_on_stop_that_never_ends_at_an_exit(memory: MemoryGround, clock: Any, end: Any) -> None:
    """By itself, not by a shutdown: `handler_timeout_s` is the limit, then it is restarted."""
    spec = tree(ChildSpec(id="hooked", actor=Hooked, handler_timeout_s=5.0, max_attempts=1))
    async with memory.node(spec, runtime=clock) as system:
        Hooked.end = end
        await system.ref("/t/hooked").tell(Run(how="raise"))
        await clock.advance(10)
        Hooked.end = None
        await system.ref("/t/hooked").tell(Run(note="again"))
        await asyncio.wait_for(clock.run(system.idle()), 20)
        assert await system.ref("/t/hooked").ask(Notes()) == ["again"]


@pytest.mark.parametrize("start", [_never, _swallow])
async def test_on_start_that_never_ends(memory: MemoryGround, clock: Any, start: Any) -> None:
    Hooked.start = start

    async def begin() -> None:
        async with memory.node(tree(ChildSpec(id="hooked", actor=Hooked, handler_timeout_s=5.0)), runtime=clock):
            pytest.fail("it started")

    with pytest.raises(StartFailed, match="HandlerTimeout"):
        await asyncio.wait_for(clock.run(begin()), 20)


@pytest.mark.parametrize("start", [_never, _swallow])
async def test_in_a_pool_the_message_is_charged(memory: MemoryGround, clock: Any, start: Any) -> None:
    Hooked.start = start
    template = ChildSpec(id="x", actor=Hooked, handler_timeout_s=5.0, max_attempts=2)
    from understudy import SupervisorSpec

    spec = tree(SupervisorSpec(id="pool", strategy="dynamic", template=template))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/pool/a").tell(Run())
        await asyncio.wait_for(clock.run(system.idle()), 20)
    (letter,) = memory.rows(DeadLetterRow)
    assert (letter.cause, letter.attempts) == ("start_failed", 2)


async def test_a_stop_during_an_activation_charges_nobody(memory: MemoryGround, clock: Any) -> None:
    for _ in range(3):
        Hooked.start = _never
        async with memory.node(tree(pool(Hooked)), runtime=clock) as system:
            if not _:
                await system.ref("/t/pool/a").tell(Run(note="a"))
            await clock.settle()
            assert log[-1] == "on_start"
            await clock.run(system.stop())
    assert not memory.rows(AttemptRow)
    Hooked.start = None
    async with memory.node(tree(pool(Hooked)), runtime=clock) as system:
        await system.idle()
        assert await system.ref("/t/pool/a").ask(Notes()) == ["a"]


async def test_an_activation_that_fails_charges_its_message_alone(ground: Ground) -> None:
    """One broken account is parked letter by letter; the pool and the others stand."""
    Hooked.start = _note_and_raise
    async with ground.node(tree(worker(), pool(Hooked), intensity=0)) as system:
        events = Recorder(system)
        for note in "ab":
            await system.ref("/t/pool/a").tell(Run(note=note))
        await system.idle()
        assert len(events.of("message.parked")) == 2
        assert not events.of("supervisor.gave_up")
    letters = ground.rows(DeadLetterRow)
    assert [letter.cause for letter in letters] == ["start_failed"] * 2
    assert [letter.attempts for letter in letters] == [5, 5]
    assert "hook" in letters[0].text


async def test_stop_in_on_start_is_a_start_that_failed(ground: Ground) -> None:
    """As `{stop, normal}` of an init is (OTP); who doesn't want to run raises Ignore."""

    async def stop(actor: Any) -> None:
        actor.stop()

    Hooked.start = stop
    with pytest.raises(StartFailed, match="/t/hooked did not start: normal"):
        async with ground.node(tree(worker(), Hooked)):
            pytest.fail("it started")


async def test_init_that_raises(ground: Ground) -> None:
    with pytest.raises(StartFailed, match="no init") as caught:
        async with ground.node(tree(NoInit)):
            pytest.fail("it started")
    assert "NoInit" in str(caught.value) or "noinit" in str(caught.value)


class NoInit(Actor[None]):
    def __init__(self) -> None:
        raise RuntimeError("no init")


async def test_stop_is_safe_to_call_twice_and_both_wait(ground: Ground) -> None:
    ended: list[str] = []

    async def slow(actor: Any) -> None:
        await asyncio.sleep(0.02)
        actor.state.notes.append("slow end")

    Hooked.end = slow
    async with ground.node(tree(Hooked)) as system:

        async def stop(name: str) -> None:
            await system.stop()
            ended.append(name)
            assert notes(ground, "/t/hooked") == ["slow end"]

        first = asyncio.ensure_future(stop("first"))
        await asyncio.sleep(0)
        await stop("second")
        await first
    assert sorted(ended) == ["first", "second"]
    await system.stop()


async def test_stop_in_a_handler_doesnt_wait_for_itself(memory: MemoryGround, clock: Any) -> None:
    async with memory.node(tree(Suicidal), runtime=clock) as system:
        await system.ref("/t/suicidal").tell(Run())
        await clock.advance(30)
        await asyncio.wait_for(clock.run(system.stop()), 10)


class Suicidal(Actor[None]):
    @handler
    async def run(self, message: Run) -> None:
        await self.system.stop()
