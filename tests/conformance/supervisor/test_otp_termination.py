"""Which exits are followed by a restart: permanent, transient and temporary. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import Ground, MemoryGround
from otp_steps import ask, counts, end, kid, kids, life, running, sup, which
from otp_worker import Cues, How

from greenroom import AlreadyPresent, AlreadyStarted, RestartChild, StartChild, TerminateChild


async def _restarted(ground: Ground, restart: Any, *hows: How) -> None:
    async with ground.node(sup(*kids("a", restart=restart), *kids("b"))) as system:
        for number, how in enumerate(hows, 1):
            await end(system, "/sup/a", how)
            assert await which(system, "/sup") == running("b", "a")
            assert await counts(system, "/sup") == (2, 2, 0, 2)
            assert await life(system, "/sup/a") == number + 1
        assert await life(system, "/sup/b") == 1


async def _spec_kept(ground: Ground, *hows: How) -> None:
    async with ground.node(sup(*kids("a", restart="transient"), *kids("b"))) as system:
        for how in hows:
            await end(system, "/sup/a", how)
            assert await which(system, "/sup") == [("b", "running"), ("a", "stopped")]
            assert await counts(system, "/sup") == (2, 1, 0, 2)
            await ask(system, "/sup", RestartChild(id="a"))


async def _spec_gone(ground: Ground, cues: Cues, *hows: How) -> None:
    async with ground.node(sup(*kids("b"))) as system:
        for how in hows:
            await ask(system, "/sup", StartChild(spec=kid("a", restart="temporary")))
            await end(system, "/sup/a", how)
            assert await which(system, "/sup") == running("b")
            assert await counts(system, "/sup") == (1, 1, 0, 1)
        assert cues.lives["a"] == len(hows), "never restarted"


async def test_permanent_normal(ground: Ground) -> None:
    await _restarted(ground, "permanent", "normal")


async def test_permanent_shutdown(ground: Ground) -> None:
    await _restarted(ground, "permanent", "shutdown", "shutdown_info")


async def test_permanent_abnormal(ground: Ground) -> None:
    await _restarted(ground, "permanent", "error", "killed")


async def test_transient_normal(ground: Ground) -> None:
    await _spec_kept(ground, "normal")


async def test_transient_shutdown(ground: Ground) -> None:
    await _spec_kept(ground, "shutdown", "shutdown_info")


async def test_transient_abnormal(ground: Ground) -> None:
    await _restarted(ground, "transient", "error", "killed")


async def test_temporary_normal(ground: Ground, cues: Cues) -> None:
    await _spec_gone(ground, cues, "normal")


async def test_temporary_shutdown(ground: Ground, cues: Cues) -> None:
    await _spec_gone(ground, cues, "shutdown", "shutdown_info")


async def test_temporary_abnormal(ground: Ground, cues: Cues) -> None:
    await _spec_gone(ground, cues, "error", "killed")


@pytest.mark.parametrize("restart", ["transient", "temporary"])
async def test_not_restarted_not_charged(memory: MemoryGround, restart: Any) -> None:
    """Exits that aren't followed by a restart don't count for the intensity."""
    async with memory.node(sup(*kids("a", restart=restart), *kids("b"), intensity=0)) as system:
        for _ in range(3):
            await end(system, "/sup/a", "normal")
            if restart == "transient":
                await ask(system, "/sup", RestartChild(id="a"))
            else:
                await ask(system, "/sup", StartChild(spec=kid("a", restart=restart)))
        assert await life(system, "/sup/b") == 1


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
@pytest.mark.parametrize(("restart", "how"), [("transient", "normal"), ("temporary", "error"), ("temporary", "normal")])
async def test_not_restarted_leaves_the_group(
    memory: MemoryGround, cues: Cues, strategy: Any, restart: Any, how: Any
) -> None:
    """An exit that isn't followed by a restart concerns nobody else, whatever the strategy."""
    async with memory.node(sup(*kids("a"), kid("b", restart=restart), *kids("c"), strategy=strategy)) as system:
        await end(system, "/sup/b", how)
        assert [await life(system, f"/sup/{one}") for one in "ac"] == [1, 1]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_temporary_bystander(memory: MemoryGround, cues: Cues, strategy: Any) -> None:
    """Stopped with its group, and not started with it; its spec is gone."""
    spec = sup(*kids("a"), *kids("b", restart="temporary"), *kids("c"), strategy=strategy)
    async with memory.node(spec) as system:
        cues.take()
        await end(system, "/sup/a", "normal")
        assert cues.take() == ["-a normal", "-c", "-b", "+a", "+c"]
        assert await which(system, "/sup") == running("c", "a")
        assert await counts(system, "/sup") == (2, 2, 0, 2)


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("how", ["killed", "normal", "error", "terminated"])
async def test_do_not_save_child_specs_for_temporary_children(memory: MemoryGround, strategy: Any, how: Any) -> None:
    """Whichever way it ends, a temporary child's id is free afterwards, and another's isn't."""

    async def over(restart: Any) -> str:
        async with MemoryGround().node(sup(strategy=strategy)) as system:
            await ask(system, "/sup", StartChild(spec=kid("a", restart=restart)))
            if how == "terminated":
                await ask(system, "/sup", TerminateChild(id="a"))
            else:
                await end(system, "/sup/a", how)
            try:
                await ask(system, "/sup", StartChild(spec=kid("a", restart=restart)))
            except AlreadyPresent:
                assert await ask(system, "/sup", RestartChild(id="a")) == "/sup/a"
                return "present"
            except AlreadyStarted:
                return "started"
            return "free"

    assert await over("permanent") == ("present" if how == "terminated" else "started")
    assert await over("transient") == ("present" if how in ("terminated", "normal") else "started")
    assert await over("temporary") == "free"
