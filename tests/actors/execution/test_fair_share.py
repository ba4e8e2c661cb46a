"""A cell that holds the loop long gives it back twice as long, if another has use for it. Time is a counter here."""

from __future__ import annotations

import asyncio

import pytest
from grounds import MemoryGround, tree
from patience import patience

from greenroom import Actor, ChildSpec, Message, RestartChild, SupervisorSpec, TerminateChild, handler
from greenroom.actors.execution.dispatcher import BREATH_S
from greenroom.actors.execution.fair_share import BACK, HOG_S
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.rows import DeadLetterRow

BURST_S = 0.010
ROUND_S = 0.0001


class Worked(Runtime):
    """The fine clock goes on only while somebody says that he works."""

    worked_s = 0.0

    def perf(self) -> float:
        return self.worked_s


class Burst(Message):
    last: bool = False


class Hog(Actor[None]):
    burst_s = BURST_S
    began: list[float]
    handled: int

    @handler
    def burst(self, message: Burst) -> None:
        runtime = self.system.kernel.runtime
        assert isinstance(runtime, Worked)
        Hog.handled += 1
        Hog.began.append(runtime.worked_s)
        runtime.worked_s += self.burst_s
        if not message.last:
            self.ref.tell(Burst())


class Small(Hog):
    """Holds the loop by many turns that are short."""

    burst_s = HOG_S / 8


class Patient(Hog):
    """Holds the loop between the awaits of one turn, or of many."""

    @handler
    async def burst(self, message: Burst) -> None:
        for _ in range(5):
            Hog.burst(self, message)
            await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def fresh() -> None:
    Hog.began, Hog.handled = [], 0


def hogs(*actors: type[Hog], durable: bool) -> SupervisorSpec:
    return tree(*(ChildSpec(id=f"hog{n}", actor=actor, durable=durable) for n, actor in enumerate(actors)))


async def use_the_loop(runtime: Worked, until: int) -> int:
    """As many do: something to do in each round. Returns the rounds."""
    rounds = 0
    while Hog.handled < until:
        await asyncio.sleep(0)
        runtime.worked_s += ROUND_S
        rounds += 1
    return rounds


@pytest.mark.parametrize("durable", [True, False])
async def test_whoever_has_use_for_the_loop_gets_more_than_half_of_it(memory: MemoryGround, durable: bool) -> None:
    runtime = Worked()
    async with memory.node(hogs(Hog, durable=durable), runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst())
        rounds = await use_the_loop(runtime, until=21)
        await system.ref("/t").ask(TerminateChild(id="hog0"))
    assert rounds * ROUND_S == pytest.approx(20 * BACK * BURST_S, rel=0.1)


@pytest.mark.parametrize("durable", [True, False])
async def test_also_from_a_handler_that_waits(memory: MemoryGround, durable: bool) -> None:
    runtime = Worked()
    async with memory.node(hogs(Patient, durable=durable), runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst())
        rounds = await use_the_loop(runtime, until=21)
        await system.ref("/t").ask(TerminateChild(id="hog0"))
    assert rounds * ROUND_S == pytest.approx(20 * BACK * BURST_S, rel=0.1)


async def test_a_long_wait_pays_for_itself(memory: MemoryGround) -> None:
    """Of the time for which it keeps off, that counts which it has waited anyhow."""
    runtime = Worked()

    class Waits(Hog):
        gate: asyncio.Event

        @handler
        async def burst(self, message: Burst) -> None:
            Hog.handled += 1
            runtime.worked_s += BURST_S
            await Waits.gate.wait()
            Hog.handled += 1

    Waits.gate = asyncio.Event()
    async with memory.node(hogs(Waits, durable=True), runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst(last=True))
        await use_the_loop(runtime, until=1)
        runtime.worked_s += BACK * BURST_S
        Waits.gate.set()
        assert await use_the_loop(runtime, until=2) <= 3


async def test_cancelled_while_it_keeps_off(memory: MemoryGround) -> None:
    """Its time limit is over: the handler sees it where it waits, and the message is charged."""
    runtime = Worked()
    cut = asyncio.Event()

    class Slow(Hog):
        max_attempts = 1

        @handler
        async def burst(self, message: Burst) -> None:
            Hog.handled += 1
            runtime.worked_s += 1000.0
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                cut.set()
                raise

    spec = tree(ChildSpec(id="hog0", actor=Slow, handler_timeout_s=0.01))
    async with memory.node(spec, runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst())
        async with patience():
            while not cut.is_set():
                await asyncio.sleep(0)
                runtime.worked_s += ROUND_S
            while not (letters := memory.rows(DeadLetterRow)):
                await asyncio.sleep(0)
                runtime.worked_s += ROUND_S
    assert "HandlerTimeout" in letters[0].error


async def test_many_short_turns_count_as_a_long_one(memory: MemoryGround) -> None:
    runtime = Worked()
    async with memory.node(hogs(Small, durable=True), runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst())
        rounds = await use_the_loop(runtime, until=800)
        await system.ref("/t").ask(TerminateChild(id="hog0"))
    assert rounds * ROUND_S == pytest.approx(800 * BACK * Small.burst_s, rel=0.1)


async def test_nobody_waits_for_an_idle_loop(memory: MemoryGround) -> None:
    runtime = Worked()
    rounds = 0
    async with memory.node(hogs(Hog, durable=True), runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst())
        while Hog.handled < 50:
            await asyncio.sleep(0)
            rounds += 1
        await system.ref("/t").ask(TerminateChild(id="hog0"))
    assert rounds < 50 * 5


async def test_two_of_them_waste_nothing(memory: MemoryGround) -> None:
    """While one keeps off the other works: that is use enough for both."""
    runtime = Worked()
    async with memory.node(hogs(Hog, Hog, durable=True), runtime=runtime) as system:
        for name in ("hog0", "hog1"):
            system.ref(f"/t/{name}").tell(Burst())
        began = runtime.worked_s
        while Hog.handled < 40:
            await asyncio.sleep(0)
        assert runtime.worked_s - began == pytest.approx(Hog.handled * BURST_S)
        for name in ("hog0", "hog1"):
            await system.ref("/t").ask(TerminateChild(id=name))


async def test_a_shutdown_waits_for_nothing(memory: MemoryGround) -> None:
    """Others use the loop, and the clock of what it owes them stands still: it stops all the same."""
    runtime = Worked()

    class Long(Hog):
        burst_s = 1000.0

        @handler
        async def burst(self, message: Burst) -> None:
            Hog.burst(self, message)
            await asyncio.sleep(0)

    async def others() -> None:
        while True:
            await asyncio.sleep(0)
            runtime.worked_s += ROUND_S

    async with memory.node(hogs(Long, durable=True), runtime=runtime) as system:
        busy = asyncio.create_task(others())
        system.ref("/t/hog0").tell(Burst(last=True))
        while not Hog.handled:
            await asyncio.sleep(0)
        began = runtime.worked_s
        await system.ref("/t").ask(TerminateChild(id="hog0"))
        busy.cancel()
        assert runtime.worked_s - began < 0.1
        assert Hog.handled == 1


async def test_stopped_while_it_keeps_off(memory: MemoryGround) -> None:
    """It is no turn that the stop would wait for, and what waits stays in the mailbox."""
    runtime = Worked()
    async with memory.node(hogs(Hog, durable=True), runtime=runtime) as system:
        system.ref("/t/hog0").tell(Burst())
        while not Hog.handled:
            await asyncio.sleep(0)
        before = Hog.handled
        runtime.worked_s += 2 * BREATH_S
        await system.ref("/t").ask(TerminateChild(id="hog0"))
        assert Hog.handled <= before + 1
    again = Hog.handled
    async with memory.node(hogs(Hog, durable=True), runtime=Worked()) as system:
        await system.ref("/t").ask(RestartChild(id="hog0"))
        while Hog.handled < again + 3:
            await asyncio.sleep(0)
        await system.ref("/t").ask(TerminateChild(id="hog0"))
