"""Cost per message against what there is more of: messages, actors, bytes in a body, bytes in a state.

Each function measures one point, in a folder of its own, and returns seconds a message.
"""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import floors
import msgspec
import ours
from floors import BODY
from ours import Add, Sum, counters, silent

from greenroom import Actor, ChildSpec, SupervisorSpec, handler, start

TELLERS = 16
ACTORS = 10
RECORD = "x" * 80


class Growth(NamedTuple):
    """By which power a cost grows: 1 is linear."""

    fit: float
    """Of a line through all points, on log-log scales."""
    top: float
    """Over the last decade: what a long flat beginning can't hide."""

    @classmethod
    def of(cls, points: Mapping[int, float]) -> Growth:
        """Of seconds against sizes."""
        logs = sorted((math.log10(size), math.log10(seconds)) for size, seconds in points.items())
        last = logs[-1][0]
        return cls(_slope(logs), _slope([point for point in logs if point[0] >= last - 1.001]))


def _slope(points: list[tuple[float, float]]) -> float:
    return statistics.linear_regression([x for x, _ in points], [y for _, y in points]).slope


def messages(folder: Path, count: int) -> float:
    """Told in bulk to a hundred durable actors."""
    return 1 / asyncio.run(ours.bulk(folder, count, 100))


def messages_by_hand(folder: Path, count: int) -> float:
    return 1 / floors.plain_sqlite(folder, count)


def actors(folder: Path, count: int, messages: int) -> tuple[float, float]:
    """Told in bulk to so many durable actors in turn; and the seconds of start and stop, per actor."""
    return asyncio.run(_actors(folder, count, max(messages, 2 * count)))


async def _actors(folder: Path, count: int, messages: int) -> tuple[float, float]:
    began = perf_counter()
    async with start(counters(count), store=f"sqlite:///{folder}/actors.db", on_event=silent) as system:
        up = perf_counter()
        refs = [system.ref(f"/bench/c{n}") for n in range(count)]
        for number in range(messages):
            receipt = refs[number % count].tell(Add(number=number, body=BODY))
            if number % 1000 == 999:
                await receipt
        await system.idle()
        told = perf_counter()
    over = perf_counter()
    return (told - up) / messages, (up - began + over - told) / count


class Gated(Actor[Sum]):
    """Handles nothing before the gate is open: so the messages are written, and read by nobody meanwhile."""

    gate: asyncio.Event

    @handler
    async def add(self, message: Add) -> None:
        await Gated.gate.wait()
        self.state.total += 1


def bodies(folder: Path, size: int, count: int) -> float:
    """Messages with bodies of so many bytes: each is written, then handled, then deleted."""
    return asyncio.run(_bodies(folder, size, count))


async def _bodies(folder: Path, size: int, count: int) -> float:
    Gated.gate = asyncio.Event()
    tree = SupervisorSpec(id="bench", children=[ChildSpec(id=f"g{n}", actor=Gated) for n in range(ACTORS)])
    async with start(tree, store=f"sqlite:///{folder}/bodies.db", on_event=silent) as system:
        refs = [system.ref(f"/bench/g{n}") for n in range(ACTORS)]
        body = "x" * size

        async def tell(teller: int) -> None:
            for number in range(teller, count, TELLERS):
                await refs[number % ACTORS].tell(Add(number=number, body=body))

        began = perf_counter()
        await asyncio.gather(*(tell(teller) for teller in range(TELLERS)))
        Gated.gate.set()
        await system.idle()
        return (perf_counter() - began) / count


def bodies_by_hand(folder: Path, size: int, count: int) -> float:
    return 1 / floors.plain_sqlite(folder, count, "x" * size)


class Ledger(msgspec.Struct):
    """A state of many small records."""

    total: int = 0
    records: list[str] = []


class Keeper(Actor[Ledger]):
    def __init__(self, *, size: int) -> None:
        self.size = size

    def initial_state(self) -> Ledger:
        return Ledger(records=_records(self.size))

    @handler
    def add(self, message: Add) -> None:
        self.state.total += 1


def states(folder: Path, size: int, count: int) -> float:
    """Messages that change a state of so many bytes, told by awaiting tellers to one actor."""
    return asyncio.run(_states(folder, size, count))


async def _states(folder: Path, size: int, count: int) -> float:
    tree = SupervisorSpec(id="bench", children=[ChildSpec(id="keeper", actor=Keeper, args={"size": size})])
    async with start(tree, store=f"sqlite:///{folder}/states.db", on_event=silent) as system:
        keeper = system.ref("/bench/keeper")

        async def tell(teller: int) -> None:
            for number in range(teller, count, TELLERS):
                await keeper.tell(Add(number=number))

        await keeper.tell(Add(number=0))
        began = perf_counter()
        await asyncio.gather(*(tell(teller) for teller in range(TELLERS)))
        await system.idle()
        return (perf_counter() - began) / count


def states_by_hand(size: int, count: int) -> float:
    """Encode the state, and decode it again: what each turn that changes it has to do."""
    ledger = Ledger(records=_records(size))
    decoder = msgspec.json.Decoder(Ledger)
    began = perf_counter()
    for _ in range(count):
        ledger.total += 1
        ledger = decoder.decode(msgspec.json.encode(ledger))
    return (perf_counter() - began) / count


def _records(size: int) -> list[str]:
    return [RECORD] * max(size // (len(RECORD) + 3), 1)
