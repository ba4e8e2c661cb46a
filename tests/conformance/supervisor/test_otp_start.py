"""Starts: of supervisors, of children, and what becomes of those that fail. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

from typing import Any

import pytest
from grounds import Ground, MemoryGround
from otp_steps import ask, counts, end, kid, kids, life, running, sup, top, which
from otp_worker import Cues, Life, Worker

from greenroom import (
    Actor,
    ActorNotFound,
    ChildNotFound,
    ChildSpec,
    ConfigError,
    GetChildSpec,
    RestartChild,
    StartChild,
    StartFailed,
    SupervisorSpec,
    TerminateChild,
)


async def test_sup_start_normal(ground: Ground, cues: Cues) -> None:
    async with ground.node(sup(*kids("a", "b"))) as system:
        assert cues.take() == ["+a", "+b"]
        assert await which(system, "/sup") == running("b", "a")
        assert await life(system, "/sup/a") == 1
    assert cues.take() == ["-b", "-a"]


# -- Ignore ---------------------------------------------------------------------------------------------


async def test_sup_start_ignore_child(ground: Ground, cues: Cues) -> None:
    cues.ignore("a")
    async with ground.node(sup()) as system:
        assert await ask(system, "/sup", StartChild(spec=kid("a"))) is None
        assert await ask(system, "/sup", StartChild(spec=kid("b"))) == "/sup/b"
        assert await which(system, "/sup") == [("b", "running"), ("a", "stopped")]
        assert await counts(system, "/sup") == (2, 1, 0, 2)
        assert await ask(system, "/sup", RestartChild(id="a")) == "/sup/a"
        assert cues.take() == ["?a", "+b", "+a"]


async def test_sup_start_ignore_static_child(memory: MemoryGround, cues: Cues) -> None:
    """The supervisor itself starts all the same."""
    cues.ignore("b")
    async with memory.node(sup(*kids("a", "b", "c"))) as system:
        assert cues.take() == ["+a", "?b", "+c"]
        assert await which(system, "/sup") == [("c", "running"), ("b", "stopped"), ("a", "running")]
        assert await counts(system, "/sup") == (3, 2, 0, 3)


async def test_sup_start_ignore_temporary_child(memory: MemoryGround, cues: Cues) -> None:
    cues.ignore("a")
    async with memory.node(sup(*kids("a", "b", restart="temporary"))) as system:
        assert await which(system, "/sup") == running("b")
        assert await counts(system, "/sup") == (1, 1, 0, 1)


async def test_sup_start_ignore_temporary_child_start_child(ground: Ground, cues: Cues) -> None:
    cues.ignore("a")
    async with ground.node(sup()) as system:
        assert await ask(system, "/sup", StartChild(spec=kid("a", restart="temporary"))) is None
        assert await ask(system, "/sup", StartChild(spec=kid("b", restart="temporary"))) == "/sup/b"
        assert await which(system, "/sup") == running("b")
        assert await counts(system, "/sup") == (1, 1, 0, 1)
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", RestartChild(id="a"))


async def _start_ignore_simple(memory: MemoryGround, cues: Cues, restart: Any) -> None:
    cues.ignore("a")
    async with memory.node(top(sup(strategy="dynamic"))) as system:
        assert await ask(system, "/top/sup", StartChild(spec=kid("a", restart=restart))) is None
        assert await ask(system, "/top/sup", StartChild(spec=kid("b", restart=restart))) == "/top/sup/b"
        assert await which(system, "/top/sup") == running("b")
        assert (await counts(system, "/top/sup"))[1:] == (1, 0, 1)
        await ask(system, "/top", TerminateChild(id="sup"))  # and its end isn't disturbed by the one that isn't there
        assert cues.take() == ["?a", "+b", "-b"]
        assert await which(system, "/top") == [("sup", "stopped")]


async def test_sup_start_ignore_temporary_child_start_child_simple(memory: MemoryGround, cues: Cues) -> None:
    await _start_ignore_simple(memory, cues, "temporary")


async def test_sup_start_ignore_permanent_child_start_child_simple(memory: MemoryGround, cues: Cues) -> None:
    await _start_ignore_simple(memory, cues, "permanent")


# -- starts that fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [42, None, "a", Worker, [], {"id": "a"}])
async def test_sup_start_error_return(memory: MemoryGround, wrong: Any) -> None:
    """A child that is no spec is refused as that, before anything starts."""
    with pytest.raises(ConfigError) as caught:
        async with memory.node(sup(*kids("a"), wrong)):
            pytest.fail("it started")
    assert caught.value.key == "children[1]"
    assert caught.value.found == wrong
    assert "ChildSpec" in caught.value.expected


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_sup_start_fail(ground: Ground, cues: Cues, place: int) -> None:
    """The started ones are stopped in reverse; the error has the child's address, the reason and the stack."""
    ids = ["a", "b", "c"]
    cues.fail(ids[place])
    with pytest.raises(StartFailed) as caught:
        async with ground.node(sup(*kids(*ids))):
            pytest.fail("it started")
    before = ids[:place]
    assert cues.take() == [*(f"+{one}" for one in before), f"!{ids[place]}", *(f"-{one}" for one in reversed(before))]
    assert f"/sup/{ids[place]}" in str(caught.value)
    assert f"{ids[place]} can't start" in str(caught.value)
    assert "in on_start" in caught.value.reason.traceback
    assert cues.lives["c"] == 0, "and it isn't tried again"


async def test_sup_start_fail_in_init(memory: MemoryGround, cues: Cues) -> None:
    """A constructor that raises is a start that fails, too."""
    with pytest.raises(StartFailed, match="no such thing"):
        async with memory.node(sup(*kids("a"), ChildSpec(id="b", actor=Unmakeable))):
            pytest.fail("it started")
    assert cues.take() == ["+a", "-a"]


class Unmakeable(Actor[None]):
    def __init__(self) -> None:
        raise RuntimeError("no such thing")


async def test_sup_start_child_returns_error(ground: Ground, cues: Cues) -> None:
    """Nothing is stored."""
    cues.fail("b")
    async with ground.node(sup(*kids("a"))) as system:
        with pytest.raises(StartFailed, match="b can't start") as caught:
            await ask(system, "/sup", StartChild(spec=kid("b")))
        assert caught.value.address == "/sup/b"
        assert await which(system, "/sup") == running("a")
        assert await counts(system, "/sup") == (1, 1, 0, 1)
        assert cues.take() == ["+a", "!b"], "it is the caller's error: it isn't tried again"
    cues.recover("b")
    async with ground.node(sup(*kids("a"))) as system:
        assert await which(system, "/sup") == running("a")


async def test_sup_start_child_supervisor_returns_error(ground: Ground, cues: Cues) -> None:
    """Nor is anything stored of a supervisor whose child doesn't start."""
    cues.fail("b")
    async with ground.node(sup()) as system:
        with pytest.raises(StartFailed) as caught:
            await ask(system, "/sup", StartChild(spec=sup(*kids("a", "b"), id="s")))
        assert caught.value.address == "/sup/s"
        assert "/sup/s/b" in str(caught.value)
        assert cues.take() == ["+a", "!b", "-a"]
        assert await which(system, "/sup") == []
        with pytest.raises(ActorNotFound):
            await life(system, "/sup/s/a")
    async with ground.node(sup()) as system:
        assert await which(system, "/sup") == []
        assert cues.take() == []


async def test_sup_start_restart_child_returns_error(memory: MemoryGround, cues: Cues) -> None:
    """The spec stays, without a process; and such a start is not charged."""
    async with memory.node(sup(*kids("a"), intensity=0)) as system:
        await ask(system, "/sup", TerminateChild(id="a"))
        cues.fail("a")
        for _ in range(3):
            with pytest.raises(StartFailed, match="a can't start"):
                await ask(system, "/sup", RestartChild(id="a"))
            assert await which(system, "/sup") == [("a", "stopped")]
            assert await counts(system, "/sup") == (1, 0, 0, 1)
        cues.recover("a")
        assert await ask(system, "/sup", RestartChild(id="a")) == "/sup/a"
        assert cues.take() == ["+a", "-a", "!a", "!a", "!a", "+a"]


async def test_sup_start_child_returns_error_simple(memory: MemoryGround, cues: Cues) -> None:
    cues.fail("a")
    async with memory.node(sup(strategy="dynamic", intensity=0)) as system:
        for _ in range(3):
            with pytest.raises(StartFailed, match="a can't start"):
                await ask(system, "/sup", StartChild(spec=kid("a")))
        assert await which(system, "/sup") == []
        assert await counts(system, "/sup") == (0, 0, 0, 0)
        assert cues.take() == ["!a", "!a", "!a"]


async def test_faulty_application_shutdown(memory: MemoryGround, cues: Cues) -> None:
    """The error of a nested start comes out intact, through three supervisors."""
    cues.fail("c")
    inner = sup(sup(*kids("b", "c"), id="s2"), id="s1")
    with pytest.raises(StartFailed) as caught:
        async with memory.node(sup(*kids("a"), inner)):
            pytest.fail("it started")
    assert "/sup/s1/s2/c" in str(caught.value)
    assert "c can't start" in str(caught.value)
    assert cues.take() == ["+a", "+b", "!c", "-b", "-a"]


async def test_start_child_under_a_template(memory: MemoryGround, cues: Cues) -> None:
    """OTP's start_child of simple_one_for_one is a message here; a spec beside the template's is refused."""
    async with memory.node(sup(strategy="dynamic", template=kid("template"))) as system:
        with pytest.raises(ConfigError, match="template"):
            await ask(system, "/sup", StartChild(spec=kid("a")))
        assert await which(system, "/sup") == []
        assert await ask(system, "/sup/a", Life()) == 1


# -- specs that can be read -----------------------------------------------------------------------------


async def test_sup_start_map(ground: Ground) -> None:
    """Defaults are filled in: permanent, five seconds for a worker, infinity for a supervisor."""
    inner = SupervisorSpec(id="c")
    async with ground.node(
        SupervisorSpec(id="sup", children=[kid("a"), kid("b", shutdown="brutal_kill"), inner])
    ) as system:
        a, b, c = [await ask(system, "/sup", GetChildSpec(id=one)) for one in "abc"]
        assert (a.id, a.restart, a.significant, a.shutdown, a.kind) == ("a", "permanent", False, 5.0, "actor")
        assert a.actor == "otp_worker:Worker"
        assert (b.restart, b.shutdown) == ("permanent", "brutal_kill")
        assert (c.id, c.restart, c.significant, c.shutdown, c.kind) == (
            "c",
            "permanent",
            False,
            "infinity",
            "supervisor",
        )
        assert (c.strategy, c.intensity, c.period_s, c.auto_shutdown) == ("one_for_one", 3, 5.0, "never")
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", GetChildSpec(id="d"))
        assert await ask(system, "/sup", StartChild(spec=kid("d", args={"note": "x"}))) == "/sup/d"
        assert await ask(system, "/sup", GetChildSpec(id="d")) == kid("d", args={"note": "x"})


async def test_sup_start_map_simple(memory: MemoryGround) -> None:
    async with memory.node(sup(strategy="dynamic")) as system:
        for one in "abc":
            await ask(system, "/sup", StartChild(spec=kid(one, restart="temporary")))
        for one in "abc":
            assert await ask(system, "/sup", GetChildSpec(id=one)) == kid(one, restart="temporary")
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", GetChildSpec(id="d"))
        await end(system, "/sup/b", "normal")
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", GetChildSpec(id="b"))
