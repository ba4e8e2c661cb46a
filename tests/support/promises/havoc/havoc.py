"""A node that does everything at once, for the tests that kill it: its actors, and who speaks to them.

Each thing that is told has a source (a teller of one life, or a batch of the client) and a number of that source. The
outcome stands in the books in the end, and havoc_judge.py compares them with what was said to be sent and what
was acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from typing import Any

import msgspec
from sqlalchemy import text

from greenroom import (
    Actor,
    ActorSystem,
    Backoff,
    ChildSpec,
    GreenroomError,
    Message,
    Reject,
    Request,
    SupervisorSpec,
    SystemStopped,
    handler,
)

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
ATTEMPTS = 50
"""Kills may fall into the solo run of one and the same message: that many of them don't."""
ACCOUNTS = 8
OPENING = 1000
TELLERS = 5
TICK_S, CHAIN_S = 0.01, 0.003
PAGE = 50
"""Ticks and links on one page of the clock's book: a state that grows makes every turn slower."""
GROUPS = ("/h/all/a", "/h/all/b", "/h/rest/a", "/h/rest/b", "/h/rest/c")


def say(*words: object) -> None:
    """In one write, so that a kill can't cut a line in two."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


class Order(Message):
    source: str
    number: int


class Keyed(Message):
    """Told twice, under one key."""

    source: str
    number: int


class Later(Message):
    source: str
    number: int
    due: float
    """Epoch seconds before which it must not come."""


class Poke(Message):
    source: str
    number: int


class Poison(Message):
    source: str
    number: int


class Transfer(Message):
    source: str
    number: int
    to: str
    amount: int


class Credit(Message):
    source: str
    number: int
    amount: int


class Note(Message):
    """To a book, from whoever else has handled something of its source."""

    kind: str
    number: int
    attempt: int
    detail: str


class Take(Request[int]):
    source: str
    number: int


class Next(Request[int]):
    pass


class Links(Request[int]):
    """How many there have been."""


class Begin(Message):
    """The clock starts; so it does again when it has been stopped."""


class End(Message):
    pass


class Tick(Message):
    pass


class Link(Message):
    number: int


class Entry(msgspec.Struct, array_like=True):
    kind: str
    number: int
    attempt: int
    detail: str = ""


class Pages(msgspec.Struct):
    entries: list[Entry] = []


class Book(Actor[Pages]):
    """Everything that has become of one source, in the order in which it came here."""

    name = "book"
    max_attempts = ATTEMPTS
    backoff = FAST

    def enter(self, kind: str, number: int, detail: str = "") -> None:
        self.state.entries.append(Entry(kind, number, self.turn.attempt, detail))

    @handler
    async def order(self, message: Order) -> None:
        number = message.number
        self.enter("order", number)
        if number % 13 == 5 and self.turn.attempt == 1:
            raise RuntimeError("an exit, after the state has been changed")
        if number % 29 == 7:
            raise Reject("not this one")
        if number % 5 == 0:
            await asyncio.sleep(0)
        if number % 7 == 0:
            await self.system.ref("/h/counter").ask(Next())
        if number % 11 == 0:
            async with self.transaction() as connection:
                values = {"source": message.source, "number": number}
                await connection.execute(text("INSERT INTO item VALUES (:source, :number)"), values)

    @handler
    def keyed(self, message: Keyed) -> None:
        self.enter("keyed", message.number)

    @handler
    def later(self, message: Later) -> None:
        self.enter("later", message.number, f"{time.time() - message.due:.4f}")

    @handler
    def note(self, message: Note) -> None:
        self.enter(message.kind, message.number, f"{message.attempt} {message.detail}")

    @handler
    def take(self, request: Take) -> int:
        self.enter("take", request.number)
        return request.number


class Purse(msgspec.Struct):
    balance: int = OPENING
    place: int = 0
    """Of the latest note: each book must get an account's notes in this order."""


class Teller:
    """Tells the books of others what has become of their messages."""

    def tell_book(self: Any, message: Any, kind: str, detail: str) -> None:
        note = Note(kind=kind, number=message.number, attempt=self.turn.attempt, detail=detail)
        self.system.ref(f"/h/books/{message.source}").tell(note)


class Account(Actor[Purse], Teller):
    name = "account"
    max_attempts = ATTEMPTS
    backoff = FAST

    def move(self, message: Any, kind: str, change: int) -> None:
        self.state.balance += change
        self.state.place += 1
        self.tell_book(message, kind, f"{self.address} {self.state.place} {change}")

    @handler
    async def transfer(self, message: Transfer) -> None:
        self.system.ref(message.to).tell(Credit(source=message.source, number=message.number, amount=message.amount))
        self.move(message, "debit", -message.amount)
        if message.number % 17 == 3 and self.turn.attempt == 1:
            raise RuntimeError("an exit in the middle of a transfer")
        if message.number % 4 == 0:
            await asyncio.sleep(0)

    @handler
    def credit(self, message: Credit) -> None:
        self.move(message, "credit", message.amount)


class Count(msgspec.Struct):
    count: int = 0


class Member(Actor[Count], Teller):
    """Of a group that is restarted together."""

    name = "member"
    max_attempts = ATTEMPTS
    backoff = FAST

    @handler
    async def poke(self, message: Poke) -> None:
        self.state.count += 1
        self.tell_book(message, "poke", f"{self.address} {self.state.count}")
        if message.number % 3 == 0:
            await asyncio.sleep(0)
        if message.number % 6 == 0 and self.turn.attempt == 1:
            raise RuntimeError("the whole group falls")


class Counter(Actor[Count]):
    name = "counter"

    @handler
    def count(self, request: Next) -> int:
        self.state.count += 1
        return self.state.count


class Sink(Actor[Count]):
    """Nobody survives what it is told."""

    name = "sink"
    max_attempts = 2
    backoff = FAST

    @handler
    def poison(self, message: Poison) -> None:
        self.state.count += 1
        raise RuntimeError("always")


class Hands(msgspec.Struct):
    begun: bool = False
    ended: bool = False
    ticks: int = 0
    links: int = 0


class Clock(Actor[Hands]):
    """A fixed rate; and a chain of single timers, each of which schedules the next."""

    name = "clock"
    max_attempts = ATTEMPTS
    backoff = FAST

    @handler
    def begin(self, message: Begin) -> None:
        if not self.state.begun or self.state.ended:
            self.state.begun, self.state.ended = True, False
            self.schedule(Tick(), every_s=TICK_S)
            self.schedule(Link(number=self.state.links), after_s=CHAIN_S)

    @handler
    def tick(self, message: Tick) -> None:
        self.state.ticks += 1
        self.note("tick", self.state.ticks, self.turn.key)

    @handler
    def next_link(self, message: Link) -> None:
        self.state.links += 1
        self.note("link", message.number, "")
        if not self.state.ended:
            self.schedule(Link(number=message.number + 1), after_s=CHAIN_S)
        if message.number % 9 == 4 and self.turn.attempt == 1:
            raise RuntimeError("what it has scheduled isn't")

    def note(self, kind: str, number: int, detail: str) -> None:
        book = self.system.ref(f"/h/books/clock-{kind}-{number // PAGE}")
        book.tell(Note(kind=kind, number=number, attempt=self.turn.attempt, detail=detail))

    @handler
    def links(self, request: Links) -> int:
        return self.state.links

    @handler
    def end(self, message: End) -> None:
        self.state.ended = True
        self.cancel("Tick")
        self.cancel("Link")


class Registrar(Actor[None]):
    """Makes the table that the books write to by SQL."""

    async def on_start(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS item (source TEXT, number INTEGER)"))


def _supervisor(id: str, *children: Any, **options: Any) -> SupervisorSpec:
    return SupervisorSpec(id=id, children=list(children), intensity=1_000_000, **options)


def _members(*ids: str) -> list[ChildSpec]:
    return [ChildSpec(id=one, actor=Member) for one in ids]


TREE = _supervisor(
    "h",
    ChildSpec(id="registrar", actor=Registrar),
    ChildSpec(id="counter", actor=Counter),
    ChildSpec(id="clock", actor=Clock),
    ChildSpec(id="sink", actor=Sink),
    _supervisor("all", *_members("a", "b"), strategy="one_for_all"),
    _supervisor("rest", *_members("a", "b", "c"), strategy="rest_for_one"),
    _supervisor("accounts", strategy="dynamic", template=ChildSpec(id="account", actor=Account)),
    _supervisor(
        "books", strategy="dynamic", template=ChildSpec(id="book", actor=Book, idle_timeout_s=0.05), max_children=40
    ),
)


# -- who tells -----------------------------------------------------------------------------------------------


def account(number: int) -> str:
    return f"/h/accounts/{number}"


def draw_message(draw: random.Random, source: str, number: int) -> tuple[str, Message, dict[str, Any]]:
    """Something to tell: the address, the message, and the options of the tell."""
    book = f"/h/books/{source}"
    choice = draw.random()
    if choice < 0.35:
        return book, Order(source=source, number=number), {}
    if choice < 0.65:
        payer, payee = draw.sample(range(ACCOUNTS), 2)
        amount = draw.randint(1, 100)
        return account(payer), Transfer(source=source, number=number, to=account(payee), amount=amount), {}
    if choice < 0.73:
        return book, Keyed(source=source, number=number), {"key": f"{source} {number}"}
    if choice < 0.83:
        delay_s = 0.005 + 4 * draw.random() ** 6  # most are short; some outlast the boot of a busy machine
        return book, Later(source=source, number=number, due=time.time() + delay_s), {"delay_s": delay_s}
    if choice < 0.97:
        return draw.choice(GROUPS), Poke(source=source, number=number), {}
    return "/h/sink", Poison(source=source, number=number), {}


async def tell_for_ever(system: ActorSystem, source: str, seed: str) -> None:
    """One thing after another; each is acknowledged, outside this process, once its receipt is there."""
    draw = random.Random(f"{seed} {source}")
    for number in itertools.count(1):
        try:
            if draw.random() < 0.1:
                say("sent", source, number, "Take")
                await system.ref(f"/h/books/{source}").ask(Take(source=source, number=number))
            else:
                address, message, options = draw_message(draw, source, number)
                say("sent", source, number, type(message).__name__)
                await system.ref(address).tell(message, **options)
                if isinstance(message, Keyed):
                    await system.ref(address).tell(message, **options)
        except SystemStopped:
            return
        except GreenroomError as error:
            say("failed", source, number, type(error).__name__)
            continue
        say("acked", source, number)
