"""The parts of the simulation: kinds of work that go on in a node, each with a workload and what must come of it.

A workload is called again after a crash. It remembers what was acknowledged, and what it told without hearing of it.
"""

from __future__ import annotations

import abc
import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
from grounds import as_spec, pool
from random_programs import ADDRESSES, ALWAYS, BATCH, Answer, Do, Expected, tell
from simulated_actors import (
    Account,
    Go,
    Item,
    NotedBatcher,
    NotedDoer,
    Receiver,
    Statement,
    Transfer,
    World,
)

from greenroom import Message, StoreDataError, StoreError, SystemStopped
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow
from greenroom.testing import Run

PATIENT = {"intensity": 10**6}
ATTEMPTS = 20
"""More than crashes and refusals can cost."""


class Part(abc.ABC):
    """One kind of thing that goes on in a node."""

    share = 0.4
    """Of the seeds."""
    refuses = False
    """Whether the database refuses something."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.sure: set[int] = set()
        """Ids of what was acknowledged."""
        self.tried: set[int] = set()
        """Of what may have been told."""
        self.refused: set[int] = set()
        """Of what certainly wasn't."""

    @abc.abstractmethod
    def children(self) -> list[Any]: ...

    @abc.abstractmethod
    async def work(self, run: Run) -> None: ...

    @abc.abstractmethod
    async def check(self, run: Run) -> None: ...

    def dead(self, letters: list[DeadLetterRow]) -> None:
        """By default nobody's message dies."""
        assert not letters, f"dead: {[(row.address, row.body, row.cause, row.text) for row in letters]}"

    async def tell(self, run: Run, address: str, id: int, message: Message, **options: Any) -> bool:
        """Tell it once in all lives; whether it was acknowledged."""
        if id in self.tried:
            return id in self.sure
        self.tried.add(id)
        try:
            await run.system.ref(address).tell(message, **options)
        except StoreError as error:
            if getattr(error, "outcome", "") != "unknown":
                self.refused.add(id)
            if not isinstance(error, StoreDataError):
                await run.sleep(self.draw.random())
            return False
        self.sure.add(id)
        return True

    def once(self, found: list[int]) -> None:
        """Every id at most once, each one that was acknowledged, none that wasn't told."""
        twice = [id for id, count in Counter(found).items() if count > 1]
        assert not twice, f"twice: {twice}"
        assert self.sure <= set(found), f"acknowledged and lost: {sorted(self.sure - set(found))}"
        assert set(found) <= self.tried, f"out of nowhere: {sorted(set(found) - self.tried)}"
        assert not set(found) & self.refused, f"refused and yet done: {sorted(set(found) & self.refused)}"


def states(run: Run, prefix: str) -> dict[str, Any]:
    """The committed states of the actors below an address, by address."""
    return {row.address: msgspec.json.decode(row.state) for row in run.rows(ActorRow) if row.address.startswith(prefix)}


def from_batches(do: Do, below: bool = False) -> Iterator[int]:
    """Ids of what comes from a batch."""
    if below:
        yield do.id
    for other in (*do.asks, *do.tells):
        yield from from_batches(other, below or do.to == BATCH)


class Programs(Part):
    """Forests of messages, as in random_programs.py."""

    share = 0.7

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.ids = iter(range(1, 10**6))
        self.program = [self.make(0) for _ in range(draw.randint(1, 8))]
        self.lives: dict[int, int] = {}
        """In which life each was told."""

    def children(self) -> list[Any]:
        options: dict[str, Any] = {"max_attempts": ATTEMPTS}
        return [
            as_spec(("a", NotedDoer), **options),
            as_spec(("b", NotedDoer), **options),
            as_spec(("batch", NotedBatcher), **options),
            pool(as_spec(("template", NotedDoer), idle_timeout_s=0.1, **options), **PATIENT),
        ]

    def make(self, depth: int, choices: list[str] = ADDRESSES, *, asked: bool = False) -> Do:
        choose = lambda *values: self.draw.choice(values)  # noqa: E731
        to, own = choose(*choices), next(self.ids)
        if depth == 0 and to != BATCH:
            asked = choose(False, False, False, True)
        batch, outside = to == BATCH, asked and depth == 0
        below = [address for address in ADDRESSES[:-1] if to < address]
        asks: list[Do] = []
        if depth < 3 and below and not (batch or outside):
            asks = [self.make(depth + 1, below, asked=True) for _ in range(choose(0, 0, 1))]
        tells = [self.make(depth + 1) for _ in range(choose(0, 1, 2) if depth < 2 else 0)]
        how = "raise" if batch else choose("raise", "retry", "reject", "state")
        fails = [0, 0, 0, ALWAYS] if how == "reject" else [0, 0, 0, 0, 1, 2]
        return Do(
            id=own,
            to=to,
            how=how,
            fail=0 if outside or (batch and tells) else choose(*fails),
            asks=asks,
            tells=tells,
            delay_s=0.0 if asked else choose(0.0, 0.0, 0.0, 3.0),
            priority=choose(0, 0, 0, 5, -5),
            key=not asked and choose(False, False, False, True),
            stops=choose(False, False, False, True),
            asked=asked,
        )

    async def work(self, run: Run) -> None:
        World.unsteady = {id for do in self.program for id in from_batches(do)}
        await asyncio.gather(*(self.give(run, do) for do in self.program if do.id not in self.tried))

    async def give(self, run: Run, do: Do) -> None:
        await run.sleep(self.draw.choice((0.0, 0.0, 0.003, 0.05)))
        self.tried.add(do.id)
        self.lives[do.id] = run.life
        try:
            if do.asked:
                await run.system.ref(do.to).ask(Answer(do=do), timeout_s=1e6)
                assert do.id in states(run, do.to)[do.to]["asked"], f"the reply to {do.id} came before its commit"
            else:
                await tell(run.system, do)
        except StoreError as error:
            if getattr(error, "outcome", "") != "unknown" and not do.key:
                self.refused.add(do.id)
        except SystemStopped:
            if not do.asked:  # it was taken over, and knows
                self.refused.add(do.id)
        except Exception as error:
            assert do.asked, error  # asks may fail with the node
        else:
            self.sure.add(do.id)

    async def check(self, run: Run) -> None:
        found = {name: Counter[tuple[str, int]]() for name in ("told", "asked")}
        for address, state in states(run, "/t/").items():
            if address in ADDRESSES:
                for name, counter in found.items():
                    counter.update((address, id) for id in state[name])
        found["dead"] = self.letters
        expected_names: dict[str, set[tuple[str, int]]] = {name: set() for name in found}
        for do in self.program:
            expected = Expected(do)
            roots = (*expected.told, *expected.asked, *expected.dead)
            if roots and not any(name in counter for name in roots for counter in found.values()):
                assert do.id not in self.sure, f"acknowledged and lost: {do}"
                continue
            assert do.id not in self.refused or not roots, f"refused and yet done: {do}"
            for what, counter in found.items():
                for name, least in getattr(expected, what).items():
                    exactly = name[1] in expected.once
                    assert counter[name] == 1 if exactly else counter[name] >= min(least, 1), (
                        f"{what} {counter[name]} times: {name} of {do}"
                    )
                    expected_names[what].add(name)
        for what, counter in found.items():
            extra = set(counter) - expected_names[what]
            assert not extra, f"{what} out of nowhere: {extra}"

    letters: Counter[tuple[str, int]] = Counter()

    def dead(self, letters: list[DeadLetterRow]) -> None:
        rejected = [row for row in letters if row.cause != "rejected"]
        assert not rejected, f"dead: {[(row.address, row.body, row.cause, row.text) for row in rejected]}"
        self.letters = Counter((row.address, msgspec.json.decode(row.body)["id"]) for row in letters)


class Bank(Part):
    """Transfers, each told until it is acknowledged, under a key."""

    share = 0.6
    accounts = 4

    def children(self) -> list[Any]:
        return [pool(as_spec(("account", Account), idle_timeout_s=0.2), id="bank", **PATIENT)]

    def account(self) -> str:
        return f"/t/bank/{self.draw.randrange(self.accounts)}"

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        hows = ("", "", "", "key", "wait", "settle", "fail", "stop")
        self.transfers = [
            (self.account(), Transfer(id=id, to=self.account(), amount=draw.randint(1, 50), how=draw.choice(hows)))
            for id in range(draw.randint(3, 15))
        ]

    async def work(self, run: Run) -> None:
        for address, transfer in self.transfers:
            again = transfer.id in self.sure
            if again and self.draw.random() < 0.8:
                continue
            while True:
                self.tried.add(transfer.id)
                try:
                    await run.system.ref(address).tell(transfer, key=f"transfer {transfer.id}")
                except StoreDataError:
                    continue
                break
            self.sure.add(transfer.id)
            if self.draw.random() < 0.2:
                left = await run.system.ref(address).ask(Statement(), timeout_s=1e6)
                missing = set(left) - set(states(run, address)[address]["left"])
                assert not missing, f"a reply says what isn't committed: {missing}"

    async def check(self, run: Run) -> None:
        books = states(run, "/t/bank/")
        self.once([id for book in books.values() for id in book["left"]])
        self.once([id for book in books.values() for id in book["come"]])
        total = sum(book["balance"] - 100 for book in books.values())
        assert total == 0, f"{total} more than there was"


class Order(Part):
    """Numbers from several senders; nobody's may be out of order, but at the end of a life."""

    senders, receivers = ("/t/s1", "/t/s2"), ("/t/r1", "/t/rs/x")

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.ids = iter(range(1, 10**6))
        self.left = draw.randint(4, 20)
        self.poison = draw.random() < 0.25
        self.outside: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        """Highest acknowledged number of each outside sender."""

    def children(self) -> list[Any]:
        return [
            *(as_spec((name, Receiver)) for name in ("s1", "s2", "r1")),
            pool(as_spec(("receiver", Receiver), idle_timeout_s=0.05), id="rs", **PATIENT),
        ]

    async def work(self, run: Run) -> None:
        receiver = self.draw.choice(self.receivers)
        name = f"life {run.life} to {receiver}"
        while self.left > 0:
            self.left -= 1
            if self.draw.random() < 0.5:
                count = self.draw.randint(1, 3)
                poison, self.poison = self.poison, False
                order = Go(to=receiver, count=count, poison=poison)
                await self.tell(run, self.draw.choice(self.senders), next(self.ids), order)
                continue
            self.outside[name] += 1
            how = self.draw.choice(("", "", "", "wait"))
            item = Item(sender=name, number=self.outside[name], how=how)
            if await self.tell(run, receiver, next(self.ids), item):
                self.kept[name] = item.number
            else:
                name += "'"
            if self.draw.random() < 0.15:
                boom = Item(sender="", number=0, how="boom")
                await self.tell(run, self.draw.choice(self.receivers), next(self.ids), boom)

    async def check(self, run: Run) -> None:
        given = states(run, "/t/s")
        told: Counter[str] = Counter()
        for address, state in states(run, "/t/r").items():
            for sender in state["items"] | state["again"]:
                first, again = state["items"].get(sender, []), state["again"].get(sender, [])
                assert first == sorted(first), f"{address} had from {sender}: {first}"
                numbers = sorted(first + again)
                assert numbers == sorted(set(numbers)), f"{address} had from {sender}: {numbers}"
                told[sender] += len(numbers)
                if sender.startswith("life"):
                    assert numbers == list(range(1, len(numbers) + 1)), f"{address} had from {sender}: {numbers}"
                    assert len(numbers) >= self.kept[sender], f"{sender} lost what was acknowledged"
        for sender, state in given.items():
            assert told[sender] == state["given"], f"{state['given']} of {sender}, {told[sender]} came"

    def dead(self, letters: list[DeadLetterRow]) -> None:
        for row in letters:
            assert '"boom"' in row.body or '"kill"' in row.body, f"dead: {row.address} {row.body} {row.cause}"
