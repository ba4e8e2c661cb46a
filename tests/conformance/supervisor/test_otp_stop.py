"""Shutdown: how long children are given, and in which order. Named after OTP's supervisor_SUITE."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from grounds import MemoryGround
from otp_steps import ask, end, kid, kids, running, sup, top, watch, which
from otp_worker import Cues, End, Work

from greenroom import ActorSystem, AskFailed, StartChild, TerminateChild
from greenroom.testing import VirtualRuntime


async def busy(system: ActorSystem, cues: Cues, address: str, *, stubborn: bool = False) -> None:
    """Bring a worker into the middle of a turn that doesn't end by itself."""
    await system.ref(address).tell(Work(stubborn=stubborn))
    await cues.working(address.rpartition("/")[2])


async def test_sup_stop_infinity(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """For supervisors and for workers."""
    cues.stop_s = {"a": 100_000.0, "b": 100_000.0}
    spec = sup(sup(*kids("a", shutdown="infinity"), id="s", shutdown="infinity"), *kids("b", shutdown="infinity"))
    async with memory.node(spec, runtime=clock) as system:
        cues.take()
        began = clock.monotonic()
        await clock.run(system.stop(), limit_s=1e9)
        assert clock.monotonic() - began == 200_000.0, "and one after the other"
    assert cues.take() == ["-b", "-a"]


async def test_sup_stop_timeout(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """The slow child is killed: its turn is cancelled, `on_stop` doesn't run. Its siblings end by `shutdown`."""
    async with memory.node(top(sup(*kids("a", "b", "c", shutdown=1.0))), runtime=clock) as system:
        await watch(system, "/top/sup/a", "/top/sup/b", "/top/sup/c", "/top/sup")
        await busy(system, cues, "/top/sup/b")
        cues.take()
        terminated = asyncio.ensure_future(ask(system, "/top", TerminateChild(id="sup")))
        await clock.advance(0.9)
        assert cues.take() == ["-c"], "a waits for its turn: it was started before b"
        await clock.advance(0.2)
        assert cues.take() == ["~b", "-a"]
        await terminated
        assert cues.downs == {"a": "shutdown", "b": "killed", "c": "shutdown", "sup": "shutdown"}


async def test_sup_stop_timeout_on_stop(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """The time is for the running turn and `on_stop` together."""
    cues.stop_s = {"b": 200_000.0}
    async with memory.node(top(sup(*kids("a", "b", shutdown=1.0))), runtime=clock) as system:
        await watch(system, "/top/sup/a", "/top/sup/b")
        cues.take()
        terminated = asyncio.ensure_future(ask(system, "/top", TerminateChild(id="sup")))
        await clock.advance(0.9)
        assert cues.take() == []
        await clock.advance(0.2)
        assert cues.take() == ["-a"], "b was cut off before it had logged anything"
        await terminated
        assert cues.downs == {"a": "shutdown", "b": "killed"}


async def test_sup_stop_timeout_dynamic(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    async with memory.node(top(sup(strategy="dynamic")), runtime=clock) as system:
        for spec in kids("a", "b", restart="temporary", shutdown=1.0):
            await ask(system, "/top/sup", StartChild(spec=spec))
        await watch(system, "/top/sup/a", "/top/sup/b", "/top/sup")
        await busy(system, cues, "/top/sup/b")
        cues.take()
        terminated = asyncio.ensure_future(ask(system, "/top", TerminateChild(id="sup")))
        await clock.advance(0.9)
        assert cues.take() == ["-a"], "it needn't wait for b"
        await clock.advance(0.2)
        assert cues.take() == ["~b"]
        await terminated
        assert cues.downs == {"a": "shutdown", "b": "killed", "sup": "shutdown"}


async def test_sup_stop_brutal_kill(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """No time passes: the running turn is cancelled at once, and `on_stop` doesn't run, busy or not."""
    spec = sup(*kids("a", shutdown=1.0), *kids("b", "c", shutdown="brutal_kill"))
    async with memory.node(top(spec), runtime=clock) as system:
        await watch(system, "/top/sup/a", "/top/sup/b", "/top/sup/c", "/top/sup")
        await busy(system, cues, "/top/sup/b")
        cues.take()
        began = clock.monotonic()
        await clock.run(ask(system, "/top", TerminateChild(id="sup")))
        assert clock.monotonic() == began
        assert cues.take() == ["~b", "-a"]
        await system.idle()
        assert cues.downs == {"a": "shutdown", "b": "killed", "c": "killed", "sup": "shutdown"}


async def test_sup_stop_brutal_kill_dynamic(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    async with memory.node(top(sup(strategy="dynamic"), *kids("bystander")), runtime=clock) as system:
        ids = [str(number) for number in range(10)]
        for spec in kids(*ids, restart="temporary", shutdown="brutal_kill"):
            await ask(system, "/top/sup", StartChild(spec=spec))
        for one in ids[:5]:
            await busy(system, cues, f"/top/sup/{one}")
        await watch(system, *(f"/top/sup/{one}" for one in ids))
        cues.take()
        began = clock.monotonic()
        await clock.run(ask(system, "/top", TerminateChild(id="sup")))
        assert clock.monotonic() == began
        assert sorted(cues.take()) == [f"~{one}" for one in ids[:5]]
        assert await which(system, "/top") == [("bystander", "running"), ("sup", "stopped")]
        await system.idle()
        assert cues.downs == dict.fromkeys(ids, "killed")


async def test_sup_stop_race(memory: MemoryGround, cues: Cues) -> None:
    """Children that end by themselves during the shutdown, for whatever reason, don't hang it and aren't restarted."""
    hows = ("normal", "shutdown", "shutdown_info", "error", "killed")
    racers = {f"{restart} {how}": (restart, how) for restart in ("temporary", "transient", "permanent") for how in hows}
    children = [kid(one, restart=restart) for one, (restart, _) in racers.items()]
    spec = sup(*kids("first", restart="temporary"), *children, *kids("last", restart="temporary", shutdown="infinity"))
    async with memory.node(top(spec)) as system:
        cues.take()
        cues.hold("last", stop=True)
        await watch(system, *(f"/top/sup/{one}" for one in (*racers, "first", "last")))
        terminated = asyncio.ensure_future(ask(system, "/top", TerminateChild(id="sup")))
        await cues.holding("last")
        for one, (_, how) in racers.items():
            try:
                await ask(system, f"/top/sup/{one}", End(how=how))
            except AskFailed:
                assert how == "error"
        cues.let_go("last")
        await terminated
        await system.idle()
        log = cues.take()
        assert not [entry for entry in log if entry.startswith("+")]
        assert {"-last", "-first"} < set(log)
        assert log[-1] == "-first"
        kinds = {one: how.removesuffix("_info") for one, (_, how) in racers.items()}
        assert cues.downs == kinds | {"first": "shutdown", "last": "shutdown"}
        assert await which(system, "/top") == [("sup", "stopped")]


@pytest.mark.parametrize("restart", ["temporary", "transient", "permanent"])
async def test_sup_stop_non_shutdown_exit_dynamic(memory: MemoryGround, cues: Cues, restart: Any) -> None:
    """Children that make an error of their shutdown are tolerated."""
    cues.odd = {"a", "c"}
    async with memory.node(top(sup(strategy="dynamic"))) as system:
        for spec in kids("a", "b", "c", restart=restart):
            await ask(system, "/top/sup", StartChild(spec=spec))
        cues.take()
        await watch(system, "/top/sup/a", "/top/sup/b", "/top/sup/c", "/top/sup")
        await ask(system, "/top", TerminateChild(id="sup"))
        await system.idle()
        assert sorted(cues.take()) == ["-a", "-b", "-c"]
        assert cues.downs == {"a": "error", "b": "shutdown", "c": "error", "sup": "shutdown"}
        assert await which(system, "/top") == [("sup", "stopped")]


async def test_order_of_children(memory: MemoryGround, cues: Cues) -> None:
    """Started in the order given, which isn't the alphabet's; stopped in reverse; a restart of the rest as well."""
    ids = ["ch7", "ch3", "ch10", "ch2", "ch5"]
    async with memory.node(sup(*kids(*ids), strategy="rest_for_one")) as system:
        assert cues.take() == ["+ch7", "+ch3", "+ch10", "+ch2", "+ch5"]
        await end(system, "/sup/ch10")
        assert cues.take() == ["-ch10 error", "-ch5", "-ch2", "+ch10", "+ch2", "+ch5"]
        assert await which(system, "/sup") == running("ch5", "ch2", "ch10", "ch3", "ch7")
    assert cues.take() == ["-ch5", "-ch2", "-ch10", "-ch3", "-ch7"]


async def test_child_unlink(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """A child that can't be stopped doesn't hang its supervisor: it swallows its cancellation, and is abandoned."""
    async with memory.node(sup(*kids("naughty", shutdown=1.0), *kids("b")), runtime=clock) as system:
        await busy(system, cues, "/sup/naughty", stubborn=True)
        terminated = asyncio.ensure_future(ask(system, "/sup", TerminateChild(id="naughty")))
        await clock.advance(3.0)
        assert terminated.done()
        assert await which(system, "/sup") == [("b", "running"), ("naughty", "stopped")]
        await clock.run(system.stop())


async def test_simple_one_for_one_shutdown(memory: MemoryGround, clock: VirtualRuntime, cues: Cues) -> None:
    """Dynamic children stop side by side, and one timeout bounds them all."""
    cues.stop_s = {"a": 1.0, "b": 1.0, "c": 5.0}
    async with memory.node(sup(strategy="dynamic"), runtime=clock) as system:
        for spec in kids("a", "b", "c", shutdown=2.0):
            await ask(system, "/sup", StartChild(spec=spec))
        cues.take()
        began = clock.monotonic()
        await clock.run(system.stop())
        assert clock.monotonic() - began == 2.0
    assert sorted(cues.take()) == ["-a", "-b"], "c was cut off"
