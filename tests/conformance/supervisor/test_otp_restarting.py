"""Restarts whose start fails: retried by a message to self, each try charged. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import MemoryGround
from otp_steps import ask, between_tries, counts, end, gives_up, kid, kids, life, running, sup, top, which
from otp_worker import Cues, End, Life

from greenroom import (
    ActorNotFound,
    ActorSystem,
    AlreadyPresent,
    AskFailed,
    ChildNotFound,
    CountChildren,
    DeleteChild,
    NotForDynamic,
    RestartChild,
    Restarting,
    Running,
    StartChild,
    TerminateChild,
    WhichChildren,
)


async def hang(system: ActorSystem, cues: Cues, address: str) -> None:
    """Bring a child into its restart loop: it has exited, and each start waits until it is let go, and then fails."""
    one = address.rpartition("/")[2]
    cues.fail(one)
    cues.hold(one)
    with pytest.raises(AskFailed):
        await ask(system, address, End())
    await cues.holding(one)


# -- until the limit ------------------------------------------------------------------------------------


async def test_one_for_one_escalation(memory: MemoryGround, cues: Cues) -> None:
    """The exit and each failed start count: with an intensity of 4, four tries, and the fifth isn't made."""
    async with memory.node(sup(*kids("a", "b"), intensity=4)) as system:
        cues.take()
        cues.fail("a")
        await gives_up(system, "/sup/a")
        assert cues.take() == ["-a error", "!a", "!a", "!a", "!a", "-b"]


async def test_one_for_all_escalation(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(*kids("a", "b", "c"), strategy="one_for_all", intensity=4)) as system:
        cues.take()
        cues.fail("b")
        await gives_up(system, "/sup/a")
        assert cues.take() == ["-a error", "-c", "-b", *["+a", "!b", "-a"] * 3, "+a", "!b", "-a"]


async def test_rest_for_one_escalation(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(*kids("a", "b", "c"), strategy="rest_for_one", intensity=4)) as system:
        cues.take()
        cues.fail("b")
        await gives_up(system, "/sup/a")
        assert cues.take() == ["-a error", "-c", "-b", "+a", *["!b"] * 4, "-a"]


async def test_simple_one_for_one_escalation(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(strategy="dynamic", intensity=4)) as system:
        for one in "ab":
            await ask(system, "/sup", StartChild(spec=kid(one)))
        cues.take()
        cues.fail("a")
        await gives_up(system, "/sup/a")
        assert cues.take() == ["-a error", "!a", "!a", "!a", "!a", "-b"]


async def test_failed_restart_that_comes_to_succeed(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(*kids("a", "b"), intensity=4)) as system:
        cues.take()
        cues.fail("a", times=3)
        await end(system, "/sup/a")
        assert cues.take() == ["-a error", "!a", "!a", "!a", "+a"]
        await gives_up(system, "/sup/b")  # the fifth within the period


# -- another child fails --------------------------------------------------------------------------------


async def test_one_for_all_other_child_fails_restart(memory: MemoryGround, cues: Cues) -> None:
    """The restarted ones are stopped again, in reverse, and everything is started anew."""
    async with memory.node(sup(*kids("a", "b", "c", "d"), strategy="one_for_all", intensity=3)) as system:
        cues.take()
        cues.fail("c", times=1)
        await end(system, "/sup/a")
        assert cues.take() == ["-a error", "-d", "-c", "-b", "+a", "+b", "!c", "-b", "-a", "+a", "+b", "+c", "+d"]
        assert await which(system, "/sup") == running("d", "c", "b", "a")


async def test_rest_for_one_other_child_fails_restart(memory: MemoryGround, cues: Cues) -> None:
    """The restart goes on at the one that failed; what is started already stays."""
    async with memory.node(sup(*kids("a", "b", "c", "d"), strategy="rest_for_one", intensity=3)) as system:
        cues.take()
        cues.fail("c", times=1)
        await end(system, "/sup/a")
        assert cues.take() == ["-a error", "-d", "-c", "-b", "+a", "+b", "!c", "+c", "+d"]
        assert await which(system, "/sup") == running("d", "c", "b", "a")


# -- administration in the middle of it -----------------------------------------------------------------


async def test_hanging_restart_loop(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(top(sup(*kids("a", "b"), intensity=8, period_s=10.0))) as system:
        await hang(system, cues, "/top/sup/a")
        for request, error in (
            (StartChild(spec=kid("a")), AlreadyPresent),
            (RestartChild(id="a"), Restarting),
            (DeleteChild(id="a"), Restarting),
        ):
            with pytest.raises(error):
                await between_tries(system, cues, "/top/sup/a", request)
            await cues.holding("a")
        found = await between_tries(system, cues, "/top/sup/a", WhichChildren())
        assert [(child.id, child.status) for child in found] == [("b", "running"), ("a", "restarting")]
        await cues.holding("a")
        found = await between_tries(system, cues, "/top/sup/a", CountChildren())
        assert (found.specs, found.active, found.supervisors, found.workers) == (2, 1, 0, 2)
        await cues.holding("a")

        await between_tries(system, cues, "/top/sup/a", TerminateChild(id="a"))
        await system.idle()
        assert await which(system, "/top/sup") == [("b", "running"), ("a", "stopped")]
        assert cues.take() == ["+a", "+b", "-a error", *["!a"] * 6], "the loop is over"

        cues.recover("a")
        cues.let_go("a", free=True)
        assert await ask(system, "/top/sup", RestartChild(id="a")) == "/top/sup/a"
        assert await life(system, "/top/sup/a") == 2


async def test_hanging_restart_loop_shutdown(memory: MemoryGround, cues: Cues) -> None:
    """The supervisor itself can be stopped in the middle of the loop."""
    async with memory.node(top(sup(*kids("a", "b"), intensity=8, period_s=10.0))) as system:
        await hang(system, cues, "/top/sup/a")
        terminated = asyncio.ensure_future(ask(system, "/top", TerminateChild(id="sup")))
        cues.let_go("a", free=True)
        await terminated
        await system.idle()
        assert cues.take() == ["+a", "+b", "-a error", "!a", "-b"]
        assert await which(system, "/top") == [("sup", "stopped")]


async def test_hanging_restart_loop_rest_for_one(memory: MemoryGround, cues: Cues) -> None:
    """Those behind the one that doesn't start are stopped meanwhile, and stay so when it is terminated."""
    async with memory.node(sup(*kids("a", "b", "c"), strategy="rest_for_one", intensity=8, period_s=10.0)) as system:
        await hang(system, cues, "/sup/b")
        for request, error in (
            (StartChild(spec=kid("b")), AlreadyPresent),
            (RestartChild(id="b"), Restarting),
            (DeleteChild(id="b"), Restarting),
        ):
            with pytest.raises(error):
                await between_tries(system, cues, "/sup/b", request)
            await cues.holding("b")
        found = await between_tries(system, cues, "/sup/b", WhichChildren())
        assert [(child.id, child.status) for child in found] == [
            ("c", "stopped"),
            ("b", "restarting"),
            ("a", "running"),
        ]
        await cues.holding("b")

        await between_tries(system, cues, "/sup/b", TerminateChild(id="b"))
        await system.idle()
        assert await which(system, "/sup") == [("c", "stopped"), ("b", "stopped"), ("a", "running")]
        assert await counts(system, "/sup") == (3, 1, 0, 3)
        with pytest.raises(ActorNotFound):
            await life(system, "/sup/c")  # nobody is going to start it: an ask needn't wait
        cues.recover("b")
        cues.let_go("b", free=True)
        await ask(system, "/sup", RestartChild(id="b"))
        assert await which(system, "/sup") == [("c", "stopped"), ("b", "running"), ("a", "running")]
        assert await life(system, "/sup/a") == 1


@pytest.mark.parametrize("strict", [True, False])
async def test_hanging_restart_loop_one_for_all(memory: MemoryGround, cues: Cues, strict: bool) -> None:
    """Siblings are down while the group waits. One that is terminated then comes with it in OTP, and under `strict`."""
    spec = sup(*kids("a", "b"), strategy="one_for_all", intensity=8, period_s=10.0, strict=strict)
    async with memory.node(spec) as system:
        await hang(system, cues, "/sup/a")
        found = await between_tries(system, cues, "/sup/a", WhichChildren())
        assert [(child.id, child.status) for child in found] == [("b", "stopped"), ("a", "restarting")]
        await cues.holding("a")
        await between_tries(system, cues, "/sup/a", TerminateChild(id="b"))
        await cues.holding("a")
        cues.recover("a")
        cues.let_go("a", free=True)
        await system.idle()
        assert await which(system, "/sup") == [("b", "running" if strict else "stopped"), ("a", "running")]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_hanging_restart_loop_restarted_sibling(memory: MemoryGround, cues: Cues, strategy: Any) -> None:
    """A sibling that administration has started meanwhile is replaced with the group: each try is of all of it."""
    async with memory.node(sup(*kids("a", "b"), strategy=strategy, intensity=8, period_s=10.0)) as system:
        await hang(system, cues, "/sup/a")
        assert await between_tries(system, cues, "/sup/a", RestartChild(id="b")) == "/sup/b"
        await cues.holding("a")
        cues.recover("a")
        cues.let_go("a", free=True)
        await system.idle()
        assert cues.take() == ["+a", "+b", "-a error", "-b", "!a", "+b", "-b", "+a", "+b"]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
async def test_hanging_restart_loop_new_child(memory: MemoryGround, cues: Cues, strategy: Any) -> None:
    """A child that came by StartChild meanwhile is part of the group, too."""
    async with memory.node(sup(*kids("a"), strategy=strategy, intensity=8, period_s=10.0)) as system:
        await hang(system, cues, "/sup/a")
        assert await between_tries(system, cues, "/sup/a", StartChild(spec=kid("c"))) == "/sup/c"
        await cues.holding("a")
        cues.recover("a")
        cues.let_go("a", free=True)
        await system.idle()
        assert cues.take() == ["+a", "-a error", "!a", "+c", "-c", "+a", "+c"]
        assert await which(system, "/sup") == running("c", "a")


async def test_hanging_restart_loop_started_sibling(memory: MemoryGround, cues: Cues) -> None:
    """one_for_all: a sibling that the try has started runs on until the next try, which stops it first."""
    async with memory.node(sup(*kids("a", "b"), strategy="one_for_all", intensity=8, period_s=10.0)) as system:
        await hang(system, cues, "/sup/b")
        with pytest.raises(Running):
            await between_tries(system, cues, "/sup/b", DeleteChild(id="a"))
        await cues.holding("b")
        found = await between_tries(system, cues, "/sup/b", WhichChildren())
        assert [(child.id, child.status) for child in found] == [("b", "restarting"), ("a", "running")]
        await cues.holding("b")
        await between_tries(system, cues, "/sup/b", TerminateChild(id="b"))
        await system.idle()
        assert cues.take() == ["+a", "+b", "-b error", "-a", "+a", "!b", "-a", "+a", "!b", "-a", "+a", "!b"]
        assert await which(system, "/sup") == [("b", "stopped"), ("a", "running")]
        cues.let_go("b", free=True)


async def test_hanging_restart_loop_exited_child(memory: MemoryGround, cues: Cues) -> None:
    """one_for_all: if one before the child that exited doesn't start, that one is restarting, and the child waits."""
    async with memory.node(sup(*kids("a", "b"), strategy="one_for_all", intensity=8, period_s=10.0)) as system:
        cues.fail("a")
        cues.hold("a")
        with pytest.raises(AskFailed):
            await ask(system, "/sup/b", End())
        await cues.holding("a")
        found = await between_tries(system, cues, "/sup/a", WhichChildren())
        assert [(child.id, child.status) for child in found] == [("b", "stopped"), ("a", "restarting")]
        await cues.holding("a")
        await between_tries(system, cues, "/sup/a", TerminateChild(id="a"))
        await system.idle()
        assert await which(system, "/sup") == [("b", "stopped"), ("a", "stopped")]
        cues.let_go("a", free=True)
        assert await ask(system, "/sup", RestartChild(id="b")) == "/sup/b"


async def test_hanging_restart_loop_simple(memory: MemoryGround, cues: Cues) -> None:
    async with memory.node(sup(strategy="dynamic", intensity=8, period_s=10.0)) as system:
        await ask(system, "/sup", StartChild(spec=kid("a")))
        await hang(system, cues, "/sup/a")
        for request, error in ((RestartChild(id="a"), NotForDynamic), (DeleteChild(id="a"), NotForDynamic)):
            with pytest.raises(error):
                await between_tries(system, cues, "/sup/a", request)
            await cues.holding("a")
        found = await between_tries(system, cues, "/sup/a", WhichChildren())
        assert [(child.id, child.status) for child in found] == [("a", "restarting")]
        await cues.holding("a")
        found = await between_tries(system, cues, "/sup/a", CountChildren())
        assert (found.active, found.workers) == (0, 1)
        await cues.holding("a")

        await between_tries(system, cues, "/sup/a", TerminateChild(id="a"))
        await system.idle()
        assert await which(system, "/sup") == []
        with pytest.raises(ChildNotFound):
            await ask(system, "/sup", TerminateChild(id="a"))
        cues.recover("a")
        cues.let_go("a", free=True)
        assert await ask(system, "/sup", StartChild(spec=kid("a"))) == "/sup/a"
        assert cues.lives["a"] == 2


async def test_simple_one_for_one_corruption(memory: MemoryGround, cues: Cues) -> None:
    """Failed starts leave nothing behind that a later exit, or the shutdown, could trip over."""
    async with memory.node(top(sup(strategy="dynamic"))) as system:
        cues.fail("a")
        for _ in range(3):
            with pytest.raises(Exception, match="a can't start"):
                await ask(system, "/top/sup", StartChild(spec=kid("a")))
        await ask(system, "/top/sup", StartChild(spec=kid("b")))
        await end(system, "/top/sup/b")
        assert await which(system, "/top/sup") == running("b")
        await ask(system, "/top", TerminateChild(id="sup"))
        assert cues.take()[-1] == "-b"


# -- activation, which OTP doesn't have -----------------------------------------------------------------


async def test_failed_activation_is_the_messages(memory: MemoryGround, cues: Cues) -> None:
    """OTP: a start_child that fails is its caller's error. So is an activation: no intensity is charged."""
    async with memory.node(sup(strategy="dynamic", template=kid("template"), intensity=0)) as system:
        cues.fail("a")
        for _ in range(3):
            with pytest.raises(AskFailed, match="a can't start"):
                await ask(system, "/sup/a", Life())
        cues.recover("a")
        assert await ask(system, "/sup/a", Life()) == 1
        await gives_up(system, "/sup/a")


@pytest.mark.parametrize("how", ["error", "normal", "shutdown", "killed"])
async def test_retries_go_on_over_other_exits(memory: MemoryGround, cues: Cues, how: Any) -> None:
    """While one is in its restart loop the exits of others are handled; both count."""
    async with memory.node(sup(*kids("a", "b"), intensity=4)) as system:
        await hang(system, cues, "/sup/a")
        try:
            await ask(system, "/sup/b", End(how=how))
        except AskFailed:
            assert how == "error"
        cues.let_go("a")  # its first try fails; then b is restarted; then the second try
        await cues.holding("a")
        assert cues.take()[-2:] == ["!a", "+b"]
        cues.recover("a")
        cues.let_go("a", free=True)
        await system.idle()
        assert await which(system, "/sup") == running("b", "a")
        await end(system, "/sup/b")
        await gives_up(system, "/sup/b")
