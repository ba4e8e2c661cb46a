"""What the victim does and says, and what the books must say for it afterwards.

Every message has a teller and a number. What is to become of it goes by its number: see `Clerk.order`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from sqlalchemy import text

from understudy import (
    Actor,
    ActorSystem,
    AskFailed,
    Backoff,
    ChildSpec,
    Client,
    Message,
    Reject,
    Request,
    StartChild,
    StoreError,
    SupervisorSpec,
    handler,
)
from understudy.persistence.backup import back_up
from understudy.persistence.runtime import Runtime

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
PURSE = 1000
"""What each vault begins with."""
VAULTS = ("x", "y", "z")
KEYED, CLIENT, MOVER = 4, 5, 3
"""Tellers whose messages go a way of their own."""
NUMBERS_PER_LIFE = 10_000

Number = tuple[int, int]
"""A teller and its number."""


class Order(Message):
    teller: int
    number: int

    @property
    def rejected(self) -> bool:
        return self.number % 17 == 16

    @property
    def fails_once(self) -> bool:
        return self.number % 7 == 6

    @property
    def ticks(self) -> bool:
        return self.number % 5 == 4

    @property
    def writes_sql(self) -> bool:
        return self.number % 4 == 3


class Entry(Message):
    teller: int
    number: int


class Tick(Message):
    teller: int
    number: int


class Take(Request[int]):
    teller: int
    number: int


class Move(Message):
    teller: int
    number: int
    to: str
    amount: int


class Credit(Message):
    teller: int
    number: int
    amount: int


class Book(msgspec.Struct):
    entries: list[tuple[int, int]] = []
    ticks: list[tuple[int, int]] = []
    purse: int = PURSE
    has_table: bool = False


class Read(Request[Book]):
    pass


class Clerk(Actor[Book]):
    backoff = FAST
    tick_after_s = 0.02

    @handler
    async def order(self, message: Order) -> None:
        if message.rejected:
            raise Reject("as announced")
        self.state.entries.append((message.teller, message.number))
        self.system.ref("/p/ledger").tell(Entry(teller=message.teller, number=message.number))
        if message.ticks:
            tick = Tick(teller=message.teller, number=message.number)
            self.schedule(tick, after_s=self.tick_after_s, name=f"{message.teller} {message.number}")
        if message.writes_sql:
            async with self.transaction() as connection:
                values = {"teller": message.teller, "number": message.number}
                await connection.execute(text("INSERT INTO item VALUES (:teller, :number)"), values)
        if message.fails_once and self.turn.attempt == 1:
            raise RuntimeError("as announced")

    @handler
    def take(self, request: Take) -> int:
        self.state.entries.append((request.teller, request.number))
        self.system.ref("/p/ledger").tell(Entry(teller=request.teller, number=request.number))
        return request.number

    @handler
    def tick(self, message: Tick) -> None:
        self.state.ticks.append((message.teller, message.number))

    @handler
    def read(self, request: Read) -> Book:
        return self.state


class Ledger(Actor[Book]):
    async def on_start(self) -> None:
        if not self.state.has_table:
            async with self.transaction() as connection:
                await connection.execute(text("CREATE TABLE item (teller INTEGER, number INTEGER)"))
            self.state.has_table = True

    @handler
    def entry(self, message: Entry) -> None:
        self.state.entries.append((message.teller, message.number))

    @handler
    def read(self, request: Read) -> Book:
        return self.state


class Vault(Actor[Book]):
    """Debits are its entries, credits its ticks."""

    @handler
    def move(self, message: Move) -> None:
        self.state.purse -= message.amount
        self.state.entries.append((message.teller, message.number))
        credit = Credit(teller=message.teller, number=message.number, amount=message.amount)
        self.system.ref(f"/p/{message.to}").tell(credit)

    @handler
    def credit(self, message: Credit) -> None:
        self.state.purse += message.amount
        self.state.ticks.append((message.teller, message.number))

    @handler
    def read(self, request: Read) -> Book:
        return self.state


TREE = SupervisorSpec(
    id="p",
    intensity=1000,
    children=[
        ChildSpec(id="ledger", actor=Ledger),
        ChildSpec(id="clerk", actor=Clerk),
        *(ChildSpec(id=name, actor=Vault) for name in VAULTS),
        SupervisorSpec(id="pool", strategy="dynamic", template=ChildSpec(id="c", actor=Clerk, idle_timeout_s=0.01)),
    ],
)

DESK = {0: "/p/clerk", 1: "/p/pool/1", 2: "/p/pool/2", KEYED: "/p/clerk", CLIENT: "/p/pool/1"}
"""Where each teller's messages go."""


class Notes:
    """What is said, into the log of the shim, one line a call."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(self, *words: object) -> None:
        os.write(self._descriptor, json.dumps(words).encode())


async def play(system: ActorSystem, url: str, life: int, count: int, say: Callable[..., None]) -> None:
    """One life: tellers side by side, each with `count` messages, and what else a node is asked for."""
    numbers = range(life * NUMBERS_PER_LIFE, life * NUMBERS_PER_LIFE + count)

    async def answered(waiting: Awaitable[object], *said: Number) -> None:
        """A disk that fails refuses some: without a trace, or nobody knows."""
        try:
            await waiting
        except (StoreError, AskFailed) as error:
            for number in said:
                say("refused", *number, getattr(error, "outcome", "unknown"))
            return
        for number in said:
            say("acked", *number)

    async def one_by_one(teller: int) -> None:
        for number in numbers:
            say("sent", teller, number)
            key = f"{number}" if teller == KEYED else None
            tell = system.ref(DESK[teller]).tell(Order(teller=teller, number=number), key=key)
            await answered(tell, (teller, number))

    async def in_bursts(teller: int) -> None:
        """Only the last receipt is awaited: there is one commit order."""
        for first in range(numbers.start, numbers.stop, 4):
            burst = range(first, min(first + 4, numbers.stop))
            for number in burst:
                say("sent", teller, number)
                receipt = system.ref(DESK[teller]).tell(Order(teller=teller, number=number))
            await answered(receipt, *((teller, number) for number in burst))

    async def asks(teller: int) -> None:
        for number in numbers:
            say("sent", teller, number)
            await answered(system.ref(DESK[teller]).ask(Take(teller=teller, number=number)), (teller, number))

    async def moves(teller: int) -> None:
        for number in numbers:
            say("sent", teller, number)
            to = VAULTS[(number + 1 + number % 2) % 3]
            move = Move(teller=teller, number=number, to=to, amount=1 + number % 5)
            await answered(system.ref(f"/p/{VAULTS[number % 3]}").tell(move), (teller, number))

    async def from_outside(teller: int) -> None:
        async with Client(url) as client:
            for number in numbers[: max(1, count // 3)]:
                say("sent", teller, number)
                await answered(client.tell(DESK[teller], Order(teller=teller, number=number)), (teller, number))

    async def adds_a_child() -> None:
        say("child sent", f"extra{life}")
        with suppress(StoreError, AskFailed):
            await system.ref("/p").ask(StartChild(spec=ChildSpec(id=f"extra{life}", actor=Clerk)))
            say("child acked", f"extra{life}")

    say("boot", system.boot)
    await asyncio.gather(
        one_by_one(0), in_bursts(1), asks(2), moves(MOVER), one_by_one(KEYED), from_outside(CLIENT), adds_a_child()
    )


async def keep_copy(path: Path, life: int, say: Callable[..., None]) -> None:
    """A backup beside the running node; what was acknowledged before is in it."""
    name = f"copy{life}.db"
    say("copy begun", name)
    await asyncio.to_thread(back_up, str(path), str(path.with_name(name)), Runtime())
    say("copy acked", name)
