"""Linked siblings: an exit signal and a stop by the supervisor meet at one actor, which ends once and whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from grounds import MemoryGround
from otp_steps import ask, end, kid, kids, life, running, sup, top, watch, which
from otp_worker import Cues, End, Tie, Work, Worker

from greenroom import ActorNotFound, AskFailed, ChildSpec, TerminateChild


class Slow(Worker):
    """Its start takes a while, so that an exit that is still on its way could hit the next incarnation."""

    async def on_start(self) -> None:
        await asyncio.sleep(0)
        await super().on_start()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def cues() -> Iterator[Cues]:
    Worker.cues = Cues()
    yield Worker.cues
    Worker.cues.gate.set()


def slow(*ids: str) -> list[ChildSpec]:
    return [ChildSpec(id=one, actor=Slow) for one in ids]


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
@pytest.mark.parametrize("first", [True, False])
async def test_a_group_restart_and_an_exit_by_link(
    memory: MemoryGround, cues: Cues, strategy: Any, first: bool
) -> None:
    """The signal is for the incarnation that was linked: the new one, which is starting, isn't cut off."""
    one, other = ("a", "b") if first else ("b", "a")
    async with memory.node(sup(*slow("a", "b"), strategy=strategy, intensity=3)) as system:
        await ask(system, f"/sup/{one}", Tie(to=f"/sup/{other}"))
        cues.take()
        await end(system, f"/sup/{one}")
        assert await which(system, "/sup") == running("b", "a")
        log = cues.take()
        assert log.count("-a error") == log.count("-b error") == 1, "each ends once for the error"
        assert log.index("-a error") < log.index("+a")
        assert log.index("-b error") < log.index("+b")
        if strategy == "rest_for_one" and not first:  # a's exit is a second one to the supervisor, after b's restart
            assert sorted(log) == ["+a", "+b", "+b", "-a error", "-b", "-b error"]
        else:
            assert sorted(log) == ["+a", "+b", "-a error", "-b error"]


@pytest.mark.parametrize("busy", [True, False])
async def test_terminated_while_an_exit_by_link_is_on_its_way(memory: MemoryGround, cues: Cues, busy: bool) -> None:
    """Its supervisor stops b, whose exit strikes a, which is the next to be stopped: `on_stop` runs, once."""
    async with memory.node(top(sup(*kids("a", "b"), id="s"))) as system:
        await watch(system, "/top/s/a", "/top/s/b")
        await ask(system, "/top/s/b", Tie(to="/top/s/a"))
        if busy:
            await system.ref("/top/s/a").tell(Work())
            await cues.working("a")
        cues.take()
        await ask(system, "/top", TerminateChild(id="s"))
        log = cues.take()
        assert [entry for entry in log if entry[0] == "-"] == ["-b", "-a"]
        await system.idle()
        assert cues.downs == {"a": "shutdown", "b": "shutdown"}


async def test_the_reason_of_the_link_stays(memory: MemoryGround, cues: Cues) -> None:
    """b fails, and a exits with it; the stop that comes meanwhile doesn't change why."""
    async with memory.node(top(sup(*kids("a", "b"), id="s", strategy="one_for_all"))) as system:
        await watch(system, "/top/s/a")
        await ask(system, "/top/s/b", Tie(to="/top/s/a"))
        cues.take()
        await end(system, "/top/s/b")
        assert cues.take() == ["-b error", "-a error", "+a", "+b"]
        assert cues.downs == {"a": "error"}


@pytest.mark.parametrize("above", ["s", "inner"])
async def test_an_ask_that_waits_at_a_child_of_a_stopped_supervisor(
    memory: MemoryGround, cues: Cues, above: str
) -> None:
    """Nobody is going to answer it: its caller is told at once, as when the actor itself is stopped (OTP)."""
    spec = top(sup(sup(kid("a", shutdown="brutal_kill"), id="inner"), id="s"))
    async with memory.node(spec) as system:
        a = system.ref("/top/s/inner/a")
        await a.tell(Work())
        await cues.working("a")
        waits = asyncio.ensure_future(life(system, a.address))
        while not system.kernel.cells[a.address].mailbox.count:
            await asyncio.sleep(0)
        address = "/top" if above == "s" else "/top/s"
        await ask(system, address, TerminateChild(id=above))
        with pytest.raises((ActorNotFound, AskFailed), match=f"/{above} is stopped"):
            await waits
        with pytest.raises(ActorNotFound, match=f"/{above} is stopped"):
            await life(system, a.address)


async def test_an_ask_that_waits_over_a_restart_of_its_supervisor(memory: MemoryGround, cues: Cues) -> None:
    """It is answered by the next incarnation."""
    spec = sup(kid("first"), sup(kid("a", shutdown="brutal_kill"), id="s"), strategy="one_for_all")
    async with memory.node(spec) as system:
        await system.ref("/sup/s/a").tell(Work())
        await cues.working("a")
        waits = asyncio.ensure_future(life(system, "/sup/s/a"))
        while not system.kernel.cells["/sup/s/a"].mailbox.count:
            await asyncio.sleep(0)
        await system.ref("/sup/s/a").tell(Work())
        with pytest.raises(AskFailed):
            await ask(system, "/sup/first", End())
        await cues.working("a")
        assert not waits.done()
        waits.cancel()
