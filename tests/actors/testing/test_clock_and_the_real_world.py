"""The virtual clock moves when nothing else can happen: not while work goes on, or something real takes its time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import aiosqlite
import anyio
import pytest
from grounds import Ground, MemoryGround, pool, tree
from sqlalchemy import text

from greenroom import Actor, ChildSpec, ExitReason, Message, TaskSupervisor, TerminateChild, handler
from greenroom.persistence.engines.sqlite.worker import Worker
from greenroom.testing import Recorder, VirtualRuntime

REAL_S = 0.05
"""How long the real things here take: many rounds of the loop."""


class Go(Message):
    way: str = ""


def _after_a_while(event: threading.Event) -> None:
    asyncio.get_running_loop().call_later(REAL_S, event.set)


def _thread() -> Callable[[], object]:
    event = threading.Event()
    _after_a_while(event)
    return event.wait


async def _socket() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        asyncio.get_running_loop().call_later(REAL_S, other.send, b"x")
        assert await asyncio.get_running_loop().sock_recv(one, 1) == b"x"


async def _stream() -> None:
    one, other = socket.socketpair()
    with other:
        reader, writer = await asyncio.open_connection(sock=one)
        asyncio.get_running_loop().call_later(REAL_S, other.send, b"x")
        assert await reader.read(1) == b"x"
        writer.close()
        await writer.wait_closed()


async def _anyio_stream() -> None:
    one, other = socket.socketpair()
    with other:
        stream = await anyio.abc.SocketStream.from_socket(one)
        asyncio.get_running_loop().call_later(REAL_S, other.send, b"x")
        assert await stream.receive() == b"x"
        await stream.aclose()


async def _timer() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(REAL_S, future.set_result, None)
    await future


def _in_executor() -> asyncio.Future[object]:
    return asyncio.get_running_loop().run_in_executor(None, _thread())


async def _executor() -> None:
    await _in_executor()


async def _executors() -> None:
    await asyncio.gather(_in_executor(), _in_executor())
    await asyncio.wait([_in_executor()])


async def _group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(_thread()))
        group.create_task(asyncio.sleep(0))


async def _anyio_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(asyncio.sleep, REAL_S)


async def _database() -> None:
    async with aiosqlite.connect(":memory:") as connection:
        await connection.create_function("slow", 0, _thread())
        await connection.execute("SELECT slow()")


async def _limited() -> None:
    async with asyncio.timeout(3600):
        await asyncio.sleep(REAL_S)


async def _task() -> None:
    await asyncio.create_task(asyncio.sleep(REAL_S))


REAL: dict[str, Callable[[], Awaitable[Any]]] = {
    "sleep": lambda: asyncio.sleep(REAL_S),
    "anyio sleep": lambda: anyio.sleep(REAL_S),
    "thread": lambda: asyncio.to_thread(_thread()),
    "anyio thread": lambda: anyio.to_thread.run_sync(_thread()),
    "executor": _executor,
    "timer": _timer,
    "socket": _socket,
    "stream": _stream,
    "anyio stream": _anyio_stream,
    "gather": lambda: asyncio.gather(asyncio.sleep(REAL_S), asyncio.sleep(0)),
    "group": _group,
    "anyio group": _anyio_group,
    "wait_for": lambda: asyncio.wait_for(asyncio.to_thread(_thread()), 3600),
    "wait": lambda: asyncio.wait([asyncio.ensure_future(asyncio.sleep(REAL_S))]),
    "time limit": _limited,
    "task": _task,
    "executors": _executors,
    "wait_for an executor": lambda: asyncio.wait_for(_in_executor(), 3600),
    "shield": lambda: asyncio.shield(_in_executor()),
    "shielded task": lambda: asyncio.shield(asyncio.ensure_future(asyncio.sleep(REAL_S))),
    "database": _database,
}


async def _never_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.Event().wait())


async def _limited_for_ever() -> None:
    async with asyncio.timeout(3600):
        await asyncio.Event().wait()


async def _never_set() -> None:
    await asyncio.get_running_loop().create_future()


NOT_REAL: dict[str, Callable[[], Awaitable[Any]]] = {
    "event": lambda: asyncio.Event().wait(),
    "anyio event": lambda: anyio.Event().wait(),
    "queue": lambda: asyncio.Queue[int]().get(),
    "future": _never_set,
    "gather of an event": lambda: asyncio.gather(asyncio.Event().wait(), asyncio.sleep(0)),
    "group of an event": _never_in_a_group,
    "wait_for an event": lambda: asyncio.wait_for(asyncio.Event().wait(), 3600),
    "time limit of an event": _limited_for_ever,
}


class Waiter(Actor[None]):
    max_attempts = 1
    handler_timeout_s = 60.0
    handled: ClassVar[list[str]] = []

    @handler
    async def go(self, message: Go) -> None:
        if message.way == "sql":
            async with self.transaction() as connection:
                await connection.execute(text("SELECT 1"))
        elif message.way == "sql for long":
            async with self.transaction() as connection:
                driver = await connection.get_raw_connection()
                await driver.driver_connection.create_function("slow", 0, _thread())  # type: ignore[union-attr]
                await connection.execute(text("SELECT slow()"))
        else:
            await {**NOT_REAL, **REAL}[message.way]()
        Waiter.handled.append(message.way)


@pytest.mark.parametrize("way", [*REAL, "sql", "sql for long"])
@pytest.mark.parametrize("how", ["advance", "run"])
@pytest.mark.usefixtures("own_loop")
async def test_a_handler_that_waits_for_something_real_is_not_timed_out(
    ground: Ground, clock: VirtualRuntime, way: str, how: str
) -> None:
    events = Recorder()
    Waiter.handled = []
    async with ground.node(tree(Waiter), runtime=clock, on_event=events) as system:
        await clock.run(_told(system, Go(way=way)))
        if how == "advance":
            await clock.advance(61.0)
        await clock.run(system.idle())
        assert not events.of("message.failed")
        assert not events.of("message.parked")
        assert Waiter.handled == [way]


async def _told(system: Any, message: Message) -> None:
    await system.ref("/t/waiter").tell(message)


@pytest.mark.parametrize("way", NOT_REAL)
async def test_a_handler_that_waits_for_nobody_runs_into_its_limit(
    memory: MemoryGround, clock: VirtualRuntime, way: str
) -> None:
    events = Recorder()
    async with memory.node(tree(Waiter), runtime=clock, on_event=events) as system:
        began = clock.monotonic()
        system.ref("/t/waiter").tell(Go(way=way))
        await clock.advance(59.0)
        assert not events.of("message.parked")
        await clock.advance(2.0)
        assert len(events.of("message.parked")) == 1
        assert clock.monotonic() == began + 61.0


class Late(Actor[None]):
    started = False

    async def on_start(self) -> None:
        await asyncio.sleep(REAL_S)
        Late.started = True

    async def on_stop(self, reason: ExitReason) -> None:
        await asyncio.to_thread(_thread())
        Late.started = False


async def test_starts_and_stops_take_no_virtual_time_for_something_real(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    async with memory.node(tree(pool(Late)), runtime=clock) as system:
        system.ref("/t/pool/a").tell(Go())
        before = clock.monotonic()
        await clock.settle()
        assert Late.started
        assert clock.monotonic() == before
    assert not Late.started
    assert clock.monotonic() - before < 0.1


async def test_a_supervised_task_is_waited_for(memory: MemoryGround, clock: VirtualRuntime) -> None:
    tasks = ChildSpec(id="tasks", actor=TaskSupervisor)
    async with memory.node(tree(tasks), runtime=clock) as system:
        task = asyncio.ensure_future(system.tasks("/t/tasks").run(asyncio.to_thread, _thread(), timeout_s=10.0))
        await asyncio.sleep(0)
        await clock.advance(1000.0)
        assert await task is True


async def test_a_task_that_nothing_limits_and_nobody_awaits_is_not(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(ChildSpec(id="tasks", actor=TaskSupervisor)), runtime=clock) as system:
        tasks = system.tasks("/t/tasks")
        listener = tasks.start(asyncio.sleep, 3600)
        await clock.advance(1000.0)
        assert not listener.done
        quick = tasks.start(asyncio.to_thread, _thread())
        assert await clock.run(asyncio.ensure_future(_awaited(quick))) is True
        listener.cancel()


async def _awaited(task: Any) -> Any:
    return await task


class Asker(Waiter):
    @handler
    async def go(self, message: Go) -> None:
        Waiter.handled.append(str(await self.system.tasks("/t/tasks").run(asyncio.to_thread, _thread())))


async def test_a_handler_that_awaits_a_task_is_not_timed_out(memory: MemoryGround, clock: VirtualRuntime) -> None:
    Waiter.handled.clear()
    async with memory.node(tree(ChildSpec(id="tasks", actor=TaskSupervisor), Asker), runtime=clock) as system:
        system.ref("/t/asker").tell(Go())
        await clock.advance(61.0)
        assert Waiter.handled == ["True"]


class Stopper(Actor[None]):
    async def on_stop(self, reason: ExitReason) -> None:
        for _ in range(300):  # rounds of the loop, and no time
            await asyncio.sleep(0)


async def test_no_time_passes_while_work_goes_on_however_many_rounds_it_takes(
    memory: MemoryGround, clock: VirtualRuntime
) -> None:
    below = tree(*[(f"a{number}", Stopper) for number in range(100)], id="below")
    async with memory.node(tree(below), runtime=clock) as system:
        before = clock.monotonic()
        await clock.run(system.ref("/t").ask(TerminateChild(id="below"), timeout_s=1.0))
        assert clock.monotonic() - before < 0.1


async def test_two_that_move_the_clock_at_once_both_come_to_an_end(memory: MemoryGround, clock: VirtualRuntime) -> None:
    other = VirtualRuntime()
    async with memory.node(tree(Waiter), runtime=clock), MemoryGround().node(tree(Waiter), runtime=other):
        await asyncio.gather(clock.advance(10.0), other.advance(20.0), clock.advance(5.0), other.run(other.sleep(1)))
        assert clock.monotonic() >= 10.0
        assert other.monotonic() >= 20.0


async def test_one_that_waits_for_rest_may_be_cancelled(memory: MemoryGround, clock: VirtualRuntime) -> None:
    async with memory.node(tree(Waiter), runtime=clock) as system:
        system.ref("/t/waiter").tell(Go(way="sleep"))
        moving = asyncio.ensure_future(clock.advance(10.0))
        await asyncio.sleep(0)
        moving.cancel()
        await clock.advance(10.0)
        await clock.run(system.idle())


@pytest.mark.usefixtures("own_loop")
async def test_work_without_an_end_is_an_error_that_names_it(memory: MemoryGround) -> None:
    clock = VirtualRuntime(patience_s=0.1)
    async with memory.node(tree(Waiter), runtime=clock):
        busy = asyncio.create_task(_busy(), name="one that never rests")
        with pytest.raises(TimeoutError, match=r"work still goes on .*one that never rests"):
            await clock.advance(1.0)
        busy.cancel()


async def _busy() -> None:
    while True:
        await asyncio.sleep(0)


class Sleeper(Actor[None]):
    @handler
    async def go(self, message: Go) -> None:
        await asyncio.sleep(3600)


async def test_a_real_wait_without_an_end_is_an_error_that_names_the_place(memory: MemoryGround) -> None:
    clock = VirtualRuntime(patience_s=0.1)
    sleeper = ChildSpec(id="sleeper", actor=Sleeper, shutdown=0.2)
    async with memory.node(tree(sleeper), runtime=clock) as system:
        system.ref("/t/sleeper").tell(Go())
        with pytest.raises(TimeoutError, match=r"asyncio\.tasks\.sleep in .*test_clock_and_the_real_world"):
            await clock.advance(61.0)
        assert clock.monotonic() < 61.0
    assert clock.monotonic() >= 0.2  # its shutdown time: the end of the node isn't held up


def test_a_database_thread_of_a_closed_loop_holds_no_clock() -> None:
    """The call is under way while the clock moves, and its loop never takes in its end."""
    worker, go = Worker("greenroom-left"), threading.Event()

    async def leave() -> None:
        worker.call(go.wait)

    async def move() -> None:
        clock = VirtualRuntime()
        before = clock.monotonic()
        await clock.advance(1.0)
        assert clock.monotonic() == before + 1.0
        go.set()
        await worker.stop()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()
    try:
        asyncio.run(move())
    finally:
        go.set()
