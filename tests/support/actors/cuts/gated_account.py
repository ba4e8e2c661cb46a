"""An actor with a gate in its handlers, and ways to cancel what waits there."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from greenroom import Actor, Backoff, ExitReason, Message, Request, handler


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Slow(Request[int]):
    pass


class Chain(Request[int]):
    pass


class Odd(Message):
    how: str


class Book(msgspec.Struct):
    total: int = 0


class Account(Actor[Book]):
    gate: asyncio.Event
    kept: asyncio.Task[Any]
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 2

    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handler
    def total(self, request: Total) -> int:
        return self.state.total

    @handler
    async def slow(self, request: Slow) -> int:
        await Account.gate.wait()
        self.state.total += 1
        return self.state.total

    @handler
    async def chain(self, request: Chain) -> int:
        return await self.system.ref("/t/account").ask(Slow())

    @handler
    async def odd(self, message: Odd) -> None:
        task = asyncio.current_task()
        assert task is not None
        match message.how:
            case "cancels itself":
                task.cancel()
            case "cancels itself and waits":
                task.cancel()
                await asyncio.sleep(0)
            case "keeps its task":
                Account.kept = task
            case "awaits a cancelled future":
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                future.cancel()
                await future
            case "raises cancelled":
                raise asyncio.CancelledError
            case "uncancels":
                task.uncancel()
            case "generator exit":
                raise GeneratorExit
            case "memory":
                raise MemoryError
            case "keyboard" | "keyboard, later" if self.turn.attempt == 1:
                if message.how == "keyboard, later":
                    await asyncio.sleep(0)
                raise KeyboardInterrupt


def open_gate() -> None:
    """As each test finds it."""
    Account.gate = asyncio.Event()
    Account.gate.set()


async def cancelled_after(rounds: int, coroutine: Any) -> bool:
    """Run it, cancel it after so many rounds of the loop; whether it was still running."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(rounds):
        await asyncio.sleep(0)
    alive = not task.done()
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    return alive


class SlowStart(Account):
    async def on_start(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        await Account.gate.wait()

    async def on_stop(self, reason: ExitReason) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
