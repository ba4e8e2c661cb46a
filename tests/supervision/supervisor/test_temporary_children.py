"""Temporary children: their spec goes with their end, and is back when the supervisor that names it starts anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from grounds import Ground, MemoryGround
from otp_steps import ask, end, kid, kids, running, sup, top, which
from otp_worker import Cues, Worker

from greenroom import (
    AlreadyPresent,
    ChildNotFound,
    DeleteChild,
    Reconfigure,
    RestartChild,
    StartChild,
    SupervisorSpec,
    TerminateChild,
)
from greenroom.persistence.store.rows import ChildRow


@pytest.fixture(autouse=True)
def cues() -> Iterator[Cues]:
    Worker.cues = Cues()
    yield Worker.cues
    Worker.cues.gate.set()


def named() -> SupervisorSpec:
    """Its children are a, t (temporary) and z."""
    return sup(kid("a"), kid("t", restart="temporary"), kid("z"), id="n", intensity=0)


ALL = running("z", "t", "a")


async def restart(system: Any, above: str = "/top") -> None:
    await ask(system, above, TerminateChild(id="n"))
    await ask(system, above, RestartChild(id="n"))


@pytest.mark.parametrize("how", ["normal", "error"])
async def test_it_comes_back_with_its_supervisor(ground: Ground, cues: Cues, how: Any) -> None:
    async with ground.node(top(named())) as system:
        await end(system, "/top/n/t", how)
        assert await which(system, "/top/n") == running("z", "a")
        cues.take()
        await restart(system)
        assert cues.take() == ["-z", "-a", "+a", "+t", "+z"], "in its place"
        assert await which(system, "/top/n") == ALL
        await end(system, "/top/n/t", how)
        await restart(system)
        assert await which(system, "/top/n") == ALL, "and again"


async def test_it_comes_back_with_an_exit_of_its_supervisor(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(named(), intensity=3)) as system:
        await end(system, "/sup/n/t")
        cues.take()
        await end(system, "/sup/n/a")  # one too many for n
        assert cues.take() == ["-a error", "-z", "+a", "+t", "+z"]
        assert await which(system, "/sup/n") == ALL


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_one_that_was_stopped_with_its_group(memory: MemoryGround, cues: Cues, strategy: Any) -> None:
    inner = sup(kid("a"), kid("t", restart="temporary"), id="n", strategy=strategy)
    async with memory.node(top(inner)) as system:
        await end(system, "/top/n/a")
        assert await which(system, "/top/n") == running("a")
        await restart(system)
        assert await which(system, "/top/n") == running("t", "a")


async def test_a_temporary_supervisor_comes_back_with_its_children(memory: MemoryGround, cues: Cues) -> None:
    inner = sup(kid("a"), sup(*kids("b", "c"), id="t", restart="temporary", intensity=0), id="n")
    async with memory.node(top(inner)) as system:
        await end(system, "/top/n/t/b")
        assert await which(system, "/top/n") == running("a")
        cues.take()
        await restart(system)
        assert cues.take() == ["-a", "+a", "+b", "+c"]
        assert await which(system, "/top/n/t") == running("c", "b")


async def test_terminated_by_administration(memory: MemoryGround, cues: Cues) -> None:
    """Its spec goes then as well; no row remembers that it was stopped."""
    async with memory.node(top(named())) as system:
        await ask(system, "/top/n", TerminateChild(id="t"))
        with pytest.raises(ChildNotFound):
            await ask(system, "/top/n", RestartChild(id="t"))
        await restart(system)
        assert await which(system, "/top/n") == ALL


async def test_one_that_came_by_start_child_stays_away(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(top(named())) as system:
        await ask(system, "/top/n", StartChild(spec=kid("extra", restart="temporary")))
        await restart(system)
        assert await which(system, "/top/n") == ALL


async def test_below_a_supervisor_that_came_by_start_child(ground: Ground, cues: Cues) -> None:
    """Its spec has named them, in this life of the node and in the next one."""
    async with ground.node(top()) as system:
        await ask(system, "/top", StartChild(spec=named()))
        await end(system, "/top/n/t")
        await restart(system)
        assert await which(system, "/top/n") == ALL
        await end(system, "/top/n/t")
    async with ground.node(top()) as system:
        assert await which(system, "/top/n") == ALL
        await end(system, "/top/n/t")
        await restart(system)
        assert await which(system, "/top/n") == ALL
        await ask(system, "/top", TerminateChild(id="n"))
        await ask(system, "/top", DeleteChild(id="n"))
    assert not [row for row in ground.rows(ChildRow) if row.supervisor.startswith("/top/n")]


async def test_a_deleted_child_stays_away(memory: MemoryGround, cues: Cues) -> None:
    """`Reconfigure` has made it temporary while it was stopped."""
    inner = sup(kid("a"), kid("t"), id="n")
    async with memory.node(top(inner)) as system:
        await ask(system, "/top/n", TerminateChild(id="t"))
        await ask(system, "/top/n", Reconfigure(spec=sup(kid("a"), kid("t", restart="temporary"), id="n")))
        await ask(system, "/top/n", DeleteChild(id="t"))
        await restart(system)
        assert await which(system, "/top/n") == running("a")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_made_temporary_while_stopped_then_its_group_restarts(
    memory: MemoryGround, cues: Cues, strategy: Any, strict: bool
) -> None:
    """Its spec goes, as that of every temporary child of the group (OTP)."""

    def spec(**options: Any) -> SupervisorSpec:
        return sup(kid("a"), kid("t", **options), id="n", strategy=strategy, strict=strict)

    async with memory.node(top(spec())) as system:
        await ask(system, "/top/n", TerminateChild(id="t"))
        await ask(system, "/top/n", Reconfigure(spec=spec(restart="temporary")))
        assert await which(system, "/top/n") == [("t", "stopped"), ("a", "running")]
        cues.take()
        await end(system, "/top/n/a")
        assert cues.take() == ["-a error", "+a"]
        assert await which(system, "/top/n") == running("a")


async def test_a_restart_that_is_ignored_keeps_the_spec(memory: MemoryGround, cues: Cues) -> None:
    """RestartChild of a temporary child: what its start says doesn't concern its spec (OTP)."""
    async with memory.node(top(sup(kid("t"), id="n"))) as system:
        await ask(system, "/top/n", TerminateChild(id="t"))
        await ask(system, "/top/n", Reconfigure(spec=sup(kid("t", restart="temporary"), id="n")))
        cues.ignore("t")
        assert await ask(system, "/top/n", RestartChild(id="t")) is None
        assert await which(system, "/top/n") == [("t", "stopped")]
        with pytest.raises(AlreadyPresent):
            await ask(system, "/top/n", StartChild(spec=kid("t")))
        assert await ask(system, "/top/n", RestartChild(id="t")) == "/top/n/t"
