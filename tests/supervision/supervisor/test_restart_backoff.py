"""How long children that exit again and again wait for their restart, and what can be done meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import MemoryGround, pool, tree
from patience import patient
from restart_actors import Child, Die, Hi, Note, failing, kids, log

from greenroom import (
    AlreadyPresent,
    ConfigError,
    CountChildren,
    DeleteChild,
    RestartBackoff,
    RestartChild,
    Restarting,
    StartChild,
    SupervisorSpec,
    TerminateChild,
    TreeGaveUp,
    WhichChildren,
    start,
)
from greenroom.persistence.store.rows import ActorRow
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def fresh() -> None:
    log.clear()
    failing.clear()


EXACT = RestartBackoff(initial_s=1.0, factor=2.0, max_s=5.0, jitter=0.0, reset_s=60.0)


def top(*children: Any, backoff: RestartBackoff = EXACT, **flags: Any) -> SupervisorSpec:
    return tree(*children, restart_backoff=backoff, **{"intensity": 1000, **flags})


async def die(system: Any, clock: VirtualRuntime, address: str = "/t/a") -> None:
    """An exit, and all that it causes at once. (`idle` would wait for the restart.)"""
    log.clear()
    await system.ref(address).tell(Die())
    await clock.settle()


async def statuses(system: Any, address: str = "/t") -> dict[str, str]:
    return {child.id: child.status for child in reversed(await system.ref(address).ask(WhichChildren()))}


# -- how long ---------------------------------------------------------------------------------------------


async def test_the_first_restart_is_at_once_the_next_ones_wait_longer_and_longer(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    async with memory.node(top(*kids("a", "b")), runtime=clock) as system:
        await die(system, clock)
        assert log == ["-a:error", "+a"]
        for delay_s in (1.0, 2.0, 4.0, 5.0, 5.0):
            await die(system, clock)
            await clock.advance(delay_s - 0.001)
            assert log == ["-a:error"], delay_s
            await clock.advance(0.001)
            assert log == ["-a:error", "+a"], delay_s
        await die(system, clock, "/t/b")
        assert log == ["-b:error", "+b"], "each child has its own"


async def test_one_that_was_up_for_long_starts_anew(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a")), runtime=clock) as system:
        for _ in range(2):
            await die(system, clock)
        await clock.advance(1.0)  # up again
        await clock.advance(59.9)
        await die(system, clock)
        await clock.advance(1.9)
        assert log == ["-a:error"], "not for long enough: it goes on with 2 s"
        await clock.advance(0.1)
        await clock.advance(60.0)
        await die(system, clock)
        assert log == ["-a:error", "+a"]


async def test_jitter_spreads_it_within_its_bounds(memory: MemoryGround, clock: VirtualRuntime) -> None:
    backoff = RestartBackoff(initial_s=10.0, factor=1.0, jitter=0.5)
    found: list[float] = []
    async with memory.node(top(*kids("a"), backoff=backoff), runtime=clock) as system:
        await die(system, clock)
        for _ in range(30):
            events = Recorder(system)
            await die(system, clock)
            await clock.run(events.until("actor.started", "/t/a"))
            (exited,), (started,) = events.of("actor.exited"), events.of("actor.started")
            found.append(started.at - exited.at)
            events.close()
    assert 5.0 <= min(found) < 8.0
    assert 12.0 < max(found) <= 15.0


async def test_a_wait_is_no_restart_each_exit_is(memory: MemoryGround, clock: VirtualRuntime) -> None:
    backoff = RestartBackoff(initial_s=10.0, factor=1.0, jitter=0.0)
    async with memory.node(top(*kids("a"), backoff=backoff, intensity=1, period_s=9.0), runtime=clock) as system:
        for _ in range(10):
            await die(system, clock)
            await clock.advance(10.0)
        await die(system, clock)
        await clock.advance(1.0)
        assert log == ["-a:error"], "waiting"
        assert not system.ended.is_set()
    async with memory.node(top(*kids("a"), backoff=EXACT, intensity=1, period_s=9.0), runtime=clock) as system:
        await die(system, clock)
        await clock.advance(1.0)
        await die(system, clock)
        assert system.ended.is_set(), "a wait that is shorter than the period doesn't keep it from giving up"


async def test_a_restart_that_fails_waits_too_and_is_charged(memory: MemoryGround, clock: VirtualRuntime) -> None:
    failing_twice = top(*kids("a"), intensity=3, period_s=60.0)
    async with memory.node(failing_twice, runtime=clock) as system:
        failing["a"] = 2
        await die(system, clock)
        assert log == ["-a:error", "!a"]
        assert await statuses(system) == {"a": "restarting"}
        await clock.advance(1.0)
        assert log == ["-a:error", "!a", "!a"]
        await clock.advance(1.9)
        assert log == ["-a:error", "!a", "!a"]
        await clock.advance(0.1)
        assert log == ["-a:error", "!a", "!a", "+a"]
        await die(system, clock)  # the fourth charge
        with pytest.raises(TreeGaveUp):
            await system.idle()


async def test_children_of_a_template_wait_and_so_does_their_mail(memory: MemoryGround, clock: VirtualRuntime) -> None:
    spec = tree(pool(Child, restart_backoff=EXACT, intensity=1000))
    async with memory.node(spec, runtime=clock) as system:
        await die(system, clock, "/t/pool/x")
        await die(system, clock, "/t/pool/x")
        await system.ref("/t/pool/x").tell(Note(text="patience"))
        await clock.settle()
        assert log == ["-x:error"], "a message starts nobody who waits for a restart"
        assert await system.ref("/t/pool/y").ask(Hi()) == 1
        await clock.advance(1.0)
        assert log == ["-x:error", "+y", "+x"]
        await system.idle()
    (row,) = [row for row in memory.rows(ActorRow) if row.address == "/t/pool/x"]
    assert "patience" in row.state


# -- meanwhile --------------------------------------------------------------------------------------------


async def waiting(system: Any, clock: VirtualRuntime, address: str = "/t/a") -> None:
    """The child has exited twice, and waits 1 s for its restart."""
    for _ in range(2):
        await die(system, clock, address)


async def test_a_node_in_which_one_waits_isnt_idle(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a")), runtime=clock) as system:
        await waiting(system, clock)
        idle = asyncio.ensure_future(system.idle())
        await clock.advance(0.9)
        assert not idle.done()
        await clock.advance(0.1)
        await patient(idle)
        assert log == ["-a:error", "+a"]


async def test_what_administration_says_of_one_that_waits(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a", "b")), runtime=clock) as system:
        await waiting(system, clock)
        supervisor = system.ref("/t")
        assert await statuses(system) == {"a": "restarting", "b": "running"}
        counts = await supervisor.ask(CountChildren())
        assert (counts.specs, counts.active) == (2, 1)
        for request in (RestartChild(id="a"), DeleteChild(id="a")):
            with pytest.raises(Restarting):
                await supervisor.ask(request)
        with pytest.raises(AlreadyPresent):
            await supervisor.ask(StartChild(spec=kids("a")[0]))
        assert await supervisor.ask(StartChild(spec=kids("c")[0])) == "/t/c"
        await clock.advance(1.0)
        assert await statuses(system) == {"a": "running", "b": "running", "c": "running"}


async def test_one_that_waits_can_be_terminated_and_started_at_once(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    async with memory.node(top(*kids("a", "b")), runtime=clock) as system:
        await waiting(system, clock)
        supervisor = system.ref("/t")
        await supervisor.ask(TerminateChild(id="a"))
        assert await statuses(system) == {"a": "stopped", "b": "running"}
        await patient(system.idle())  # nothing is left to wait for
        await clock.advance(10.0)
        assert log == ["-a:error"]
        assert await supervisor.ask(RestartChild(id="a")) == "/t/a"
        await supervisor.ask(TerminateChild(id="b"))
        await supervisor.ask(DeleteChild(id="b"))
        await clock.advance(10.0)
        assert log == ["-a:error", "+a", "-b"]
        assert await statuses(system) == {"a": "running"}


async def test_a_wait_that_was_ended_ends_no_later_one(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a")), runtime=clock) as system:
        await waiting(system, clock)
        await clock.advance(0.5)
        await system.ref("/t").ask(TerminateChild(id="a"))
        await system.ref("/t").ask(RestartChild(id="a"))
        await die(system, clock)  # waits 2 s from now on
        await clock.advance(1.9)
        assert log == ["-a:error"], "the wait of before is over, and has started nobody"
        await clock.advance(0.1)
        assert log == ["-a:error", "+a"]
        await system.idle()


async def test_a_wait_of_two_siblings_at_once(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a", "b")), runtime=clock) as system:
        await waiting(system, clock, "/t/a")
        await clock.advance(0.5)
        await waiting(system, clock, "/t/b")
        await clock.advance(0.5)
        assert log == ["-b:error", "+a"]
        await clock.advance(0.5)
        assert log == ["-b:error", "+a", "+b"]


# -- groups -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "stopped", "started"),
    [
        ("rest_for_one", ["-b:error", "-c"], ["+b", "+c"]),
        ("one_for_all", ["-b:error", "-c", "-a"], ["+a", "+b", "+c"]),
    ],
)
async def test_a_group_waits_together(
    memory: MemoryGround, clock: VirtualRuntime, strategy: Any, stopped: list[str], started: list[str]
) -> None:
    async with memory.node(top(*kids("a", "b", "c"), strategy=strategy), runtime=clock) as system:
        await die(system, clock, "/t/b")
        assert log == [*stopped, *started]
        await die(system, clock, "/t/b")
        assert log == stopped
        assert await statuses(system) == {
            "a": "running" if strategy == "rest_for_one" else "stopped",
            "b": "restarting",
            "c": "stopped",
        }
        await clock.advance(1.0)
        assert log == [*stopped, *started]
        await system.idle()
        assert set((await statuses(system)).values()) == {"running"}


async def test_a_sibling_whose_exit_restarts_the_group_takes_along_who_waits(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    async with memory.node(top(*kids("a", "b", "c"), strategy="rest_for_one"), runtime=clock) as system:
        await waiting(system, clock, "/t/b")
        await die(system, clock, "/t/a")
        assert log == ["-a:error", "+a", "+b", "+c"], "at once: it is the first exit of a"
        await die(system, clock, "/t/b")  # waits 2 s
        await clock.advance(1.0)
        assert log == ["-b:error", "-c"], "the wait of before is over"
        await clock.advance(1.0)
        assert log == ["-b:error", "-c", "+b", "+c"]
        await system.idle()


async def test_the_wait_of_before_leaves_the_one_of_now_alone(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a", "b"), strategy="one_for_all"), runtime=clock) as system:
        await waiting(system, clock, "/t/b")
        await system.ref("/t").ask(RestartChild(id="a"))
        await die(system, clock, "/t/a")  # which takes b along
        await die(system, clock, "/t/b")
        await clock.advance(1.5)
        await system.ref("/t").ask(TerminateChild(id="b"))
        await patient(system.idle())


async def test_who_waited_with_one_that_is_terminated_stays_stopped(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    """As in OTP: nobody but administration starts them. They aren't halted: the next restart of the group does."""
    async with memory.node(top(*kids("a", "b", "c"), strategy="rest_for_one"), runtime=clock) as system:
        await waiting(system, clock, "/t/b")
        await system.ref("/t").ask(TerminateChild(id="b"))
        await patient(system.idle())
        await clock.advance(10.0)
        assert await statuses(system) == {"a": "running", "b": "stopped", "c": "stopped"}
        await system.ref("/t").ask(RestartChild(id="b"))
        await system.ref("/t").ask(RestartChild(id="c"))
        assert log == ["-b:error", "-c", "+b", "+c"]


async def test_a_group_that_fails_in_the_middle_waits_for_the_rest(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a", "b", "c"), strategy="rest_for_one"), runtime=clock) as system:
        failing["b"] = 2
        await die(system, clock, "/t/a")
        assert log == ["-a:error", "-c", "-b", "+a", "!b", "!b"], "b's first failure is tried again at once"
        assert await statuses(system) == {"a": "running", "b": "restarting", "c": "stopped"}
        await clock.advance(1.0)
        assert log[6:] == ["+b", "+c"]
        await system.idle()


async def test_a_supervisor_that_ends_takes_its_waits_along(memory: MemoryGround, clock: VirtualRuntime) -> None:
    inner = SupervisorSpec(id="s", children=kids("a", "b"), restart_backoff=EXACT, intensity=2, period_s=60.0)
    async with memory.node(tree(inner), runtime=clock) as system:
        await waiting(system, clock, "/t/s/a")
        await die(system, clock, "/t/s/b")  # the third
        assert log == ["-b:error", "+a", "+b"]
        await patient(system.idle())
        await clock.advance(10.0)
        assert log == ["-b:error", "+a", "+b"]
        await die(system, clock, "/t/s/a")
        assert log == ["-a:error", "+a"], "the new supervisor begins anew"


async def test_a_node_stops_while_one_waits(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(top(*kids("a", "b")), runtime=clock) as system:
        await waiting(system, clock)
        log.clear()
    assert log == ["-b"]


# -- strict -----------------------------------------------------------------------------------------------


async def test_strict_has_none(memory: MemoryGround) -> None:
    spec = top(*kids("a"), strict=True)
    with pytest.raises(ConfigError, match=r"restart_backoff: found .*, expected none for strict = true"):
        async with start(spec):
            pytest.fail("it started")
    async with memory.node(tree(*kids("a"))) as system:
        with pytest.raises(ConfigError, match="strict"):
            await system.ref("/t").ask(StartChild(spec=SupervisorSpec(id="s", strict=True, restart_backoff=EXACT)))


@pytest.mark.parametrize(
    ("given", "error"),
    [({"reset_s": 0}, ValueError), ({"reset_s": "1"}, TypeError), ({"initial_s": -1}, ValueError)],
)
def test_what_a_backoff_may_not_be(given: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"Backoff\\({next(iter(given))}="):
        RestartBackoff(**given)


def test_a_spec_takes_a_table_as_well() -> None:
    spec = SupervisorSpec(id="s", restart_backoff={"initial_s": 7.0})
    assert spec.backoff == RestartBackoff(initial_s=7.0)
    assert SupervisorSpec(id="s").backoff is None
