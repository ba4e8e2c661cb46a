"""Actors whose callers and handlers are cut short, and what may be done with them; and a node to do it on."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from typing import Any

import anyio
import msgspec
from grounds import Ground, SqliteGround, pool, tree
from patience import patience
from sqlalchemy import text
from suspensions import counted

from greenroom import (
    Actor,
    ActorSystem,
    Backoff,
    ChildSpec,
    DeleteChild,
    ExitReason,
    Message,
    Request,
    RestartChild,
    StartChild,
    SupervisorSpec,
    TaskSupervisor,
    TerminateChild,
    handler,
)
from greenroom.actors.execution.exits import Exits
from greenroom.actors.execution.shutdown import cut_off

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Put(Message):
    number: int


class Hold(Message):
    """Wait in the handler until the gate opens."""


class Slow(Request[int]):
    number: int


class Do(Message):
    """Do something in a handler that is cut off at its `at`-th suspension, the first time.

    By the runtime, and charged for it or not; or by the handler itself, which goes on then.
    """

    number: int
    what: str
    at: int
    how: str


class Numbers(Request[list[int]]):
    pass


class Clerk(Actor[list[int]]):
    name = "cut-clerk"
    backoff = FAST
    gate: asyncio.Event

    def initial_state(self) -> list[int]:
        return []

    @handler
    def put(self, message: Put) -> None:
        self.state.append(message.number)

    @handler
    async def hold(self, message: Hold) -> None:
        await Clerk.gate.wait()

    @handler
    async def slow(self, request: Slow) -> int:
        await asyncio.sleep(0)
        self.state.append(request.number)
        await asyncio.sleep(0)
        return request.number

    @handler
    def numbers(self, request: Numbers) -> list[int]:
        return self.state


class Starter(Clerk):
    """Waits as it starts and as it stops, in between of which it tells and writes SQL."""

    name = "cut-starter"

    async def on_start(self) -> None:
        await asyncio.sleep(0)
        async with self.transaction() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS item (number INTEGER)"))
        await self.turn_over()

    async def on_stop(self, reason: ExitReason) -> None:
        await self.turn_over()

    async def turn_over(self) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)  # what cleans up may wait, too


class Worker(Clerk):
    """Does things in a handler that is cut off in the middle of them."""

    name = "cut-worker"
    struck: set[int]

    @handler
    async def do(self, message: Do) -> None:
        self.state.append(message.number)
        self.system.ref("/t/clerk").tell(Put(number=-message.number))
        work = getattr(self, message.what)(message)
        if message.number in Worker.struck:
            await work
        elif message.how == "scope":
            with anyio.CancelScope() as scope:
                await counted(work, message.at, lambda _: (Worker.struck.add(message.number), scope.cancel()))
        elif message.how == "timeout":
            now = asyncio.get_running_loop().time
            with suppress(TimeoutError):
                async with asyncio.timeout(None) as limit:
                    await counted(
                        work, message.at, lambda _: (Worker.struck.add(message.number), limit.reschedule(now()))
                    )
        else:
            await counted(work, message.at, lambda _: self.strike(message))

    def strike(self, message: Do) -> None:
        Worker.struck.add(message.number)
        turn = self.system.kernel.cells[self.address].turn
        assert turn is not None
        error = RuntimeError("cut off")
        if message.how == "charged":
            self.system.kernel.background(cut_off(turn, lambda: error), "cut off")
        else:  # as an exit signal over a link does; its supervisor starts it again
            self.system.kernel.part(Exits).exit_by_link(turn.cell, ExitReason.killed("cut off"))

    async def ask(self, message: Do) -> None:
        assert await self.system.ref("/t/other").ask(Slow(number=message.number)) == message.number

    async def settled(self, message: Do) -> None:
        await asyncio.sleep(0)
        await self.turn.settled()
        await asyncio.sleep(0)

    async def sql(self, message: Do) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("INSERT INTO item VALUES (:number)"), {"number": message.number})
            async with connection.begin_nested():
                await connection.execute(text("SELECT count(*) FROM item"))
        await asyncio.sleep(0)

    async def sql_within(self, message: Do) -> None:
        """A statement is cancelled, and the handler goes on inside the block."""
        async with self.transaction() as connection:
            statement = connection.execute(text("INSERT INTO item VALUES (:number)"), {"number": message.number})
            if message.number in Worker.struck:
                await statement
                return
            with anyio.CancelScope() as scope:
                await counted(statement, message.at, lambda _: (Worker.struck.add(message.number), scope.cancel()))

    async def task(self, message: Do) -> None:
        assert await self.system.tasks("/t/tasks").run(doubled, message.number) == 2 * message.number


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def the_tree() -> SupervisorSpec:
    return tree(
        ("starter", Starter),
        ("clerk", Clerk),
        ("other", Clerk),
        ("worker", Worker),
        ChildSpec(id="narrow", actor=Clerk, capacity=1),
        ("tasks", TaskSupervisor),
        pool(Clerk),
        SupervisorSpec(id="group", strategy="rest_for_one", intensity=1000),
        intensity=1000,
    )


ADDRESSES = ("/t/clerk", "/t/other", "/t/narrow", "/t/worker", "/t/pool/x", "/t/starter")


class Bench:
    """A running node and its ground."""

    def __init__(self, ground: Ground, system: ActorSystem) -> None:
        self.ground = ground
        self.system = system

    async def well(self) -> None:
        """It commits the next tell at once, comes to rest, and leaves the database to others."""
        async with patience():
            await self.system.ref("/t/other").tell(Put(number=0))
            await self.system.idle()
        assert self.system.kernel.gave_up is None
        unlocked(self.ground)

    async def numbers(self, address: str) -> Counter[int]:
        return Counter(await self.system.ref(address).ask(Numbers()))

    # -- what callers may do: it involves `number`, at an address ------------------------------------------

    async def tell(self, number: int) -> None:
        await self.system.ref("/t/clerk").tell(Put(number=number))

    async def keyed(self, number: int) -> None:
        await self.system.ref("/t/clerk").tell(Put(number=number), key=f"k{number}")

    async def delayed(self, number: int) -> None:
        await self.system.ref("/t/clerk").tell(Put(number=number), delay_s=0.002)
        await asyncio.sleep(0.01)

    async def activating(self, number: int) -> None:
        await self.system.ref("/t/pool/x").tell(Put(number=number))

    async def in_line(self, number: int, **options: Any) -> None:
        await self.narrow()
        await self.system.ref("/t/narrow").tell(Put(number=number), **options)

    async def in_line_keyed(self, number: int) -> None:
        await self.in_line(number, key=f"k{number}")

    async def ask(self, number: int) -> None:
        await self.system.ref("/t/clerk").ask(Slow(number=number))

    async def ask_in_line(self, number: int) -> None:
        await self.narrow()
        await self.system.ref("/t/narrow").ask(Slow(number=number))

    async def idle(self, number: int) -> None:
        self.system.ref("/t/clerk").tell(Put(number=number))
        await self.system.idle()

    async def run_task(self, number: int) -> None:
        await self.system.tasks("/t/tasks").run(doubled, number)

    async def children(self, number: int) -> None:
        group = self.system.ref("/t/group")
        name = f"c{number}"
        for id in (name, f"d{number}"):
            await group.ask(StartChild(spec=ChildSpec(id=id, actor=Clerk)))
        await group.ask(TerminateChild(id=name))
        await group.ask(RestartChild(id=name))
        await group.ask(TerminateChild(id=name))
        await group.ask(DeleteChild(id=name))

    async def narrow(self) -> None:
        """Fill the narrow mailbox until the gate opens, in a moment."""
        Clerk.gate.clear()
        narrow = self.system.ref("/t/narrow")
        narrow.tell(Hold())
        while self.system.kernel.cells[narrow.address].mailbox.count:
            await asyncio.sleep(0)
        narrow.tell(Put(number=0))
        asyncio.get_running_loop().call_later(0.003, Clerk.gate.set)


OPERATIONS: dict[str, tuple[str, Callable[[Bench, int], Coroutine[Any, Any, None]]]] = {
    "tell": ("/t/clerk", Bench.tell),
    "keyed": ("/t/clerk", Bench.keyed),
    "delayed": ("/t/clerk", Bench.delayed),
    "activating": ("/t/pool/x", Bench.activating),
    "in line": ("/t/narrow", Bench.in_line),
    "in line, keyed": ("/t/narrow", Bench.in_line_keyed),
    "ask": ("/t/clerk", Bench.ask),
    "ask in line": ("/t/narrow", Bench.ask_in_line),
    "idle": ("/t/clerk", Bench.idle),
    "task": ("", Bench.run_task),
    "children": ("", Bench.children),
}


def unlocked(ground: Ground) -> None:
    """Nobody holds the write lock. (A connection that closes beside this one locks the file, for a moment.)"""
    if isinstance(ground, SqliteGround):
        with closing(sqlite3.connect(ground.path, timeout=10, isolation_level=None)) as connection:
            connection.execute("PRAGMA wal_autocheckpoint=0")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")


def stored(ground: Ground, address: str) -> Counter[int]:
    """The numbers in an actor's row."""
    from greenroom.persistence.store.rows import ActorRow

    (states,) = [[row.state for row in ground.rows(ActorRow) if row.address == address]]
    return Counter(number for state in states for number in msgspec.json.decode(state, type=list[int]))
