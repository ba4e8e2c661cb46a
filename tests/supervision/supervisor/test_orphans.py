"""A supervisor that is killed had no time to stop its children: nothing of them runs on, and none runs twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from grounds import MemoryGround
from otp_steps import ask, end, kid, kids, life, sup, top, watch, which
from otp_worker import Cues, Work, Worker

from greenroom import ActorNotFound, ActorSystem, RestartChild, StartChild, SupervisorSpec, TerminateChild
from greenroom.persistence.store.rows import AttemptRow, DeadLetterRow, MessageRow
from greenroom.testing import VirtualRuntime


@pytest.fixture(autouse=True)
def cues() -> Iterator[Cues]:
    Worker.cues = Cues()
    yield Worker.cues
    Worker.cues.gate.set()


def up(system: ActorSystem) -> list[str]:
    """The addresses of all workers that are up."""
    cells = system.kernel.cells.values()
    return [cell.address for cell in cells if cell.definition.cls is Worker and cell.incarnation is not None]


def one_life_at_a_time(log: list[str]) -> bool:
    """Whether each start of a worker is followed by its end before its next start."""
    running: set[str] = set()
    for entry in log:
        sign, one = entry[0], entry[1:].split(" ")[0]
        if sign == "+":
            if one in running:
                return False
            running.add(one)
        elif sign == "-":
            running.discard(one)
    return True


def killed(**options: Any) -> SupervisorSpec:
    """A supervisor over a worker, a supervisor of workers, and a worker."""
    inner = sup(*kids("b", "c"), id="inner")
    return sup(kid("a"), inner, kid("d"), id="s", **options)


async def test_brutal_kill(memory: MemoryGround, cues: Cues) -> None:
    """Each child ends with `killed`, its `on_stop` runs; an inner supervisor stops its children in reverse (OTP)."""
    async with memory.node(top(killed(shutdown="brutal_kill"))) as system:
        await watch(system, "/top/s", "/top/s/a", "/top/s/inner", "/top/s/inner/b")
        cues.take()
        await ask(system, "/top", TerminateChild(id="s"))
        assert up(system) == []
        log = cues.take()
        assert sorted(log) == ["-a killed", "-b", "-c", "-d killed"]
        assert log.index("-c") < log.index("-b")
        with pytest.raises(ActorNotFound, match="/top/s is stopped"):
            await life(system, "/top/s/a")
        await system.idle()
        assert cues.downs == {"s": "killed", "a": "killed", "inner": "killed", "b": "shutdown"}
        await ask(system, "/top", RestartChild(id="s"))
        assert cues.take() == ["+a", "+b", "+c", "+d"]
        assert [await life(system, f"/top/s/{one}") for one in ("a", "inner/b", "d")] == [2, 2, 2]
    assert len(cues.take()) == 4


async def test_a_brutally_killed_child_below_runs_no_on_stop(memory: MemoryGround, cues: Cues) -> None:
    spec = sup(kid("a"), kid("b", shutdown="brutal_kill"), id="s", shutdown="brutal_kill")
    async with memory.node(top(spec)) as system:
        cues.take()
        await ask(system, "/top", TerminateChild(id="s"))
        assert cues.take() == ["-a killed"]
        assert up(system) == []


async def test_its_time_ran_out(clock: VirtualRuntime, memory: MemoryGround, cues: Cues) -> None:
    """One child takes all the time there is over its `on_stop`, so the others have to be stopped without it."""
    async with memory.node(top(killed(shutdown=2.0)), runtime=clock) as system:
        await clock.run(watch(system, "/top/s"))
        cues.take()
        cues.stop_s["d"] = 60.0
        before = clock.monotonic()
        await clock.run(ask(system, "/top", TerminateChild(id="s")))
        assert clock.monotonic() - before <= 2.5
        assert up(system) == []
        assert sorted(cues.take()) == ["-a killed", "-b", "-c"]
        await clock.run(system.idle())
        assert cues.downs == {"s": "killed"}
        await clock.run(ask(system, "/top", RestartChild(id="s")))
        assert cues.take() == ["+a", "+b", "+c", "+d"]
        cues.stop_s.clear()


async def test_its_time_ran_out_over_a_turn(clock: VirtualRuntime, memory: MemoryGround, cues: Cues) -> None:
    """The child that was being stopped then is stopped to the end: its turn is cut off without
    a charge, and its `on_stop` runs."""
    async with memory.node(top(killed(shutdown=2.0)), runtime=clock) as system:
        await system.ref("/top/s/d").tell(Work())
        await cues.working("d")
        cues.take()
        await clock.run(ask(system, "/top", TerminateChild(id="s")))
        assert up(system) == []
        assert sorted(cues.take()) == ["-a killed", "-b", "-c", "-d killed", "~d"]
        assert len(memory.rows(MessageRow)) == 1
        assert not memory.rows(AttemptRow)
        assert not memory.rows(DeadLetterRow)


async def test_its_time_ran_out_while_it_started_a_child(memory: MemoryGround, cues: Cues) -> None:
    """Its own handler is cut off, and so is the start in it. The children that run are stopped."""
    async with memory.node(top(sup(*kids("a", "b"), id="s", shutdown=0.05))) as system:
        cues.take()
        cues.hold("c")
        started = asyncio.ensure_future(ask(system, "/top/s", StartChild(spec=kid("c"))))
        await cues.holding("c")
        await ask(system, "/top", TerminateChild(id="s"))
        with pytest.raises(Exception, match="stopped before it answered"):
            await started
        assert up(system) == []
        assert sorted(cues.take()) == ["-a killed", "-b killed"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_killed_with_its_group(memory: MemoryGround, cues: Cues, strategy: Any) -> None:
    """A restart of the group starts no child a second time before its first life is over."""
    async with memory.node(sup(kid("first"), killed(shutdown="brutal_kill"), strategy=strategy)) as system:
        await end(system, "/sup/first")
        assert await which(system, "/sup/s") == [("d", "running"), ("inner", "running"), ("a", "running")]
        log = cues.take()
        assert one_life_at_a_time(log)
        assert all(log.count(f"+{one}") == 2 for one in "abcd")
        assert {"-a killed", "-b", "-c", "-d killed"} <= set(log)


async def test_killed_under_a_dynamic_supervisor(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(top(sup(id="dyn", strategy="dynamic"))) as system:
        await ask(system, "/top/dyn", StartChild(spec=killed(shutdown="brutal_kill")))
        cues.take()
        await ask(system, "/top", TerminateChild(id="dyn"))
        assert up(system) == []
        assert sorted(cues.take()) == ["-a killed", "-b", "-c", "-d killed"]


async def test_killed_at_the_end_of_the_node(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(top(killed(shutdown="brutal_kill"))):
        cues.take()
    assert sorted(cues.take()) == ["-a killed", "-b", "-c", "-d killed"]
