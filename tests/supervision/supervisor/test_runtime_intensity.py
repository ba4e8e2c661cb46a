"""When a supervisor gives up, and what its own supervisor does then."""

from __future__ import annotations

import msgspec
import pytest
from grounds import Ground, tree
from restart_actors import Hi, Memory, Note, failing, kids, kill, log

from greenroom import Actor, Backoff, SupervisorSpec, TreeGaveUp, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()
    failing.clear()


# -- intensity ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intensity", [0, 1, 3])
async def test_one_more_than_the_intensity_is_too_many(memory: Ground, clock: VirtualRuntime, intensity: int) -> None:
    """[one_for_one] Each exit is another message's."""
    spec = tree(*kids("a", "b"), intensity=intensity, period_s=5.0)
    async with memory.node(spec, runtime=clock) as system:
        events = Recorder(system)
        for _ in range(intensity):
            await kill(system, "/t/a")
        assert not events.of("supervisor.gave_up")
        log.clear()
        with pytest.raises(TreeGaveUp, match="/t/a"):
            await kill(system, "/t/a")
        assert system.ended.is_set()
        assert log == ["-a:error", "-b"], "the children were stopped in reverse"
        with pytest.raises(TreeGaveUp):
            await system.idle()


@pytest.mark.parametrize(("gap_s", "gives_up"), [(4.9, True), (5.0, True), (5.001, False), (60.0, False)])
async def test_the_period_counts_its_boundary(
    memory: Ground, clock: VirtualRuntime, gap_s: float, gives_up: bool
) -> None:
    """An entry exactly as old as the period still counts (OTP)."""
    async with memory.node(tree(*kids("a"), intensity=1, period_s=5.0), runtime=clock) as system:
        await kill(system, "/t/a")
        await clock.advance(gap_s)
        if gives_up:
            with pytest.raises(TreeGaveUp):
                await kill(system, "/t/a")
        else:
            await kill(system, "/t/a")


async def test_spaced_restarts_never_trip_the_limit(memory: Ground, clock: VirtualRuntime) -> None:
    """[multiple_restarts]"""
    async with memory.node(tree(*kids("a"), intensity=1, period_s=1.0), runtime=clock) as system:
        for _ in range(20):
            await kill(system, "/t/a")
            await clock.advance(1.1)


async def test_a_strategys_restart_of_several_children_counts_once(memory: Ground, clock: VirtualRuntime) -> None:
    spec = tree(*kids("a", "b", "c"), strategy="one_for_all", intensity=1, period_s=5.0)
    async with memory.node(spec, runtime=clock) as system:
        await kill(system, "/t/a")


async def test_normal_exits_of_permanent_children_are_charged(memory: Ground, clock: VirtualRuntime) -> None:
    async with memory.node(tree(*kids("a"), intensity=1, period_s=5.0), runtime=clock) as system:
        await kill(system, "/t/a", "normal")
        with pytest.raises(TreeGaveUp):
            await kill(system, "/t/a", "normal")


async def test_exits_that_arent_restarted_are_not_charged(memory: Ground, clock: VirtualRuntime) -> None:
    spec = tree(*kids(*"abcdef", restart="temporary"), intensity=0)
    async with memory.node(spec, runtime=clock) as system:
        for one in "abcdef":
            await kill(system, f"/t/{one}")


@pytest.mark.parametrize("batched", [False, True])
async def test_a_poison_message_charges_once(ground: Ground, batched: bool) -> None:
    """It is parked after all its attempts, and the supervisor with intensity 1 stands."""
    actor = BatchPoison if batched else Poison
    spec = tree(("a", actor), intensity=1, period_s=60.0)
    async with ground.node(spec) as system:
        events = Recorder(system)
        for text in ("one", "poison", "two"):
            system.ref("/t/a").tell(Note(text=text))
        await system.idle()
        assert len(events.of("message.parked")) == 1
        assert len(events.of("actor.exited")) >= 5
    (row,) = ground.rows(ActorRow)
    assert sorted(msgspec.json.decode(row.state)["notes"]) == ["one", "two"]
    (letter,) = ground.rows(DeadLetterRow)
    assert letter.attempts == 5


class Poison(Actor[Memory]):
    backoff = Backoff(initial_s=0.001, factor=1.0)

    @handler
    def note(self, message: Note) -> None:
        if "poison" in message.text:
            raise RuntimeError(message.text)
        self.state.notes.append(message.text)


class BatchPoison(Actor[Memory]):
    backoff = Backoff(initial_s=0.001, factor=1.0)

    @handler
    def notes(self, messages: list[Note]) -> None:
        for message in messages:
            if "poison" in message.text:
                raise RuntimeError(message.text)
            self.state.notes.append(message.text)


async def test_many_failing_messages_escalate_and_stay(ground: Ground) -> None:
    """A broken deployment: nothing is parked for it, the tree gives up with everything in the mailbox."""
    spec = tree(("a", Poison), intensity=3, period_s=60.0)
    async with ground.node(spec) as system:
        receipts = [system.ref("/t/a").tell(Note(text=f"poison {number}")) for number in range(20)]
        for receipt in receipts:
            await receipt
        with pytest.raises(TreeGaveUp):
            await system.idle()
    assert not ground.rows(DeadLetterRow)
    assert len(ground.rows(MessageRow)) == 20


# -- escalation -----------------------------------------------------------------------------------------


async def test_an_inner_supervisor_that_gives_up_is_restarted_afresh(memory: Ground, clock: VirtualRuntime) -> None:
    inner = SupervisorSpec(id="s", intensity=1, period_s=5.0, children=kids("b", "c"))
    spec = tree(*kids("a"), inner, *kids("d"), intensity=1, period_s=5.0)
    async with memory.node(spec, runtime=clock) as system:
        await kill(system, "/t/s/b")
        log.clear()
        await kill(system, "/t/s/b")
        assert log == ["-b:error", "-c", "+b", "+c"], "stopped by the end of their supervisor, started by the next"
        log.clear()
        await kill(system, "/t/s/b")
        assert log == ["-b:error", "+b"], "its count starts anew"
        with pytest.raises(TreeGaveUp):
            await kill(system, "/t/s/b")


async def test_a_transient_supervisor_that_gives_up_is_not_restarted(memory: Ground, clock: VirtualRuntime) -> None:
    """It exits with `shutdown` (OTP)."""
    inner = SupervisorSpec(id="s", intensity=0, restart="transient", children=kids("b", "c"))
    async with memory.node(tree(*kids("a"), inner), runtime=clock) as system:
        log.clear()
        await kill(system, "/t/s/b")
        assert log == ["-b:error", "-c"]
        assert await system.ref("/t/a").ask(Hi()) == 1


async def test_the_roots_end_says_who_broke_it(memory: Ground, clock: VirtualRuntime) -> None:
    async with memory.node(tree(*kids("a"), intensity=0), runtime=clock) as system:
        with pytest.raises(TreeGaveUp) as caught:
            await kill(system, "/t/a", "it is broken")
        assert caught.value.address == "/t"
        assert "/t/a" in str(caught.value)
        assert "it is broken" in str(caught.value)
