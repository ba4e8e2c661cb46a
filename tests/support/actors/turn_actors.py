"""Actors whose turns add, send and fail."""

from __future__ import annotations

import asyncio

import msgspec

from greenroom import Actor, Backoff, Message, Reject, Request, Retry, handler

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Relay(Message):
    amounts: list[int]
    fail: str = ""
    """How the turn ends, after everything is told: "" well, else which exception."""
    times: int = 1
    """The first so many attempts fail."""


class Steps(Request[list[int]]):
    pass


class Sum(msgspec.Struct):
    total: int = 0
    steps: list[int] = []


class Adder(Actor[Sum]):
    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount
        self.state.steps.append(message.amount)

    @handler
    def total(self, message: Total) -> int:
        return self.state.total

    @handler
    def steps(self, message: Steps) -> list[int]:
        return self.state.steps


class Expected(Exception):
    pass


class Sender(Actor[Sum]):
    backoff = FAST
    retry_on = (Expected,)
    max_attempts = 3

    def __init__(self, *, waits: bool = False) -> None:
        self.waits = waits

    @handler
    async def relay(self, message: Relay) -> None:
        to = self.system.ref("/t/adder")
        for amount in message.amounts:
            self.state.total += amount
            to.tell(Add(amount=amount))
            if self.waits:
                await asyncio.sleep(0)
        if message.fail and self.turn.attempt <= message.times:
            match message.fail:
                case "retry":
                    raise Retry(after_s=0.0)
                case "expected":
                    raise Expected
                case "reject":
                    raise Reject("no")
                case "retry in a group":
                    raise ExceptionGroup("several", [Expected(), Retry(after_s=0.0), Retry()])
                case "expected in a group":
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self.fails())
                case "reject in a group":
                    raise ExceptionGroup("several", [Expected(), Reject("no")])
                case "error in a group":
                    raise ExceptionGroup("several", [Expected(), RuntimeError("no")])
                case "state":
                    self.state.total = "nonsense"  # type: ignore[assignment]
                case "cancelled":
                    raise asyncio.CancelledError
                case "exit":
                    raise SystemExit(3)
                case "stop":
                    raise StopIteration
                case _:
                    raise RuntimeError(message.fail)

    async def fails(self) -> None:
        raise Expected

    @handler
    def total(self, message: Total) -> int:
        return self.state.total


EXPECTED = ["retry", "expected", "retry in a group", "expected in a group"]
"""Failures after which the actor goes on."""
FAILURES = [*EXPECTED, "error", "error in a group", "state", "cancelled", "exit", "stop"]
