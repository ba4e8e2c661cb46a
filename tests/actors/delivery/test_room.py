"""Tells and asks that wait for room: whatever becomes of the actor meanwhile, none is lost and none waits for ever."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from grounds import Ground, MemoryGround, pool, tree
from patience import patience, patient

from greenroom import (
    Actor,
    ActorNotFound,
    ActorSystem,
    AskTimeout,
    ChildSpec,
    DeleteChild,
    MailboxFull,
    Message,
    Request,
    SystemStopped,
    TerminateChild,
    handler,
)
from greenroom.actors.delivery import ask_line
from greenroom.actors.delivery.ask import Asks
from greenroom.persistence.store.rows import DeadLetterRow


class Work(Message):
    number: int
    how: str = ""


class Number(Request[int]):
    number: int = 0


class Slow(Actor[None]):
    gate: asyncio.Event
    handled: list[tuple[str, int]]

    @handler
    async def work(self, message: Work) -> None:
        await Slow.gate.wait()
        Slow.handled.append((self.address, message.number))
        if message.how == "retire":
            self.retire()

    @handler
    async def number(self, message: Number) -> int:
        await Slow.gate.wait()
        return message.number


class Light(Slow):
    durable = False


@pytest.fixture(autouse=True)
def fresh() -> None:
    Slow.gate = asyncio.Event()
    Slow.handled = []


async def filled(system: ActorSystem, address: str, how: str = "") -> Any:
    """An actor at work, whose mailbox of one place is full."""
    ref = system.ref(address)
    await ref.tell(Work(number=0, how=how))
    async with patience():
        while ref.cell().turn is None:
            await asyncio.sleep(0)
    await ref.tell(Work(number=1))
    return ref


@pytest.mark.parametrize("actor", [Slow, Light])
async def test_a_tell_in_line_at_an_actor_that_retires(ground: Ground, actor: type[Actor[None]]) -> None:
    """The next actor at the address gets it; and the tell behind it, which would have waited for ever."""
    spec = tree(pool(ChildSpec(id="template", actor=actor, capacity=1)))
    async with ground.node(spec) as system:
        ref = await filled(system, "/t/pool/one", "retire")
        first = ref.cell()
        in_line = ref.tell(Work(number=2))
        async with patience():
            while first.admission is None:
                await asyncio.sleep(0)
        Slow.gate.set()
        await patient(in_line)
        await patient(system.idle())
        assert ref.cell() is not first
        assert Slow.handled[0] == ("/t/pool/one", 0)
        assert ("/t/pool/one", 2) in Slow.handled


async def test_a_tell_in_line_at_an_actor_that_is_gone_for_good(ground: Ground) -> None:
    """It becomes a dead letter, as every tell to nobody does, and its receipt tells that it is on disk."""
    one = ChildSpec(id="one", actor=Slow, capacity=1, restart="temporary")
    async with ground.node(tree(one)) as system:
        ref = await filled(system, "/t/one", "retire")
        in_line = ref.tell(Work(number=2))
        await asyncio.sleep(0)
        Slow.gate.set()
        await patient(in_line)
        await patient(system.idle())
        letters = [letter for letter in ground.rows(DeadLetterRow) if '"number":2' in letter.body]
        assert [letter.cause for letter in letters] == ["no_actor"]


async def test_a_tell_in_line_at_a_stopped_actor_that_is_deleted(ground: Ground) -> None:
    """Its mailbox is full for good: the tells in line become dead letters, and none waits for room there."""
    one = ChildSpec(id="one", actor=Slow, capacity=1, shutdown="brutal_kill")
    async with ground.node(tree(one)) as system:
        ref = await filled(system, "/t/one")
        in_line = [ref.tell(Work(number=2))]
        await patient(system.ref("/t").ask(TerminateChild(id="one")))
        await patient(system.ref("/t").ask(DeleteChild(id="one")))
        await patient(asyncio.gather(*in_line))
        await patient(system.idle())
        letters = [letter for letter in ground.rows(DeadLetterRow) if '"number":2' in letter.body]
        assert [letter.cause for letter in letters] == ["no_actor"]


@pytest.mark.parametrize("actor", [Slow, Light])
async def test_an_ask_in_line_at_an_actor_that_is_stopped(ground: Ground, actor: type[Actor[None]]) -> None:
    """It is refused at once; it would wait out its time in the mailbox else."""
    one = ChildSpec(id="one", actor=actor, capacity=1, shutdown="brutal_kill")
    async with ground.node(tree(one)) as system:
        ref = await filled(system, "/t/one")
        asked = asyncio.create_task(ref.ask(Number(), timeout_s=3600))
        await asyncio.sleep(0)
        assert system.kernel.cells["/t/one"].mailbox.count == 1
        await patient(system.ref("/t").ask(TerminateChild(id="one")))
        with pytest.raises(ActorNotFound, match="is stopped"):
            await patient(asked)


async def test_an_ask_in_line_at_an_actor_that_retires(ground: Ground) -> None:
    spec = tree(pool(ChildSpec(id="template", actor=Slow, capacity=1)))
    async with ground.node(spec) as system:
        ref = await filled(system, "/t/pool/one", "retire")
        asked = asyncio.create_task(ref.ask(Number(number=7), timeout_s=3600))
        await asyncio.sleep(0)
        Slow.gate.set()
        assert await patient(asked) == 7


async def test_asks_in_line_at_a_node_that_stops(ground: Ground) -> None:
    one = ChildSpec(id="one", actor=Slow, capacity=1, shutdown="brutal_kill")
    async with ground.node(tree(one)) as system:
        ref = await filled(system, "/t/one")
        asked = [asyncio.create_task(ref.ask(Number(), timeout_s=3600)) for _ in range(3)]
        await asyncio.sleep(0)
        await patient(system.stop())
        for ask in asked:
            with pytest.raises(SystemStopped):
                await patient(ask)


async def test_asks_that_time_out_in_line_leave_nothing_behind(memory: MemoryGround, clock: Any) -> None:
    one = ChildSpec(id="one", actor=Slow, capacity=1)
    async with memory.node(tree(one), runtime=clock) as system:
        ref = system.ref("/t/one")
        await ref.tell(Work(number=0))
        await clock.settle()
        await ref.tell(Work(number=1))
        cell = system.kernel.cells["/t/one"]
        for _ in range(5):
            asked = [asyncio.create_task(ref.ask(Number(), timeout_s=1)) for _ in range(4)]
            await clock.advance(2)
            for ask in asked:
                with pytest.raises(AskTimeout):
                    await ask
            assert len(cell.on_room or ()) <= 1
            assert cell.mailbox.count == 1
        Slow.gate.set()
        await clock.settle()
        assert await clock.run(ref.ask(Number(number=3))) == 3


async def test_an_ask_in_line_that_is_refused_as_its_caller_is_cancelled(memory: MemoryGround) -> None:
    """Its error has no reader any more, so the loop says nothing of it."""
    said: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    async with memory.node(tree(ChildSpec(id="one", actor=Slow, capacity=1))) as system:
        ref = await filled(system, "/t/one")
        ask = asyncio.create_task(ref.ask(Number()))
        await asyncio.sleep(0)
        ((waiting, _),) = system.kernel.part(Asks)._lines[system.kernel.cells["/t/one"]]._places.items()
        waiting.refuse(AskTimeout("/t/one", Number(), 5.0))
        ask.cancel()
        await asyncio.wait((ask,))
        assert ask.cancelled()
        del ask, waiting
        Slow.gate.set()
        await patient(system.idle())
    gc.collect()
    assert said == []


async def test_asks_in_line_come_in_in_their_order(ground: Ground) -> None:
    one = ChildSpec(id="one", actor=Slow, capacity=1)
    async with ground.node(tree(one)) as system:
        ref = await filled(system, "/t/one")
        answered: list[int] = []

        async def ask(number: int) -> None:
            answered.append(await ref.ask(Number(number=number), timeout_s=3600))

        asked = [asyncio.create_task(ask(number)) for number in range(12)]
        await asyncio.sleep(0)
        for number in (0, 5, 11):
            asked[number].cancel()
        await asyncio.sleep(0)
        Slow.gate.set()
        await patient(asyncio.wait(asked))
        assert answered == [1, 2, 3, 4, 6, 7, 8, 9, 10]


async def test_the_line_of_asks_has_an_end(memory: MemoryGround, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask_line, "PLACES_MIN", 3)
    one = ChildSpec(id="one", actor=Slow, capacity=1)
    async with memory.node(tree(one)) as system:
        ref = await filled(system, "/t/one")
        asked = [asyncio.create_task(ref.ask(Number(), timeout_s=3600)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(MailboxFull) as caught:
            await patient(ref.ask(Number(number=4)))
        assert caught.value.undelivered == Number(number=4)
        Slow.gate.set()
        assert await patient(asyncio.gather(*asked)) == [0, 0, 0]
