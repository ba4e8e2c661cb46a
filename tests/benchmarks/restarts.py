"""Restarts, and supervisors with many children."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from ours import Sum, silent

from greenroom import Actor, ChildSpec, Message, SupervisorSpec, handler, start

ADDRESS = "/bench/falls"


class Fall(Message):
    pass


class Falls(Actor[Sum]):
    """Exits by an unexpected exception; its state is what it was before."""

    max_attempts = 1_000_000
    fell = 0.0

    @handler
    def fall(self, message: Fall) -> None:
        Falls.fell = perf_counter()
        raise RuntimeError("fell")


class FallsInMemory(Falls):
    durable = False


async def restart_us(actor: type[Falls], store: str, rounds: int) -> float:
    """Median microseconds from the exception in the handler until the next incarnation is up."""
    up = asyncio.Event()
    took: list[float] = []

    def watch(event: Any) -> None:
        if event.name == "actor.started" and event.address == ADDRESS and Falls.fell:
            took.append(perf_counter() - Falls.fell)
            up.set()

    Falls.fell = 0.0
    spec = ChildSpec(id="falls", actor=actor, backoff={"initial_s": 3600.0, "max_s": 3600.0})
    tree = SupervisorSpec(id="bench", intensity=1_000_000, children=[spec])
    async with start(tree, store=store, on_event=watch) as system:
        ref = system.ref(ADDRESS)
        for _ in range(rounds):
            up.clear()
            ref.tell(Fall())
            await up.wait()
    return sorted(took)[len(took) // 2] * 1e6


async def by_hand_us(rounds: int) -> float:
    """The same with bare asyncio: a task that raises, and a loop around it that starts the next one."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    fell = 0.0
    wake: asyncio.Future[None] = loop.create_future()
    up: asyncio.Future[None] = loop.create_future()

    async def child() -> None:
        nonlocal wake, up, fell
        if fell:
            took.append(perf_counter() - fell)
        wake = loop.create_future()
        if not up.done():
            up.set_result(None)
        await wake
        fell = perf_counter()
        raise RuntimeError("fell")

    async def supervisor() -> None:
        while True:
            try:
                await loop.create_task(child())
            except RuntimeError:
                pass

    task = loop.create_task(supervisor())
    for _ in range(rounds):
        await up
        up = loop.create_future()
        wake.set_result(None)
    await up
    task.cancel()
    return sorted(took)[len(took) // 2] * 1e6


class Idle(Actor[None]):
    durable = False


async def many_children_s(count: int) -> float:
    """Seconds to start a supervisor with so many children and to stop it again."""
    tree = SupervisorSpec(id="bench", children=[ChildSpec(id=f"c{n}", actor=Idle) for n in range(count)])
    began = perf_counter()
    async with start(tree, on_event=silent):
        pass
    return perf_counter() - began
