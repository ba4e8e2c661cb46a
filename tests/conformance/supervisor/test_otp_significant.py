"""Significant children and auto-shutdown. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import MemoryGround
from otp_steps import ask, end, kid, kids, life, running, sup, top, which
from otp_worker import Cues, End

from greenroom import ActorSystem, RestartChild, StartChild, TerminateChild
from greenroom.testing import Recorder

MODES: list[Any] = ["never", "any_significant", "all_significant"]


def three(restart: Any, auto_shutdown: Any) -> Any:
    """a and b are significant, c isn't. The supervisor is transient: it shows that it has shut itself down."""
    significant = kids("a", "b", restart=restart, significant=True)
    return top(
        sup(*significant, *kids("c", restart=restart), auto_shutdown=auto_shutdown, intensity=5, restart="transient")
    )


async def has_shut_down(system: ActorSystem, cues: Cues, *stopped: str) -> None:
    """The supervisor of `three` has ended, its children in reverse order."""
    assert cues.take()[-len(stopped) :] == [f"-{one}" for one in stopped]
    assert await which(system, "/top") == [("sup", "stopped")]


@pytest.mark.parametrize("auto_shutdown", MODES)
async def test_nonsignificant_temporary(memory: MemoryGround, cues: Cues, auto_shutdown: Any) -> None:
    async with memory.node(top(sup(auto_shutdown=auto_shutdown))) as system:
        spec = kid("a", restart="temporary")
        await ask(system, "/top/sup", StartChild(spec=spec))
        await ask(system, "/top/sup", TerminateChild(id="a"))
        for how in ("killed", "error", "normal"):
            await ask(system, "/top/sup", StartChild(spec=spec))
            await end(system, "/top/sup/a", how)
            assert await which(system, "/top/sup") == []


@pytest.mark.parametrize("auto_shutdown", MODES)
async def test_nonsignificant_transient(memory: MemoryGround, cues: Cues, auto_shutdown: Any) -> None:
    spec = sup(*kids("a", restart="transient"), auto_shutdown=auto_shutdown, intensity=5)
    async with memory.node(top(spec)) as system:
        await ask(system, "/top/sup", TerminateChild(id="a"))
        await ask(system, "/top/sup", RestartChild(id="a"))
        for how in ("killed", "error", "normal"):
            await end(system, "/top/sup/a", how)
        assert cues.lives["a"] == 4
        assert await which(system, "/top/sup") == [("a", "stopped")]


@pytest.mark.parametrize("how", ["killed", "error", "normal", "shutdown"])
async def test_significant_temporary(memory: MemoryGround, cues: Cues, how: Any) -> None:
    """Any end of one of them by itself; not its termination by administration."""
    async with memory.node(three("temporary", "any_significant")) as system:
        await ask(system, "/top/sup", TerminateChild(id="a"))
        await system.idle()
        assert await which(system, "/top/sup") == running("c", "b")
        await ask(system, "/top/sup", StartChild(spec=kid("a", restart="temporary", significant=True)))
        assert await which(system, "/top/sup") == running("a", "c", "b")
        await end(system, "/top/sup/a", how)
        await has_shut_down(system, cues, "c", "b")


async def test_significant_temporary_all(memory: MemoryGround, cues: Cues) -> None:
    """The last of them."""
    async with memory.node(three("temporary", "all_significant")) as system:
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top/sup") == running("c", "b")
        await end(system, "/top/sup/b", "error")
        await has_shut_down(system, cues, "c")


@pytest.mark.parametrize("how", ["normal", "shutdown"])
async def test_significant_transient(memory: MemoryGround, cues: Cues, how: Any) -> None:
    """An end that isn't followed by a restart; not its termination by administration."""
    async with memory.node(three("transient", "any_significant")) as system:
        await ask(system, "/top/sup", TerminateChild(id="a"))
        await system.idle()
        assert await which(system, "/top/sup") == [("c", "running"), ("b", "running"), ("a", "stopped")]
        await ask(system, "/top/sup", RestartChild(id="a"))
        await end(system, "/top/sup/a", "killed")
        await end(system, "/top/sup/a", "error")
        assert await life(system, "/top/sup/a") == 4
        await end(system, "/top/sup/a", how)
        await has_shut_down(system, cues, "c", "b")


async def test_significant_transient_all(memory: MemoryGround, cues: Cues) -> None:
    """The last of them; one that was terminated doesn't count any more."""
    async with memory.node(three("transient", "all_significant")) as system:
        await end(system, "/top/sup/a", "normal")
        assert await which(system, "/top/sup") == [("c", "running"), ("b", "running"), ("a", "stopped")]
        await ask(system, "/top/sup", RestartChild(id="a"))
        await end(system, "/top/sup/b", "normal")
        await end(system, "/top/sup/a", "error")
        assert await which(system, "/top/sup") == [("c", "running"), ("b", "stopped"), ("a", "running")]
        await end(system, "/top/sup/a", "normal")
        await has_shut_down(system, cues, "c")


async def test_significant_terminated_isnt_waited_for(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(three("transient", "all_significant")) as system:
        await ask(system, "/top/sup", TerminateChild(id="a"))
        assert await which(system, "/top") == running("sup")
        await end(system, "/top/sup/b", "normal")
        await has_shut_down(system, cues, "c")


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
async def test_significant_bystander(memory: MemoryGround, cues: Cues, strategy: Any, auto_shutdown: Any) -> None:
    """The death of a significant child that a sibling's exit caused doesn't count."""
    children = [
        kid("a", restart="transient", significant=True),
        kid("b", restart="transient"),
        kid("c", restart="transient", significant=True),
    ]
    async with memory.node(top(sup(*children, strategy=strategy, auto_shutdown=auto_shutdown, intensity=5))) as system:
        await end(system, "/top/sup/b", "killed")
        assert await which(system, "/top/sup") == running("c", "b", "a")
        lives = {"one_for_one": [1, 2, 1], "one_for_all": [2, 2, 2], "rest_for_one": [1, 2, 2]}[strategy]
        assert [cues.lives[one] for one in "abc"] == lives


@pytest.mark.parametrize("auto_shutdown", ["any_significant", "all_significant"])
async def test_significant_bystander_temporary(memory: MemoryGround, cues: Cues, auto_shutdown: Any) -> None:
    """Not even if it isn't started again."""
    children = [*kids("a"), kid("b", restart="temporary", significant=True)]
    spec = sup(*children, strategy="one_for_all", auto_shutdown=auto_shutdown, intensity=5)
    async with memory.node(top(spec)) as system:
        await end(system, "/top/sup/a")
        assert await which(system, "/top/sup") == running("a")


async def test_significant_escalation(memory: MemoryGround, cues: Cues) -> None:
    """The shutdown of a significant supervisor shuts down the one above it."""

    def nested(significant: bool) -> Any:
        worker = kid("w", restart="transient", significant=True)
        inner = sup(worker, id="inner", auto_shutdown="any_significant", restart="transient", significant=significant)
        return top(sup(inner, *kids("b"), auto_shutdown="any_significant", restart="transient"))

    async with memory.node(nested(True)) as system:
        events = Recorder(system)
        await end(system, "/top/sup/inner/w", "normal")
        assert cues.take() == ["+w", "+b", "-w normal", "-b"]
        assert await which(system, "/top") == [("sup", "stopped")]
        kinds = [event.measures["kind"] for event in events.of("actor.exited")]
        assert kinds == ["normal", "shutdown", "shutdown"]
    async with MemoryGround().node(nested(False)) as system:
        await end(system, "/top/sup/inner/w", "normal")
        assert await which(system, "/top/sup") == [("b", "running"), ("inner", "stopped")]


async def test_significant_root(memory: MemoryGround, cues: Cues) -> None:
    """An auto-shutdown of the root ends the node, with `shutdown`."""
    spec = sup(*kids("a", restart="transient", significant=True), *kids("b"), auto_shutdown="any_significant")
    async with memory.node(spec) as system:
        events = Recorder(system)
        await ask(system, "/sup/a", End(how="normal"))
        await system.ended.wait()
        assert cues.take() == ["+a", "+b", "-a normal", "-b"]
        assert events.of("actor.exited", "/sup")[0].measures["kind"] == "shutdown"
