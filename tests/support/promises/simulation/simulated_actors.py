"""Actors for the simulation: each does one kind of thing, and keeps the ids of what it has done."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from random_programs import Batcher, Do, Doer

from greenroom import Actor, Backoff, Down, ExitReason, Message, Request, handler
from greenroom.persistence.store.rows import ActorRow
from greenroom.testing import Run

FAST = Backoff(initial_s=0.01, factor=2.0, jitter=0.0)


class World:
    """The outside, as actors see it: what they do to it isn't undone by a crash."""

    run: Run
    keys: dict[int, str]
    """The key of the turn that handled a message, by its id."""
    unsteady: set[int]
    """Messages whose key isn't the same again: a batch, from which they come, may be another."""
    ticks: dict[int, str]
    """The key of the one tick of a plan that is on disk."""
    attempts: dict[str, int]
    """Failed attempts that are known to be on disk, by key."""


class Seen(msgspec.Struct):
    told: list[int] = []
    asked: list[int] = []


class NotedDoer(Doer):
    async def carry_out(self, do: Do) -> None:
        note(self, do)
        if self.turn.attempt > 1:
            await self.turn.settled()
            key, attempt = self.turn.key, self.turn.attempt
            assert World.attempts.get(key, 0) <= attempt, f"{do.id} has forgotten attempts"
            World.attempts[key] = attempt
        await super().carry_out(do)


class NotedBatcher(Batcher): ...


def note(actor: Actor[Any], do: Do) -> None:
    """A turn that is run again has the same key, and so have those that it tells."""
    envelope = actor.turn.envelope
    if envelope is not None and envelope.id and envelope.sender and do.id not in World.unsteady:
        known = World.keys.setdefault(do.id, envelope.uid)
        assert known == envelope.uid, f"{do.id} was handled under another key"


# -- a bank ------------------------------------------------------------------------------------------------


class Transfer(Message):
    id: int
    to: str
    amount: int
    how: str = ""


class Credit(Message):
    id: int
    amount: int


class Statement(Request[list[int]]):
    """Ids of the transfers that have left."""


class Book(msgspec.Struct):
    balance: int = 100
    left: list[int] = []
    come: list[int] = []


class Account(Actor[Book]):
    backoff = FAST
    max_attempts = 20

    @handler
    async def transfer(self, message: Transfer) -> None:
        self.state.balance -= message.amount
        self.state.left.append(message.id)
        key = f"credit {message.id}" if message.how == "key" else None
        self.system.ref(message.to).tell(Credit(id=message.id, amount=message.amount), key=key)
        match message.how:
            case "wait":
                await asyncio.sleep(0.01)
            case "settle":
                await self.turn.settled()
            case "fail" if self.turn.attempt == 1:
                raise RuntimeError("not this time")
            case "stop":
                self.stop(ExitReason.shutdown("enough"))

    @handler
    def credit(self, message: Credit) -> None:
        self.state.balance += message.amount
        self.state.come.append(message.id)

    @handler
    def statement(self, request: Statement) -> list[int]:
        return self.state.left


# -- order, poison, children -----------------------------------------------------------------------------------


class Item(Message):
    sender: str
    number: int
    how: str = ""


class Go(Message):
    """Tell the receiver some more."""

    to: str
    count: int
    poison: bool = False


class Received(msgspec.Struct):
    items: dict[str, list[int]] = {}
    again: dict[str, list[int]] = {}
    """By further attempts: others may have passed them."""
    given: int = 0


class Receiver(Actor[Received]):
    backoff = FAST
    max_attempts = 3

    @handler
    async def item(self, message: Item) -> None:
        match message.how:
            case "wait":
                await asyncio.sleep(0.005)
            case "boom":
                raise RuntimeError("boom")
            case "kill":
                World.run.crash()
        seen = self.state.items if self.turn.attempt == 1 else self.state.again
        seen.setdefault(message.sender, []).append(message.number)

    @handler
    def go(self, message: Go) -> None:
        to = self.system.ref(message.to)
        for _ in range(message.count):
            self.state.given += 1
            to.tell(Item(sender=self.address, number=self.state.given))
        if message.poison:
            to.tell(Item(sender=self.address, number=0, how="kill"))


# -- what ends against its will --------------------------------------------------------------------------------


class Slow(Message):
    id: int
    swallows: bool


class Zombie(Actor[Seen]):
    """Its first attempts take too long, and don't want to end."""

    backoff = FAST
    max_attempts = 20
    handler_timeout_s = 0.1

    @handler
    async def slow(self, message: Slow) -> None:
        if self.turn.attempt == 1:
            try:
                await asyncio.sleep(5.0)
            except asyncio.CancelledError:
                if not message.swallows:
                    raise
                await asyncio.sleep(3.0)
        self.state.told.append(message.id)


# -- monitors --------------------------------------------------------------------------------------------------


class Watch(Message):
    target: str


class End(Message):
    how: str


class Mourned(msgspec.Struct):
    set: list[str] = []
    heard: list[str] = []


class Watcher(Actor[Mourned]):
    backoff = FAST
    max_attempts = 20

    @handler
    def watch(self, message: Watch) -> None:
        self.state.set.append(self.monitor(self.system.ref(message.target)))

    @handler
    def down(self, message: Down) -> None:
        self.state.heard.append(message.monitor)


class Target(Actor[Mourned]):
    backoff = FAST
    max_attempts = 2

    @handler
    async def end(self, message: End) -> None:
        match message.how:
            case "error":
                raise RuntimeError("boom")
            case "slow":
                await asyncio.sleep(0.002)
                self.stop(ExitReason.shutdown("slowly"))
            case "retire" if "/pool/" in self.address:
                self.retire()
            case _:
                self.stop()

    async def on_stop(self, reason: ExitReason) -> None:
        await asyncio.sleep(0.001)


# -- timers, stash, SQL ----------------------------------------------------------------------------------------


class Plan(Message):
    id: int
    after_s: float | None = None
    every_s: float | None = None
    ticks: int = 1
    how: str = ""


class Tick(Message):
    id: int
    once: bool
    ticks: int
    how: str


class Ticked(msgspec.Struct):
    planned: list[int] = []
    ticks: dict[str, list[str]] = {}
    """Keys of the ticks, by the id of their plan."""


class Ticker(Actor[Ticked]):
    backoff = FAST
    max_attempts = 3

    @handler
    def plan(self, message: Plan) -> None:
        self.state.planned.append(message.id)
        tick = Tick(id=message.id, once=message.every_s is None, ticks=message.ticks, how=message.how)
        self.schedule(tick, after_s=message.after_s, every_s=message.every_s, name=str(message.id))

    @handler
    def tick(self, message: Tick) -> None:
        row = World.run.data.tables[ActorRow].get(self.address)
        if message.once and row is not None and message.id in msgspec.json.decode(row.state)["planned"]:
            known = World.ticks.setdefault(message.id, self.turn.key)
            assert known == self.turn.key, f"the tick of {message.id} came under another key"
        if message.how == "kill":
            World.run.crash()
        ticks = self.state.ticks.setdefault(str(message.id), [])
        ticks.append(self.turn.key)
        if len(ticks) >= message.ticks:
            self.cancel(str(message.id))


class Knock(Message):
    id: int
    echo: bool = False


class Echo(Message):
    id: int


class Latch(Message):
    """Open or shut the door."""

    open: bool


class Doorway(msgspec.Struct):
    open: bool = False
    guests: list[int] = []
    echoes: list[int] = []


class Door(Actor[Doorway]):
    backoff = FAST
    max_attempts = 20

    @handler
    def knock(self, message: Knock) -> None:
        if message.echo:
            self.ref.tell(Echo(id=message.id))
        if self.state.open:
            self.state.guests.append(message.id)
        else:
            self.stash()

    @handler
    def echo(self, message: Echo) -> None:
        self.state.echoes.append(message.id)

    @handler
    def latch(self, message: Latch) -> None:
        self.state.open = message.open
        if message.open:
            self.unstash_all()


class Insert(Message):
    id: int
    how: str = ""


class Clerk(Actor[Seen]):
    """Keeps the same in its state and in a table."""

    backoff = FAST
    max_attempts = 20

    @handler
    async def insert(self, message: Insert) -> None:
        from sqlalchemy import text

        self.state.told.append(message.id)
        async with self.transaction() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS entry (id INTEGER)"))
            await connection.execute(text("INSERT INTO entry VALUES (:id)"), {"id": message.id})
            if message.how == "fail" and self.turn.attempt == 1:
                raise RuntimeError("not this time")
