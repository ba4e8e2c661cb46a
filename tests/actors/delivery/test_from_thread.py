"""`ref.from_thread`: tells and asks from threads, durable when they return."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from door_actors import TREE, Front, Go, Ping
from grounds import Ground, MemoryGround, tree
from patience import patience, patient

from greenroom import (
    Actor,
    ActorNotFound,
    ActorSystem,
    AskFailed,
    AskTimeout,
    ChildSpec,
    MailboxFull,
    Message,
    NotAMessage,
    Request,
    StoreFull,
    SystemStopped,
    UndecodableMessage,
    WrongThread,
    handler,
)
from greenroom.persistence.store.rows import MessageRow

T = TypeVar("T")


class Add(Message):
    number: int


class Total(Request[int]):
    pass


class Slow(Request[int]):
    """Answered when the gate opens."""


class Threaded(Request[str]):
    """Answered with what a thread of the handler got."""

    call: str


class Bad(Request[int]):
    pass


class Ledger(Actor[None]):
    handled: list[int]
    gate: asyncio.Event

    @handler
    async def add(self, message: Add) -> None:
        Ledger.handled.append(message.number)
        await Ledger.gate.wait()

    @handler
    def total(self, message: Total) -> int:
        return sum(Ledger.handled)

    @handler
    async def slow(self, message: Slow) -> int:
        await Ledger.gate.wait()
        return 1

    @handler
    def bad(self, message: Bad) -> int:
        raise LookupError("no such entry")

    @handler
    async def threaded(self, message: Threaded) -> str:
        other = self.system.ref("/t/other")

        def call() -> str:
            if message.call == "ask":
                return str(other.from_thread.ask(Total()))
            other.from_thread.tell(Add(number=1))
            return "told"

        found = await asyncio.to_thread(call)
        if message.call == "tell, then fail":
            raise LookupError
        return found


LEDGERS = tree(("ledger", Ledger), ("other", Ledger), ChildSpec(id="small", actor=Ledger, capacity=1))


@pytest.fixture(autouse=True)
def fresh() -> None:
    Ledger.handled = []
    Ledger.gate = asyncio.Event()
    Ledger.gate.set()
    Front.handled = []


def thread(call: Callable[[], T]) -> asyncio.Future[T]:
    """A call in a thread of its own."""
    return asyncio.get_running_loop().run_in_executor(None, call)


async def test_a_tell_is_durable_when_it_returns(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger = system.ref("/t/ledger")
        Ledger.gate.clear()
        ground.plan.hold()
        told = thread(lambda: ledger.from_thread.tell(Add(number=7)))
        await ground.plan.arrived()
        assert not told.done()
        ground.plan.release()
        assert await patient(told) is None
        image = ground.image()  # kill -9 at this moment
        Ledger.gate.set()
    Ledger.handled.clear()
    async with image.node(LEDGERS) as system:
        await patient(system.idle())
        assert Ledger.handled == [7]


async def test_a_reply_comes_when_what_it_rests_on_is_on_disk(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger = system.ref("/t/ledger")
        await patient(thread(lambda: ledger.from_thread.tell(Add(number=5))))
        assert await patient(thread(lambda: ledger.from_thread.ask(Total()))) == 5


async def test_many_threads_each_in_order(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger = system.ref("/t/ledger").from_thread

        def teller(first: int) -> None:
            for number in range(first, first + 20):
                ledger.tell(Add(number=number))

        await patient(asyncio.gather(*(thread(lambda first=first: teller(first)) for first in (0, 100, 200, 300))))  # type: ignore[misc]
        await patient(system.idle())
        for first in (0, 100, 200, 300):
            assert [n for n in Ledger.handled if first <= n < first + 20] == list(range(first, first + 20))


async def test_arguments_and_errors_are_those_of_the_ref(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger = system.ref("/t/ledger").from_thread
        for number in (1, 1):
            await patient(thread(lambda number=number: ledger.tell(Add(number=number), key="once")))  # type: ignore[misc]
        await patient(system.idle())
        assert Ledger.handled == [1]
        await patient(thread(lambda: ledger.tell(Add(number=2), delay_s=3600)))
        if ground.rows(MessageRow):
            assert ground.rows(MessageRow)[0].due is not None
        for call, error in (
            (lambda: ledger.tell("hello"), NotAMessage),
            (lambda: ledger.tell(Add(number="1")), UndecodableMessage),  # type: ignore[arg-type]
            (lambda: ledger.tell(Add(number=1), delay_s=-1), ValueError),
            (lambda: ledger.tell(Add(number=1), priority=1.5), TypeError),
            (lambda: ledger.ask(Total(), timeout_s=0), ValueError),
            (lambda: ledger.ask(Bad()), AskFailed),
            (lambda: system.ref("/t/nobody").from_thread.tell(Add(number=1)), ActorNotFound),
            (lambda: system.ref("/t/nobody").from_thread.ask(Total()), ActorNotFound),
        ):
            with pytest.raises(error):
                await patient(thread(call))  # type: ignore[arg-type]
        Ledger.gate.clear()
        with pytest.raises(AskTimeout):
            await patient(thread(lambda: ledger.ask(Slow(), timeout_s=0.05)))
        Ledger.gate.set()


async def test_a_full_mailbox(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        small = system.ref("/t/small")
        Ledger.gate.clear()
        await small.tell(Add(number=0))
        async with patience():
            while not Ledger.handled:
                await asyncio.sleep(0)
        await small.tell(Add(number=1))
        waits = thread(lambda: small.from_thread.tell(Add(number=2)))
        async with patience():
            while system.kernel.cells["/t/small"].admission is None:
                await asyncio.sleep(0)
        with pytest.raises(MailboxFull):
            await patient(thread(lambda: small.from_thread.tell(Add(number=3))))
        assert not waits.done()
        Ledger.gate.set()
        await patient(waits)
        await patient(system.idle())
        assert Ledger.handled == [0, 1, 2]


async def test_a_store_that_fails(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ground.plan.fail(StoreFull("no space"))
        with pytest.raises(StoreFull) as caught:
            await patient(thread(lambda: system.ref("/t/ledger").from_thread.tell(Add(number=1))))
        assert caught.value.undelivered == Add(number=1)


async def test_on_the_loops_own_thread_it_would_wait_for_itself(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:
        front = system.ref("/t/front")
        for call in (lambda: front.from_thread.tell(Go()), lambda: front.from_thread.ask(Ping())):
            with pytest.raises(WrongThread, match=r"would wait for itself. Write `await ref\.tell"):
                call()
        assert await front.ask(Ping()) == "pong"


async def test_from_the_loop_of_another_thread(memory: MemoryGround) -> None:
    async with memory.node(TREE) as system:

        async def elsewhere() -> str:
            return await asyncio.to_thread(system.ref("/t/front").from_thread.ask, Ping())

        assert await patient(thread(lambda: asyncio.run(elsewhere()))) == "pong"


# -- a thread that a handler has started ---------------------------------------------------------------------


async def test_a_call_from_a_thread_is_no_part_of_the_turn(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger = system.ref("/t/ledger")
        assert await patient(ledger.ask(Threaded(call="tell"))) == "told"
        assert await patient(ledger.ask(Threaded(call="ask"))) == "1"
        with pytest.raises(AskFailed):
            await patient(ledger.ask(Threaded(call="tell, then fail")))
        await patient(system.idle())
        assert Ledger.handled == [1, 1]  # it was told although the turn failed


# -- the end of the node -------------------------------------------------------------------------------------


async def test_after_the_stop(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger = system.ref("/t/ledger").from_thread
    for call in (lambda: ledger.tell(Add(number=1)), lambda: ledger.ask(Total())):
        with pytest.raises(SystemStopped):
            await patient(thread(call))  # type: ignore[arg-type]


async def test_a_node_that_stops_meanwhile(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ledger, small = system.ref("/t/ledger").from_thread, system.ref("/t/small")
        Ledger.gate.clear()
        asks = thread(lambda: ledger.ask(Slow(), timeout_s=3600))  # at work
        await small.tell(Add(number=0))
        await small.tell(Add(number=1))
        in_line = thread(lambda: small.from_thread.tell(Add(number=2)))
        async with patience():
            while system.kernel.cells["/t/small"].admission is None or len(system.kernel.background_tasks) < 2:
                await asyncio.sleep(0)
        stopping = asyncio.create_task(system.stop())
        await asyncio.sleep(0)
        with pytest.raises(SystemStopped):
            await patient(in_line)
        with pytest.raises(SystemStopped):
            await patient(thread(lambda: ledger.ask(Total())))
        Ledger.gate.set()
        assert await patient(asks) == 1  # it was at work, and had the time to end
        await patient(stopping)


async def test_a_tell_that_the_stop_still_commits_is_acknowledged(ground: Ground) -> None:
    async with ground.node(LEDGERS) as system:
        ground.plan.hold()
        told = thread(lambda: system.ref("/t/ledger").from_thread.tell(Add(number=7)))
        await ground.plan.arrived()
        stopping = asyncio.create_task(system.stop())
        await asyncio.sleep(0)
        ground.plan.release()
        assert await patient(told) is None
        await patient(stopping)


async def test_an_ask_that_is_cancelled_before_it_began(memory: MemoryGround) -> None:
    async with memory.node(LEDGERS) as system:
        background = system.kernel.background

        def cut(coroutine: Any, name: str) -> asyncio.Task[Any]:
            task = background(coroutine, name)
            task.cancel()
            return task

        system.kernel.background = cut  # type: ignore[method-assign]
        with pytest.raises(SystemStopped):
            await patient(thread(lambda: system.ref("/t/ledger").from_thread.ask(Total())))


@pytest.mark.parametrize("how", ["the loop is closed", "the loop stands"])
def test_a_loop_that_has_ended(memory: MemoryGround, how: str) -> None:
    """Whoever waits gets an error; nobody hangs."""
    outcome: list[BaseException] = []

    def endpoint(system: ActorSystem) -> None:
        try:
            system.ref("/t/ledger").from_thread.ask(Slow(), timeout_s=3600)
        except BaseException as error:
            outcome.append(error)

    async def leave() -> threading.Thread:
        Ledger.gate = asyncio.Event()
        system = await memory.node(LEDGERS).__aenter__()
        asking = threading.Thread(target=endpoint, args=(system,))
        asking.start()
        async with patience():
            while not system.kernel.background_tasks:
                await asyncio.sleep(0)
        return asking

    loop = asyncio.new_event_loop()
    asking = loop.run_until_complete(leave())
    if how == "the loop is closed":
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    asking.join()
    assert [type(error) for error in outcome] == [SystemStopped]
    if not loop.is_closed():
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
