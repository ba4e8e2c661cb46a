"""The same work with greenroom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import msgspec
from floors import BODY

from greenroom import Actor, ChildSpec, Message, Request, SupervisorSpec, handler, start


class Add(Message):
    number: int
    body: str = ""


class Total(Request[int]):
    pass


class Sum(msgspec.Struct):
    total: int = 0


class Counter(Actor[Sum]):
    capacity = 1_000_000

    @handler
    def add(self, message: Add) -> None:
        self.state.total += 1

    @handler
    def total(self, message: Total) -> int:
        return self.state.total


class Light(Counter):
    durable = False


class Hop(Message):
    left: int


class Ring(Actor[Sum]):
    """Passes the message on to the next of a ring, and counts."""

    def __init__(self, *, following: str) -> None:
        self.following = following

    @handler
    def hop(self, message: Hop) -> None:
        self.state.total += 1
        if message.left:
            self.system.ref(self.following).tell(Hop(left=message.left - 1))


class Spread(Message):
    left: int


class Spreader(Actor[Sum]):
    """Tells each of the others, in one turn, until it has told so many messages."""

    def __init__(self, *, others: int) -> None:
        self.others = others

    @handler
    def spread(self, message: Spread) -> None:
        for number in range(self.others):
            self.system.ref(f"/bench/c{number}").tell(Add(number=number, body=BODY))
        self.state.total += self.others
        if message.left > self.others:
            self.ref.tell(Spread(left=message.left - self.others))


def counters(count: int, *others: ChildSpec) -> SupervisorSpec:
    children = [ChildSpec(id=f"c{n}", actor=Counter) for n in range(count)]
    return SupervisorSpec(id="bench", children=[*children, *others])


async def tellers(folder: Path, messages: int, count: int, actors: int) -> tuple[float, int]:
    """Messages/s of concurrent awaiting tellers, end to end; and the commits it took."""
    async with start(counters(actors), store=f"sqlite:///{folder}/ours.db", on_event=silent) as system:
        refs = [system.ref(f"/bench/c{n}") for n in range(actors)]
        before = system.kernel.committer.commits

        async def tell(teller: int) -> None:
            for number in range(messages // count):
                await refs[(teller * 31 + number) % actors].tell(Add(number=number, body=BODY))

        began = perf_counter()
        await asyncio.gather(*(tell(teller) for teller in range(count)))
        await system.idle()
        took = perf_counter() - began
        commits = system.kernel.committer.commits - before
        assert sum([await ref.ask(Total()) for ref in refs]) == messages // count * count
        return messages // count * count / took, commits


async def single_tell_us(folder: Path, rounds: int = 4_000) -> float:
    """Median microseconds of one awaited tell with nothing else going on."""
    async with start(counters(1), store=f"sqlite:///{folder}/single.db", on_event=silent) as system:
        ref = system.ref("/bench/c0")
        times = []
        for number in range(rounds):
            began = perf_counter()
            await ref.tell(Add(number=number, body=BODY))
            times.append(perf_counter() - began)
        return sorted(times)[rounds // 2] * 1e6


async def bulk(folder: Path, messages: int, actors: int) -> float:
    """Messages/s told from outside without awaiting, up to the commit of the last."""
    async with start(counters(actors), store=f"sqlite:///{folder}/bulk.db", on_event=silent) as system:
        refs = [system.ref(f"/bench/c{n}") for n in range(actors)]
        began = perf_counter()
        for number in range(messages):
            receipt = refs[number % actors].tell(Add(number=number, body=BODY))
            if number % 1000 == 999:
                await receipt
        await system.idle()
        return messages / (perf_counter() - began)


async def spread(folder: Path, messages: int, actors: int) -> float:
    """Messages/s that a durable actor tells in its turns: one to each of the others in each."""
    tree = counters(actors, ChildSpec(id="spreader", actor=Spreader, args={"others": actors}))
    messages = max(messages // actors, 1) * actors
    async with start(tree, store=f"sqlite:///{folder}/spread.db", on_event=silent) as system:
        began = perf_counter()
        await system.ref("/bench/spreader").tell(Spread(left=messages))
        await system.idle()
        took = perf_counter() - began
        assert sum([await system.ref(f"/bench/c{n}").ask(Total()) for n in range(actors)]) == messages
        return messages / took


async def ring(folder: Path, hops: int, actors: int) -> float:
    """Hops/s of one message through a ring of durable actors that change state on each hop."""
    children = [
        ChildSpec(id=f"r{n}", actor=Ring, args={"following": f"/ring/r{(n + 1) % actors}"}) for n in range(actors)
    ]
    tree = SupervisorSpec(id="ring", children=children)
    async with start(tree, store=f"sqlite:///{folder}/ring.db", on_event=silent) as system:
        began = perf_counter()
        await system.ref("/ring/r0").tell(Hop(left=hops))
        await system.idle()
        return hops / (perf_counter() - began)


async def in_memory(tells: int, asks: int) -> tuple[float, float]:
    """Tells/s and asks/s of a `durable=False` actor."""
    tree = SupervisorSpec(id="bench", children=[ChildSpec(id="light", actor=Light)])
    async with start(tree, on_event=silent) as system:
        ref = system.ref("/bench/light")
        message = Add(number=1)
        began = perf_counter()
        for _ in range(tells):
            ref.tell(message)
        await ref.ask(Total())
        tell_s = perf_counter() - began
        began = perf_counter()
        for _ in range(asks):
            await ref.ask(Total())
        return tells / tell_s, asks / (perf_counter() - began)


def silent(event: object) -> None:
    """No log: it isn't what is measured."""
