"""The GIL convoy: durable work beside a handler that burns CPU on the same loop.

sqlite3 lets go of the GIL at every step and takes it back after it. A writer thread beside a busy loop waits for a
switch each time, so that a commit of many steps may take a hundred times as long as on an idle loop.

The burner is an actor in memory that spins for one burst a turn. Either it tells itself the next at the end of each, so
that it always has something to do: what it gets of the loop is what the runtime gives it. Or its bursts come at a fixed
rate and are caught up if they were late: what it gets is a given share of the time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import floors
from floors import BODY
from ours import Add, counters, silent

from greenroom import Actor, ActorRef, ChildSpec, Message, Request, handler, start


class Load(NamedTuple):
    """The work of the burner."""

    burst_s: float = 0.0
    """No burner, if 0."""
    share: float = 1.0
    """Of the time that its bursts come to; 1: it always has the next one."""
    one_turn: bool = False
    """All bursts are made by one handler, which lets the loop run between two of them."""

    @property
    def every_s(self) -> float:
        return self.burst_s / self.share


class Beside(NamedTuple):
    rate: float
    """Messages/s of the tellers, end to end."""
    share: float
    """Of the time, in which the burner had the CPU."""


class Burst(Message):
    pass


class OneBurst(Request[None]):
    pass


class Bursts(Message):
    pass


class Burner(Actor[None]):
    durable = False
    burnt_s = 0.0
    over = False

    def __init__(self, *, burst_s: float) -> None:
        self.burst_s = burst_s

    @handler
    def burst(self, message: Burst) -> None:
        Burner.burnt_s += burn(self.burst_s)
        if not Burner.over:
            self.ref.tell(Burst())

    @handler
    async def bursts(self, message: Bursts) -> None:
        while not Burner.over:
            Burner.burnt_s += burn(self.burst_s)
            await asyncio.sleep(0)

    @handler
    def one(self, message: OneBurst) -> None:
        Burner.burnt_s += burn(self.burst_s)


def burn(seconds: float) -> float:
    """Hold the GIL for so long; for how long it was."""
    began = perf_counter()
    while (now := perf_counter()) < began + seconds:
        pass
    return now - began


async def beside(
    folder: Path, load: Load, seconds: float, *, in_thread: bool, count: int = 64, actors: int = 100
) -> Beside:
    """Awaiting tellers beside a burner, for so many seconds.

    Args:
        in_thread: commits go through the store's thread, however fast the disk is.
    """
    folder.mkdir()
    tree = counters(actors, ChildSpec(id="burner", actor=Burner, args={"burst_s": load.burst_s}))
    async with start(tree, store=f"sqlite:///{folder}/convoy.db", on_event=silent) as system:
        if in_thread:
            system.kernel.committer.store.synchronous = False
        refs = [system.ref(f"/bench/c{n}") for n in range(actors)]
        burner = system.ref("/bench/burner")
        Burner.over = False
        Burner.burnt_s = 0.0
        pacer = None
        if load.burst_s and load.share < 1:
            pacer = asyncio.create_task(_pace(burner, load))
        elif load.burst_s:
            burner.tell(Bursts() if load.one_turn else Burst())
        began = perf_counter()
        over = began + seconds

        async def tell(teller: int) -> int:
            number = 0
            while perf_counter() < over:
                await refs[(teller * 31 + number) % actors].tell(Add(number=number, body=BODY))
                number += 1
            return number

        told = sum(await asyncio.gather(*(tell(teller) for teller in range(count))))
        took = perf_counter() - began
        share = Burner.burnt_s / took
        Burner.over = True
        if pacer is not None:
            await pacer
        await system.idle()
        return Beside(told / took, share)


async def _pace(burner: ActorRef, load: Load) -> None:
    due = perf_counter()
    while not Burner.over:
        await burner.ask(OneBurst(), timeout_s=60.0)
        due += load.every_s
        await asyncio.sleep(max(0.0, due - perf_counter()))


async def beside_by_hand(folder: Path, load: Load, seconds: float, count: int = 64) -> Beside:
    """The group commit by hand beside a task that burns, and yields to the loop after each burst.

    It may take a second for a single message then: so the burner ends soon after the tellers should have.
    """
    folder.mkdir()
    burnt_s = 0.0
    over = perf_counter() + 2 * seconds

    async def burns() -> None:
        nonlocal burnt_s
        due = perf_counter()
        while perf_counter() < over:
            burnt_s += burn(load.burst_s)
            due += load.every_s
            await asyncio.sleep(max(0.0, due - perf_counter()) if load.share < 1 else 0)

    task = asyncio.create_task(burns()) if load.burst_s else None
    began = perf_counter()
    rate = await floors.group_commit(folder, 10_000_000, count, seconds)
    share = burnt_s / (perf_counter() - began)
    if task is not None:
        task.cancel()
    return Beside(rate, share)
