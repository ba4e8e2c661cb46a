"""The actors, and what they are told.

Every message has a teller and a number. Its number decides what becomes of it: see `Order`.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import text

from greenroom import Actor, Backoff, ChildSpec, Message, Reject, Request, SupervisorSpec, handler

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
PURSE = 1000
"""The amount that each vault begins with."""
VAULTS = ("x", "y", "z")
KEYED, CLIENT, MOVER = 4, 5, 3
"""Tellers whose messages go a way of their own."""
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
