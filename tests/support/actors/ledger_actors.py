"""Actors to be looked at."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from greenroom import Actor, Backoff, ExitReason, Message, Reject, Request, Retry, handler

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)
log: list[str] = []


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Wait(Message):
    """Wait for the gate."""


class Fail(Message):
    how: str
    times: int = 1


class Relay(Message):
    to: str
    amount: int = 1


class Several(Message):
    pass


class Anything(Request[str]):
    pass


class Book(msgspec.Struct):
    total: int = 0
    tags: dict[int, str] = {}


class Ledger(Actor[Book]):
    gate: asyncio.Event
    backoff = FAST
    max_attempts = 3

    async def on_stop(self, reason: ExitReason) -> None:
        log.append(f"stop {self.address} {reason.kind}")

    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount
        log.append(f"add {message.amount}")

    @handler
    def total(self, request: Total) -> int:
        return self.state.total

    @handler
    async def wait(self, message: Wait) -> None:
        self.state.total += 1000
        log.append("waits")
        await type(self).gate.wait()

    @handler
    def relay(self, message: Relay) -> None:
        self.system.ref(message.to).tell(Add(amount=message.amount))

    @handler
    def fail(self, message: Fail) -> None:
        self.state.total = -1
        if self.turn.attempt > message.times:
            return
        match message.how:
            case "retry":
                raise Retry(after_s=0.0)
            case "reject":
                raise Reject("no")
            case _:
                raise ZeroDivisionError


class Light(Ledger):
    durable = False


class Stateless(Actor[None]):
    @handler
    def several(self, messages: list[Several]) -> None:
        log.append(f"several {len(messages)}")


class Eager(Actor[Any]):
    """Takes whatever it gets."""

    def receive(self, message: Message) -> Any:
        log.append(f"received {type(message).__name__}")
