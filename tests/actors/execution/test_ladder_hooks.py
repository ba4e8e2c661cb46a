"""The ends of actors: hooks that raise or don't end, failed starts, stops from within and twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from ending_workers import Memory, Notes, Run, Worker, log, notes, swallow_cancellations, worker
from grounds import Ground, MemoryGround, pool, tree
from patience import patient

from greenroom import Actor, Backoff, ChildSpec, ExitReason, StartFailed, handler
from greenroom.persistence.store.rows import ActorRow, AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    Worker.gate = asyncio.Event()
    yield
    with suppress(RuntimeError):  # the loop is closed after a test that hung
        Worker.gate.set()  # whatever swallows its cancellation ends now


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
        await patient(clock.run(system.stop()))
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
        await patient(clock.run(system.idle()))
        assert await system.ref("/t/hooked").ask(Notes()) == ["again"]


@pytest.mark.parametrize("start", [_never, _swallow])
async def test_on_start_that_never_ends(memory: MemoryGround, clock: Any, start: Any) -> None:
    Hooked.start = start

    async def begin() -> None:
        async with memory.node(tree(ChildSpec(id="hooked", actor=Hooked, handler_timeout_s=5.0)), runtime=clock):
            pytest.fail("it started")

    with pytest.raises(StartFailed, match="HandlerTimeout"):
        await patient(clock.run(begin()))


@pytest.mark.parametrize("start", [_never, _swallow])
async def test_in_a_pool_the_message_is_charged(memory: MemoryGround, clock: Any, start: Any) -> None:
    Hooked.start = start
    template = ChildSpec(id="x", actor=Hooked, handler_timeout_s=5.0, max_attempts=2)
    from greenroom import SupervisorSpec

    spec = tree(SupervisorSpec(id="pool", strategy="dynamic", template=template))
    async with memory.node(spec, runtime=clock) as system:
        await system.ref("/t/pool/a").tell(Run())
        await patient(clock.run(system.idle()))
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
        await patient(clock.run(system.stop()))


class Suicidal(Actor[None]):
    @handler
    async def run(self, message: Run) -> None:
        await self.system.stop()
