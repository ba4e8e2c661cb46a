"""Requests, restarts and stops while suspects run, or wait for one another. None waits in a circle."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from grounds import MemoryGround, as_spec, pool, tree
from suspicion import limited

from greenroom import Actor, AskTimeout, Message, Request, handler
from greenroom.persistence.store.rows import MessageRow
from greenroom.testing import Recorder


class Go(Message):
    times: int = 1
    then: str = ""
    patience_s: float = 3.0


class Serve(Request[int]):
    stops: bool = False


class Done(Request[list[str]]):
    pass


class Log(msgspec.Struct):
    lines: list[str] = []


class Gate:
    """Where handlers wait in the first life, and in the second if it is closed."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.arrived = asyncio.Event()

    async def through(self) -> None:
        self.arrived.set()
        await self.opened.wait()


gates: dict[str, Gate] = {}


@pytest.fixture(autouse=True)
def fresh() -> None:
    gates.clear()


async def pass_gate(name: str) -> None:
    if name in gates:
        await gates[name].through()


class Worker(Actor[Log]):
    """Asks the server, at its gate."""

    handler_timeout_s = 5.0

    @handler
    async def go(self, message: Go) -> None:
        id = self.address.rpartition("/")[2]
        await pass_gate(id)
        for _ in range(message.times):
            request = Serve(stops=message.times > 1)
            with suppress(AskTimeout):
                await self.system.ref("/t/pool/server").ask(request, timeout_s=message.patience_s)
        self.state.lines.append(f"attempt {self.turn.attempt}")
        if message.then:
            self.system.ref(message.then).tell(Go())

    @handler
    def done(self, request: Done) -> list[str]:
        return self.state.lines


class Server(Actor[Log]):
    @handler
    async def serve(self, request: Serve) -> int:
        await pass_gate("serving")
        self.state.lines.append("served")
        if request.stops:
            self.stop()
        return 1

    @handler
    async def go(self, message: Go) -> None:
        await pass_gate("going")
        self.state.lines.append("gone")

    @handler
    def done(self, request: Done) -> list[str]:
        return self.state.lines


SPEC = tree(("a", Worker), ("b", Worker), pool(Server), intensity=100)
CURT = tree(*[as_spec((name, Worker), shutdown="brutal_kill") for name in "ab"], pool(Server))


async def first_life(ground: MemoryGround, tells: list[tuple[str, Any]], *stop_at: str) -> MemoryGround:
    """The disk that a crash leaves when handlers stand at those gates."""
    gates.update((name, Gate()) for name in stop_at)
    async with ground.node(SPEC) as system:
        for address, message in tells:
            await system.ref(address).tell(message)
        for closed in gates.values():
            await closed.arrived.wait()
        image = ground.image()
        for closed in gates.values():
            closed.opened.set()
        await system.idle()
    gates.clear()
    assert isinstance(image, MemoryGround)
    return image


async def test_a_suspect_that_waits_lets_requests_pass(memory: MemoryGround) -> None:
    """The one that runs asks the actor of the one that waits for it."""
    image = limited(await first_life(memory, [("/t/a", Go()), ("/t/pool/server", Go())], "going", "a"), 2, 1)
    gates["serving"] = Gate()
    async with image.node(SPEC) as system:
        await gates["serving"].arrived.wait()
        turn = system.kernel.cells["/t/pool/server"].turn
        assert turn is not None
        assert isinstance(turn.message, Serve)
        gates["serving"].opened.set()
        await system.idle()
        assert await system.ref("/t/pool/server").ask(Done()) == ["served", "gone"]
        assert await system.ref("/t/a").ask(Done()) == ["attempt 1"]


async def test_a_suspect_waits_for_the_request_that_its_actor_serves(memory: MemoryGround) -> None:
    """The first suspect's ask has timed out, and the server is still at it: it has one turn at a time all the same."""
    tells = [("/t/a", Go(patience_s=0.01)), ("/t/pool/server", Go())]
    image = limited(await first_life(memory, tells, "going", "a"), 2, 1)
    gates["serving"] = Gate()
    async with image.node(SPEC) as system:
        await gates["serving"].arrived.wait()
        while system.kernel.cells["/t/a"].turn is not None:
            await asyncio.sleep(0)
        gates["serving"].opened.set()
        await system.idle()
        assert await system.ref("/t/pool/server").ask(Done()) == ["served", "gone"]
        assert await system.ref("/t/a").ask(Done()) == ["attempt 1"]


async def test_what_a_suspect_asks_is_restarted_meanwhile(memory: MemoryGround) -> None:
    """It ends after each reply: its supervisor works meanwhile, and starts it anew although a suspect waits there."""
    tells = [("/t/a", Go(times=3)), ("/t/pool/server", Go())]
    image = limited(await first_life(memory, tells, "going", "a"), 2, 1)
    async with image.node(SPEC) as system:
        await system.idle()
        assert await system.ref("/t/a").ask(Done()) == ["attempt 1"]
        assert await system.ref("/t/pool/server").ask(Done()) == [*["served"] * 3, "gone"]


async def test_a_request_that_was_being_served_is_no_suspect(memory: MemoryGround) -> None:
    """Its asker is one, and waits for it."""
    image = await first_life(memory, [("/t/a", Go())], "serving")
    noted = image.data.attempts._noted
    (slot,) = [slot for slot, started in noted.items() if started.address == "/t/a"]
    del noted[slot]  # the asker's message isn't a suspect: the death was charged to it in an earlier life, say
    events = Recorder()
    async with image.node(SPEC, on_event=events) as system:
        await system.idle()
        assert await system.ref("/t/a").ask(Done()) == ["attempt 1"]
    assert len(events.of("recovery.ended")) == 1


@pytest.mark.parametrize("asks", [1, 0])
async def test_a_suspect_that_comes_back_runs_beside_others(memory: MemoryGround, asks: int) -> None:
    """It had no row, and is recognised. A handler in flight asks its actor."""
    async with memory.node(SPEC) as system:
        await system.ref("/t/b").tell(Go(then="/t/pool/server"), delay_s=0.05)
        gate = gates["going"] = Gate()
        memory.plan.hold()  # `b` finishes, and isn't committed: what it told runs, and has no row
        await gate.arrived.wait()
        image = memory.image()
        gate.opened.set()
        memory.plan.release()
        await system.idle()
    assert isinstance(image, MemoryGround)
    gates.clear()
    gates["a"], gates["b"] = Gate(), Gate()
    async with image.node(SPEC) as system:
        events = Recorder(system)
        assert [started.address for started in system.kernel.caution.suspects.values()] == ["/t/pool/server"]
        await system.ref("/t/a").tell(Go(times=asks))
        await gates["a"].arrived.wait()
        await gates["b"].arrived.wait()
        gates["b"].opened.set()
        gates["a"].opened.set()
        await system.idle()
        assert await system.ref("/t/a").ask(Done()) == ["attempt 1"]
        assert sorted(await system.ref("/t/pool/server").ask(Done())) == ["gone", *["served"] * (asks + 1)]
        assert not events.of("message.failed")
        assert system.kernel.caution is None
    assert not image.rows(MessageRow)


async def test_a_stop_in_the_middle_charges_nobody(memory: MemoryGround) -> None:
    """The suspects that were at work, and the one that waited for its turn, are suspects of the next life again."""
    image = limited(await first_life(memory, [("/t/a", Go()), ("/t/b", Go())], "a", "b"), 1)
    gate = gates["a"] = Gate()
    async with image.node(CURT) as system:
        await gate.arrived.wait()
    gates.clear()
    events = Recorder()
    async with image.node(CURT, on_event=events) as system:
        await system.idle()
        for name in "ab":
            assert await system.ref(f"/t/{name}").ask(Done()) == ["attempt 1"]
    assert [event.measures["suspects"] for event in events.of("recovery.started")] == [2]
    assert not image.data.attempts.open()
