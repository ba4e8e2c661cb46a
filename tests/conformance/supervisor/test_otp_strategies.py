"""Whom an exit concerns, and how many of them are borne. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import Ground, MemoryGround, SqliteGround
from otp_steps import ask, counts, end, gives_up, kid, kids, life, running, sup, which
from otp_worker import Cues, End, Life, Poison, Tie

from greenroom import ActorNotFound, ActorSystem, RestartChild, StartChild, TerminateChild, TreeGaveUp, WhichChildren
from greenroom.testing import Recorder, VirtualRuntime


async def lives(system: ActorSystem, *ids: str) -> list[int]:
    return [await life(system, f"/sup/{one}") for one in ids]


async def test_one_for_one(memory: MemoryGround, cues: Cues) -> None:
    """Siblings are untouched; the intensity is the supervisor's, whoever exits; the third exit is one too many."""
    async with memory.node(sup(*kids("a", "b"))) as system:
        cues.take()
        await end(system, "/sup/a")
        assert cues.take() == ["-a error", "+a"]
        assert await lives(system, "a", "b") == [2, 1]
        assert await counts(system, "/sup") == (2, 2, 0, 2)
        await end(system, "/sup/b")
        assert await lives(system, "a", "b") == [2, 2]
        cues.take()
        await gives_up(system, "/sup/b")
        assert cues.take() == ["-b error", "-a"]


async def test_one_for_all(memory: MemoryGround, cues: Cues) -> None:
    """All are replaced: stopped in reverse, started in order. That counts once."""
    async with memory.node(sup(*kids("a", "b", "c"), strategy="one_for_all")) as system:
        cues.take()
        await end(system, "/sup/b")
        assert cues.take() == ["-b error", "-c", "-a", "+a", "+b", "+c"]
        assert await which(system, "/sup") == running("c", "b", "a")
        assert await counts(system, "/sup") == (3, 3, 0, 3)
        await end(system, "/sup/c")
        assert await lives(system, "a", "b", "c") == [3, 3, 3]
        cues.take()
        await gives_up(system, "/sup/a")
        assert cues.take() == ["-a error", "-c", "-b"]


async def test_rest_for_one(memory: MemoryGround, cues: Cues) -> None:
    """Those before it are untouched, it and those after it are replaced. That counts once."""
    async with memory.node(sup(*kids("a", "b", "c"), strategy="rest_for_one")) as system:
        cues.take()
        await end(system, "/sup/b")
        assert cues.take() == ["-b error", "-c", "+b", "+c"]
        assert await lives(system, "a", "b", "c") == [1, 2, 2]
        assert await counts(system, "/sup") == (3, 3, 0, 3)
        await end(system, "/sup/c")
        assert await lives(system, "a", "b", "c") == [1, 2, 3]
        cues.take()
        await gives_up(system, "/sup/b")
        assert cues.take() == ["-b error", "-c", "-a"]


@pytest.mark.parametrize("how", ["template", "start_child"])
async def test_simple_one_for_one(memory: MemoryGround, cues: Cues, how: str) -> None:
    """Only the one that exited; and all of them share one intensity."""
    template = kid("template") if how == "template" else None
    async with memory.node(sup(strategy="dynamic", template=template)) as system:
        for one in "ab":
            if how == "template":
                await ask(system, f"/sup/{one}", Life())
            else:
                await ask(system, "/sup", StartChild(spec=kid(one)))
        cues.take()
        await end(system, "/sup/a")
        assert cues.take() == ["-a error", "+a"]
        assert sorted(await which(system, "/sup")) == running("a", "b")
        assert await lives(system, "a", "b") == [2, 1]
        await end(system, "/sup/b")
        assert await lives(system, "a", "b") == [2, 2]
        await gives_up(system, "/sup/a")


async def test_simple_one_for_one_restart_ignore(memory: MemoryGround, cues: Cues) -> None:
    """`Ignore` on a restart removes the child."""
    async with memory.node(sup(strategy="dynamic")) as system:
        for one in "ab":
            await ask(system, "/sup", StartChild(spec=kid(one)))
        cues.ignore("a")
        await end(system, "/sup/a")
        assert await which(system, "/sup") == running("b")
        assert await counts(system, "/sup") == (1, 1, 0, 1)
        assert await ask(system, "/sup", StartChild(spec=kid("a"))) == "/sup/a"
        assert cues.take() == ["+a", "+b", "-a error", "?a", "+a"]


@pytest.mark.parametrize("restart", ["permanent", "transient"])
async def test_restart_ignore(memory: MemoryGround, cues: Cues, restart: Any) -> None:
    """`Ignore` on the restart of a static child: its spec stays without a process."""
    async with memory.node(sup(*kids("a", "b", restart=restart))) as system:
        cues.ignore("a")
        await end(system, "/sup/a")
        assert await which(system, "/sup") == [("b", "running"), ("a", "stopped")]
        assert await ask(system, "/sup", RestartChild(id="a")) == "/sup/a"


async def test_multiple_restarts(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """Restarts that are spaced never trip the limit."""
    async with memory.node(sup(*kids("a", shutdown="brutal_kill"), intensity=1, period_s=1.0), runtime=clock) as system:
        for number in range(1, 6):
            await end(system, "/sup/a")
            assert await life(system, "/sup/a") == number + 1
            await clock.advance(2.1)
        await ask(system, "/sup", TerminateChild(id="a"))
        assert await which(system, "/sup") == [("a", "stopped")]


@pytest.mark.parametrize(("gap_s", "borne"), [(4.9, False), (5.0, False), (5.001, True)])
async def test_intensity_boundary(memory: MemoryGround, clock: VirtualRuntime, gap_s: float, borne: bool) -> None:
    """supervisor.erl, add_restart: entries older than the period are dropped; one exactly that old still counts."""
    async with memory.node(sup(*kids("a"), intensity=1, period_s=5.0), runtime=clock) as system:
        await end(system, "/sup/a")
        await clock.advance(gap_s)
        if borne:
            await end(system, "/sup/a")
            assert await life(system, "/sup/a") == 3
        else:
            await gives_up(system, "/sup/a")


async def test_intensity_slides(memory: MemoryGround, clock: VirtualRuntime) -> None:
    """Any period counts, not periods one after the other: two exits late in one and two early in the next are four."""
    async with memory.node(sup(*kids("a"), intensity=3, period_s=10.0), runtime=clock) as system:
        await end(system, "/sup/a")
        await clock.advance(9.0)
        await end(system, "/sup/a")
        await end(system, "/sup/a")
        await clock.advance(2.0)  # the first has left the period
        await end(system, "/sup/a")
        await gives_up(system, "/sup/a")


@pytest.mark.parametrize("strict", [True, False])
async def test_attempts_of_one_message(memory: MemoryGround, cues: Cues, strict: bool) -> None:
    """OTP has no redelivery. Under `strict` each attempt's exit counts; otherwise those of one message count once."""
    async with memory.node(sup(*kids("a", max_attempts=3), strict=strict, intensity=2)) as system:
        await system.ref("/sup/a").tell(Poison())
        if strict:
            with pytest.raises(TreeGaveUp):
                await system.idle()
            return
        await system.idle()
        assert await life(system, "/sup/a") == 4
        await end(system, "/sup/a")
        await gives_up(system, "/sup/a")


async def test_intensity_after_a_crash(disk: SqliteGround, cues: Cues) -> None:
    """OTP's history ends with the node. Ours goes on after a crash, and is forgiven by a stop in order."""
    spec = sup(*kids("a", "b"), intensity=1)
    async with disk.node(spec) as system:
        await end(system, "/sup/a")
        crashed = disk.image()
    async with crashed.node(spec) as system:
        await gives_up(system, "/sup/b")
    async with disk.node(spec) as system:
        await end(system, "/sup/b")


@pytest.mark.parametrize(
    ("strategy", "charges", "lives"),
    [("one_for_one", 2, [1, 2, 2]), ("rest_for_one", 1, [1, 2, 2]), ("one_for_all", 1, [2, 2, 2])],
)
async def test_linked_siblings(memory: MemoryGround, cues: Cues, strategy: Any, charges: int, lives: list[int]) -> None:
    """An exit takes those it is linked to along; each is one to the supervisor. Restarted, they are linked no more."""
    async with memory.node(sup(*kids("a", "b", "c"), strategy=strategy, intensity=charges)) as system:
        await ask(system, "/sup/b", Tie(to="/sup/c"))
        await end(system, "/sup/b")
        assert [cues.lives[one] for one in "abc"] == lives
        await gives_up(system, "/sup/b")
        assert cues.lives["c"] == 2


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
@pytest.mark.parametrize("how", ["error", "normal"])
async def test_intensity_zero(memory: MemoryGround, cues: Cues, strategy: Any, how: Any) -> None:
    """The first exit that calls for a restart ends the supervisor."""
    async with memory.node(sup(*kids("a", "b"), strategy=strategy, intensity=0)) as system:
        await gives_up(system, "/sup/a", how)
        assert cues.lives["a"] == cues.lives["b"] == 1


async def test_escalation_is_shutdown(memory: MemoryGround, cues: Cues) -> None:
    """A supervisor that gives up exits with `shutdown`: so a transient one isn't restarted, and a permanent one is."""
    inner = sup(*kids("a", "b"), id="transient", intensity=0, restart="transient")
    other = sup(*kids("c", "d"), id="permanent", intensity=0)
    async with memory.node(sup(inner, other)) as system:
        events = Recorder(system)
        cues.take()
        await end(system, "/sup/transient/a")
        assert cues.take() == ["-a error", "-b"]
        assert events.of("actor.exited", "/sup/transient")[0].measures["kind"] == "shutdown"
        assert await which(system, "/sup") == [("permanent", "running"), ("transient", "stopped")]
        await end(system, "/sup/permanent/c")
        assert cues.take() == ["-c error", "-d", "+c", "+d"]
        assert events.of("actor.exited", "/sup/permanent")[0].measures["kind"] == "shutdown"
        assert await which(system, "/sup/permanent") == running("d", "c")


async def test_escalation_begins_anew(memory: MemoryGround, cues: Cues) -> None:
    """A restarted supervisor has no history."""
    async with memory.node(sup(sup(*kids("a"), id="s", intensity=1), intensity=1)) as system:
        await end(system, "/sup/s/a")
        await end(system, "/sup/s/a")  # one too many for s
        await end(system, "/sup/s/a")  # borne by the new one
        assert cues.lives["a"] == 4
        await gives_up(system, "/sup/s/a")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["-b error", "+b"]),
        ("rest_for_one", ["-b error", "-f", "+b", "+c", "+d", "+e", "+f"]),
        ("one_for_all", ["-b error", "-f", "-a", "+a", "+b", "+c", "+d", "+e", "+f"]),
    ],
)
async def test_group_restart_starts_stopped_children(
    ground: Ground, cues: Cues, strategy: Any, expected: list[str], strict: bool
) -> None:
    """One that had ended, had ignored its start or was terminated is started with its group.

    Not the terminated one unless `strict`: what an operator has stopped stays so until `RestartChild`.
    """
    cues.ignore("d")
    children = [*kids("a", "b"), kid("c", restart="transient"), *kids("d", "e", "f")]
    spec = sup(*children, strategy=strategy, strict=strict)
    if not strict:
        expected = [entry for entry in expected if entry != "+e"]
    async with ground.node(spec) as system:
        await end(system, "/sup/c", "normal")
        await ask(system, "/sup", TerminateChild(id="e"))
        assert [status for _, status in await which(system, "/sup")][:4] == ["running", *["stopped"] * 3]
        cues.take()
        await end(system, "/sup/b")
        assert cues.take() == expected
        back = strict and strategy != "one_for_one"
        assert ("e", "running" if back else "stopped") in await which(system, "/sup")
        if not back:
            with pytest.raises(ActorNotFound):
                await life(system, "/sup/e")
    async with ground.node(spec) as system:
        assert ("e", "running" if back else "stopped") in await which(system, "/sup"), "and in the next life"


async def test_tree(memory: MemoryGround, cues: Cues) -> None:
    """A tree is restarted with what stands in it. OTP loses children that came by start_child; ours are kept."""
    sup1 = sup(*kids("child1", "child2"), id="sup1", intensity=4)
    async with memory.node(sup(strategy="one_for_all", intensity=4)) as system:
        await ask(system, "/sup", StartChild(spec=sup1))
        await ask(system, "/sup", StartChild(spec=sup(id="sup2", intensity=4)))
        assert await counts(system, "/sup") == (2, 2, 2, 0)
        assert await counts(system, "/sup/sup1") == (2, 2, 0, 2)
        assert await counts(system, "/sup/sup2") == (0, 0, 0, 0)
        for one in ("child3", "child4"):
            await ask(system, "/sup/sup2", StartChild(spec=kid(one)))
        assert await which(system, "/sup/sup1") == running("child2", "child1")
        cues.take()

        await end(system, "/sup/sup2/child4")
        assert cues.take() == ["-child4 error", "+child4"], "only what died is restarted"
        assert await which(system, "/sup/sup2") == running("child4", "child3")

        cues.fail("child3", times=3)
        await end(system, "/sup/sup2/child3")
        assert cues.take() == [
            "-child3 error",
            *["!child3"] * 3,  # the exits of child4 and child3 and three failed starts: one more than four
            "-child4",
            "-child2",
            "-child1",
            "+child1",
            "+child2",
            "+child3",
            "+child4",
        ]
        assert await which(system, "/sup") == running("sup2", "sup1")
        assert await which(system, "/sup/sup1") == running("child2", "child1")
        assert await which(system, "/sup/sup2") == running("child4", "child3")


async def test_simple_global_supervisor(memory: MemoryGround, cues: Cues) -> None:
    """A worker two supervisors down: killed, ended, restarted by administration, and with its supervisor."""
    middle = sup(*kids("server"), id="middle", strategy="one_for_all", intensity=3, period_s=60.0)
    async with memory.node(sup(middle, strategy="one_for_all", intensity=3, period_s=60.0)) as system:
        await end(system, "/sup/middle/server", "killed")
        assert await life(system, "/sup/middle/server") == 2
        await end(system, "/sup/middle/server", "normal")
        assert await life(system, "/sup/middle/server") == 3
        await ask(system, "/sup/middle", TerminateChild(id="server"))
        await ask(system, "/sup/middle", RestartChild(id="server"))
        assert await life(system, "/sup/middle/server") == 4
        await ask(system, "/sup", TerminateChild(id="middle"))
        await ask(system, "/sup", RestartChild(id="middle"))
        assert await life(system, "/sup/middle/server") == 5
        assert await ask(system, "/sup", WhichChildren()) != []


@pytest.mark.parametrize(
    ("strategy", "charges", "expected"),
    [
        ("one_for_one", 3, ["+x", "+a", "+b", "+c"]),
        ("rest_for_one", 1, ["+x", "-x", "+a", "+b", "+c", "+x"]),
        ("one_for_all", 1, ["+x", "-x", "+a", "+b", "+c", "+x"]),
    ],
)
async def test_exits_while_the_supervisor_is_busy(
    memory: MemoryGround, cues: Cues, strategy: Any, charges: int, expected: list[str]
) -> None:
    """A child that a restart of the group has replaced isn't restarted, or charged, again for the
    exit it had before."""
    async with memory.node(sup(*kids("a", "b", "c"), strategy=strategy, intensity=charges)) as system:
        cues.hold("x")
        cues.take()
        started = asyncio.ensure_future(ask(system, "/sup", StartChild(spec=kid("x"))))
        await cues.holding("x")
        for one in "abc":
            await ask(system, f"/sup/{one}", End(how="killed"))
        cues.let_go("x", free=True)
        await started
        await system.idle()
        assert cues.take() == expected
        await gives_up(system, "/sup/a")
