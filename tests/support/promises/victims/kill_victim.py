"""A node in a process of its own, for the tests that kill it: `python kill_victim.py MODE DATABASE [ARGUMENTS]`.

It prints what it does, a line each, flushed: the test reads that, and restarts it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from typing import Any

import msgspec
from loguru import logger
from sqlalchemy import text

from greenroom import Actor, Backoff, ChildSpec, Message, Request, SupervisorSpec, handler, start
from greenroom.actors.recovery.reset import Reset

logger.remove()
logger.add(sys.stderr, level="WARNING")

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


def say(*words: object) -> None:
    print(*words, flush=True)


class Order(Message):
    teller: int
    number: int


class Entry(Message):
    teller: int
    number: int


class Bomb(Message):
    how: str = "kill"


class Innocent(Message):
    number: int


class Fuse(Message):
    how: str = "kill"


class Entries(Request[list[tuple[int, int]]]):
    pass


class Book(msgspec.Struct):
    entries: list[tuple[int, int]] = []


class Clerk(Actor[Book]):
    """Enters an order in its book, has it entered in the ledger, and writes it by SQL now and then."""

    @handler
    async def order(self, message: Order) -> None:
        self.state.entries.append((message.teller, message.number))
        if message.number % 5 == 0:
            await asyncio.sleep(0)
        self.system.ref("/v/ledger").tell(Entry(teller=message.teller, number=message.number))
        if message.number % 11 == 0:
            async with self.transaction() as connection:
                await connection.execute(
                    text("INSERT INTO item VALUES (:teller, :number)"),
                    {"teller": message.teller, "number": message.number},
                )

    @handler
    def entries(self, request: Entries) -> list[tuple[int, int]]:
        return self.state.entries


class Ledger(Actor[Book]):
    async def on_start(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS item (teller INTEGER, number INTEGER)"))

    @handler
    def entry(self, message: Entry) -> None:
        self.state.entries.append((message.teller, message.number))

    @handler
    def entries(self, request: Entries) -> list[tuple[int, int]]:
        return self.state.entries


class Bomber(Actor[Book]):
    max_attempts = 3
    backoff = FAST

    @handler
    async def bomb(self, message: Bomb) -> None:
        say("bomb", self.turn.attempt)
        match message.how:
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                time.sleep(60)
            case "once" if not os.path.exists(f"{sys.argv[2]}.bombed"):
                open(f"{sys.argv[2]}.bombed", "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            case "wait":
                await asyncio.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(3)

    @handler
    def fuse(self, message: Fuse) -> None:
        """Tells the bomb in a turn: it goes off before anything of this is on disk."""
        say("fuse")
        self.state.entries.append((0, 0))
        self.system.ref("/v/bomber2").tell(Bomb(how=message.how))


class Bystander(Actor[Book]):
    """In flight when the bomb goes off."""

    max_attempts = 2

    @handler
    async def innocent(self, message: Innocent) -> None:
        say("innocent", message.number, self.turn.attempt)
        await asyncio.sleep(0.05)
        self.state.entries.append((0, message.number))

    @handler
    def entries(self, request: Entries) -> list[tuple[int, int]]:
        return self.state.entries


TREE = SupervisorSpec(
    id="v",
    intensity=100,
    children=[
        ChildSpec(id="ledger", actor=Ledger),
        ChildSpec(id="clerk", actor=Clerk),
        ChildSpec(id="bomber", actor=Bomber),
        ChildSpec(id="bomber2", actor=Bomber),
        *(ChildSpec(id=f"by{number}", actor=Bystander) for number in range(4)),
        SupervisorSpec(id="pool", strategy="dynamic", template=ChildSpec(id="c", actor=Clerk)),
    ],
)


async def tell(url: str, first: str, tellers: str) -> None:
    """Endless orders from several tellers, acknowledged one by one."""
    async with start(TREE, store=url) as system:

        async def teller(me: int) -> None:
            number = int(first)
            refs = [system.ref("/v/clerk"), system.ref(f"/v/pool/{me}")]
            while True:
                say("sent", me, number)
                await refs[number % 2].tell(Order(teller=me, number=number))
                say("acked", me, number)
                number += 1

        await asyncio.gather(*(teller(me) for me in range(int(tellers))))


async def books(url: str) -> None:
    """Finish everything, and print the books."""
    async with start(TREE, store=url) as system:
        await system.idle()
        clerks = list(await system.ref("/v/clerk").ask(Entries()))
        for me in range(8):
            clerks += await system.ref(f"/v/pool/{me}").ask(Entries())
        ledger = await system.ref("/v/ledger").ask(Entries())
        say("books", json.dumps({"clerks": clerks, "ledger": ledger}))


async def bomb(url: str, how: str, way: str) -> None:
    """Light the fuse once; innocents around it. Later lives only carry on."""
    lit = f"{sys.argv[2]}.lit"
    async with start(TREE, store=url, hang_s=1.0 if how == "hang" else 30.0) as system:
        say("suspects", system.kernel.part(Reset).suspects_left)
        if not os.path.exists(lit):
            open(lit, "w").close()
            for number in range(8):  # all on disk before it goes off, and some in flight when it does
                await system.ref(f"/v/by{number % 4}").tell(Innocent(number=number), delay_s=0.1)
            fuse = Fuse(how=how) if way == "turn" else Bomb(how=how)
            await system.ref("/v/bomber").tell(fuse, delay_s=0.1)
            await asyncio.sleep(0.5)  # delays don't count for idle()
        await system.idle()
        seen: list[Any] = []
        for number in range(4):
            seen += [entry[1] for entry in await system.ref(f"/v/by{number}").ask(Entries())]
        say("survived", json.dumps(sorted(seen)))


class Stubborn(Actor[None]):
    @handler
    async def bomb(self, message: Bomb) -> None:
        say("running")
        if message.how == "thread":
            await asyncio.to_thread(time.sleep, 0.2)
        for _ in range(2 if message.how == "swallow" else 0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                say("swallowed")
        await asyncio.Event().wait()


async def leave(url: str, how: str) -> None:
    """End the program in the middle of things."""
    tree = SupervisorSpec(id="v", children=[ChildSpec(id="s", actor=Stubborn, shutdown=0.1)])
    if how == "no exit":  # the context manager is never left
        manager = start(tree, store=url)
        system = await manager.__aenter__()
        await system.ref("/v/s").tell(Bomb(how=how))
        await asyncio.sleep(0.05)
        return
    async with start(tree, store=url) as system:
        await system.ref("/v/s").tell(Bomb(how=how))
        await asyncio.sleep(0.05)
        if how == "exception":
            raise SystemExit(4)
        if how == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(30)


def main() -> None:
    mode, path, *arguments = sys.argv[1:]
    modes: dict[str, Any] = {"tell": tell, "books": books, "bomb": bomb, "leave": leave}
    asyncio.run(modes[mode](f"sqlite:///{path}", *arguments))
    say("end")


main()
