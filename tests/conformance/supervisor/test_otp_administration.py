"""The requests that supervisors answer, and what they refuse. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

import asyncio

import pytest
from grounds import Ground, MemoryGround
from otp_steps import ask, counts, end, kid, kids, life, running, sup, top, which
from otp_worker import Cues, End, Life

from greenroom import (
    ActorNotFound,
    AlreadyPresent,
    AlreadyStarted,
    AskFailed,
    ChildInfo,
    ChildNotFound,
    CountChildren,
    DeleteChild,
    NotForDynamic,
    RestartChild,
    Running,
    StartChild,
    TerminateChild,
    TooManyChildren,
    UnhandledMessage,
    WhichChildren,
)


async def test_child_adm(ground: Ground, cues: Cues) -> None:
    async with ground.node(sup(*kids("child1"))) as system:
        assert await which(system, "/sup") == running("child1")
        assert await counts(system, "/sup") == (1, 1, 0, 1)

        with pytest.raises(AlreadyStarted) as started:
            await ask(system, "/sup", StartChild(spec=kid("child1")))
        assert (started.value.supervisor, started.value.child) == ("/sup", "child1")

        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", TerminateChild(id="hej"))
        assert await ask(system, "/sup", TerminateChild(id="child1")) is None
        assert cues.take() == ["+child1", "-child1"]
        assert await which(system, "/sup") == [("child1", "stopped")]
        assert await counts(system, "/sup") == (1, 0, 0, 1)
        assert await ask(system, "/sup", TerminateChild(id="child1")) is None, "again is as good"

        with pytest.raises(AlreadyPresent):
            await ask(system, "/sup", StartChild(spec=kid("child1")))

        assert await ask(system, "/sup", RestartChild(id="child1")) == "/sup/child1"
        assert await life(system, "/sup/child1") == 2
        assert await counts(system, "/sup") == (1, 1, 0, 1)
        with pytest.raises(Running):
            await ask(system, "/sup", RestartChild(id="child1"))
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", RestartChild(id="child2"))

        with pytest.raises(Running):
            await ask(system, "/sup", DeleteChild(id="child1"))
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", DeleteChild(id="hej"))
        await ask(system, "/sup", TerminateChild(id="child1"))
        assert await ask(system, "/sup", DeleteChild(id="child1")) is None
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", RestartChild(id="child1"))
        assert await which(system, "/sup") == []
        assert await counts(system, "/sup") == (0, 0, 0, 0)

        assert await ask(system, "/sup", StartChild(spec=kid("child1"))) == "/sup/child1"
        assert await life(system, "/sup/child1") == 3
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", TerminateChild(id="/sup/child1"))  # by id, not by address
        assert await which(system, "/sup") == running("child1")

        for request in (StartChild(spec=kid("x")), TerminateChild(id="x"), WhichChildren(), CountChildren()):
            with pytest.raises(ActorNotFound):
                await ask(system, "/foo", request)
            with pytest.raises(UnhandledMessage):
                await ask(system, "/sup/child1", request)  # a worker isn't a supervisor


async def test_child_adm_not_charged(memory: MemoryGround, cues: Cues) -> None:
    """Stops and starts by administration count for no intensity."""
    async with memory.node(sup(*kids("a", "b"), strategy="one_for_all", intensity=0)) as system:
        for _ in range(5):
            await ask(system, "/sup", TerminateChild(id="a"))
            await ask(system, "/sup", RestartChild(id="a"))
        assert cues.lives["a"] == 6
        assert cues.lives["b"] == 1, "and it is the child's alone, whatever the strategy"


async def test_child_adm_lasts(ground: Ground, cues: Cues) -> None:
    """OTP's specs end with the node. Here children that were added, terminated or deleted are so in its next life."""
    async with ground.node(sup(*kids("a", "b"))) as system:
        await ask(system, "/sup", StartChild(spec=kid("c")))
        await ask(system, "/sup", StartChild(spec=kid("d")))
        await ask(system, "/sup", StartChild(spec=kid("e")))
        await ask(system, "/sup", StartChild(spec=kid("f", restart="temporary")))
        await ask(system, "/sup", TerminateChild(id="b"))
        await ask(system, "/sup", TerminateChild(id="d"))
        await ask(system, "/sup", TerminateChild(id="e"))
        await ask(system, "/sup", DeleteChild(id="e"))
    cues.take()
    async with ground.node(sup(*kids("a", "b"))) as system:
        assert await which(system, "/sup") == [("d", "stopped"), ("c", "running"), ("b", "stopped"), ("a", "running")]
        assert cues.take() == ["+a", "+c"]
        await ask(system, "/sup", RestartChild(id="b"))
    async with ground.node(sup(*kids("a", "b"))) as system:
        assert ("b", "running") in await which(system, "/sup")


async def test_child_adm_simple(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(strategy="dynamic")) as system:
        assert await which(system, "/sup") == []
        assert await counts(system, "/sup") == (0, 0, 0, 0)

        assert await ask(system, "/sup", StartChild(spec=kid("a"))) == "/sup/a"
        assert await which(system, "/sup") == running("a")
        assert await ask(system, "/sup", StartChild(spec=kid("b"))) == "/sup/b"
        assert await which(system, "/sup") == running("b", "a")
        assert await counts(system, "/sup") == (2, 2, 0, 2)
        with pytest.raises(AlreadyStarted):
            await ask(system, "/sup", StartChild(spec=kid("a")))

        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", TerminateChild(id="hej"))
        assert await ask(system, "/sup", TerminateChild(id="a")) is None
        assert await which(system, "/sup") == running("b")
        assert await counts(system, "/sup") == (1, 1, 0, 1)
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", TerminateChild(id="a"))  # Elixir: not_found

        for one in ("a", "b"):
            with pytest.raises(NotForDynamic):
                await ask(system, "/sup", RestartChild(id=one))
            with pytest.raises(NotForDynamic):
                await ask(system, "/sup", DeleteChild(id=one))
        assert await ask(system, "/sup", StartChild(spec=kid("a"))) == "/sup/a", "the id is free again"
        assert cues.take() == ["+a", "+b", "-a", "+a"]


async def test_child_adm_simple_template(memory: MemoryGround, cues: Cues) -> None:
    """simple_one_for_one to the letter: all children are of one template. They come by their first message."""
    async with memory.node(sup(strategy="dynamic", template=kid("template"))) as system:
        assert await ask(system, "/sup/a", Life()) == 1
        assert await ask(system, "/sup/b", Life()) == 1
        assert sorted(await which(system, "/sup")) == running("a", "b")
        assert (await counts(system, "/sup"))[1:] == (2, 0, 2)
        await ask(system, "/sup", TerminateChild(id="a"))
        assert await which(system, "/sup") == running("b")
        with pytest.raises(NotForDynamic):
            await ask(system, "/sup", RestartChild(id="a"))
        assert await ask(system, "/sup/a", Life()) == 2, "and come again"


async def test_max_children(memory: MemoryGround, cues: Cues) -> None:
    """Elixir's DynamicSupervisor: `{error, max_children}`."""
    async with memory.node(sup(strategy="dynamic", max_children=2)) as system:
        await ask(system, "/sup", StartChild(spec=kid("a")))
        await ask(system, "/sup", StartChild(spec=kid("b")))
        with pytest.raises(TooManyChildren) as caught:
            await ask(system, "/sup", StartChild(spec=kid("c")))
        assert caught.value.child == "c"
        await ask(system, "/sup", TerminateChild(id="a"))
        assert await ask(system, "/sup", StartChild(spec=kid("c"))) == "/sup/c"
        assert cues.take() == ["+a", "+b", "-a", "+c"]


async def test_which_children(memory: MemoryGround, cues: Cues) -> None:
    """All there is to know of each child, the one that was started last first."""
    async with memory.node(sup(*kids("a"), sup(id="s"), *kids("b", restart="transient"))) as system:
        await ask(system, "/sup", StartChild(spec=kid("aa")))
        await end(system, "/sup/b", "normal")
        assert await ask(system, "/sup", WhichChildren()) == [
            ChildInfo(id="aa", address="/sup/aa", status="running", kind="actor", actor="otp_worker:Worker"),
            ChildInfo(id="b", address="/sup/b", status="stopped", kind="actor", actor="otp_worker:Worker"),
            ChildInfo(id="s", address="/sup/s", status="running", kind="supervisor", actor=None),
            ChildInfo(id="a", address="/sup/a", status="running", kind="actor", actor="otp_worker:Worker"),
        ]
        await ask(system, "/sup", RestartChild(id="b"))
        assert await which(system, "/sup") == running("aa", "b", "s", "a"), "a restart doesn't change the places"


async def test_count_children(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(strategy="dynamic")) as system:
        for number in range(300):
            await ask(system, "/sup", StartChild(spec=kid(str(number), restart="temporary")))
        assert await counts(system, "/sup") == (300, 300, 0, 300)
        assert len(await which(system, "/sup")) == 300
        for number in range(300, 600):
            await ask(system, "/sup", StartChild(spec=kid(str(number), restart="temporary")))
        assert await counts(system, "/sup") == (600, 600, 0, 600)
        for number in range(600):
            await ask(system, f"/sup/{number}", End(how="killed"))
        await system.idle()
        assert await counts(system, "/sup") == (0, 0, 0, 0)
        assert await which(system, "/sup") == []


async def test_count_children_supervisor(memory: MemoryGround, cues: Cues) -> None:
    """Supervisors and workers, running or not."""
    async with memory.node(sup(*kids("a", "b"), sup(id="s"), sup(*kids("c"), id="r"))) as system:
        assert await counts(system, "/sup") == (4, 4, 2, 2)
        await ask(system, "/sup", TerminateChild(id="s"))
        await ask(system, "/sup", TerminateChild(id="a"))
        assert await counts(system, "/sup") == (4, 2, 2, 2)
        assert await counts(system, "/sup/r") == (1, 1, 0, 1)
    async with MemoryGround().node(sup(strategy="dynamic")) as system:
        for one in "abc":
            await ask(system, "/sup", StartChild(spec=sup(*kids("x"), id=one)))
        assert await counts(system, "/sup") == (3, 3, 3, 0)


async def test_count_restarting_children(memory: MemoryGround, cues: Cues) -> None:
    """Those that are being restarted aren't active."""
    async with memory.node(sup(strategy="dynamic", intensity=20)) as system:
        for one in "abc":
            await ask(system, "/sup", StartChild(spec=kid(one)))
        for one in "abc":
            await end(system, f"/sup/{one}")
        assert await counts(system, "/sup") == (3, 3, 0, 3)
        cues.fail("a", "b")
        cues.hold("a")
        cues.hold("b")
        with pytest.raises(AskFailed):
            await ask(system, "/sup/a", End())
        await cues.holding("a")
        with pytest.raises(AskFailed):
            await ask(system, "/sup/b", End())  # its exit waits until the supervisor has tried to start a
        cues.let_go("a")
        await cues.holding("b")
        asked = asyncio.ensure_future(counts(system, "/sup"))  # comes behind the next try of a
        cues.let_go("b")
        await cues.holding("a")
        cues.let_go("a")
        assert await asked == (3, 1, 0, 3)
        cues.recover("a", "b")
        cues.let_go("a", free=True)
        cues.let_go("b", free=True)
        await system.idle()
        assert await counts(system, "/sup") == (3, 3, 0, 3)
        for left, one in ((2, "c"), (1, "a"), (0, "b")):
            await ask(system, "/sup", TerminateChild(id=one))
            assert await counts(system, "/sup") == (left, left, 0, left)


async def test_child_adm_of_inner_supervisor(memory: MemoryGround, cues: Cues) -> None:
    """Stopped with all that is below it, started with all that is below it."""
    inner = sup(*kids("b", "c"), id="s")
    async with memory.node(top(*kids("a"), inner)) as system:
        cues.take()
        await ask(system, "/top", TerminateChild(id="s"))
        assert cues.take() == ["-c", "-b"]
        with pytest.raises(ActorNotFound):
            await ask(system, "/top/s", WhichChildren())
        with pytest.raises(ActorNotFound, match="/top/s is stopped"):
            await ask(system, "/top/s/b", Life())  # nobody is going to start it: an ask needn't wait
        await ask(system, "/top", RestartChild(id="s"))
        assert cues.take() == ["+b", "+c"]
        assert await which(system, "/top/s") == running("c", "b")
