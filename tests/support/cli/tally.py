"""The actors that the nodes of these tests run. Copied beside each test's config file."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time

import msgspec

from greenroom import Actor, Backoff, Message, Request, handler


class Add(Message):
    amount: int


class Total(Request[int]):
    pass


class Burst(Message):
    """Add one, so many times, by messages to a neighbour."""

    count: int
    to: str


class Fail(Message):
    why: str = "no reason"


class Wonder(Request[int]):
    """A question that raises."""


class Kill(Message):
    """Kills the process, as a segfault in a library would."""


class Die(Request[int]):
    """The same, asked."""


class Vanish(Message):
    """Ends the process as if all were well."""


class Exit(Message):
    """Calls `sys.exit` in a child task, or in a callback of the loop."""

    where: str


class Hang(Message):
    """Blocks the event loop."""


class Linger(Message):
    """Takes its time over an orderly end."""

    seconds: float = 60.0


class Sum(msgspec.Struct):
    total: int = 0


class Tally(Actor[Sum]):
    name = "tally"
    max_attempts = 3
    backoff = Backoff(initial_s=0.01, factor=1.0, jitter=0.0)
    reject_on = (LookupError,)

    @handler
    def add(self, message: Add) -> None:
        self.state.total += message.amount

    @handler
    def total(self, message: Total) -> int:
        return self.state.total

    @handler
    def burst(self, message: Burst) -> None:
        for _ in range(message.count):
            self.system.ref(message.to).tell(Add(amount=1))

    @handler
    def fail(self, message: Fail) -> None:
        raise LookupError(message.why)

    @handler
    def wonder(self, message: Wonder) -> int:
        raise ArithmeticError("it doesn't add up")

    @handler
    def kill(self, message: Kill) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @handler
    def die(self, message: Die) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    @handler
    def vanish(self, message: Vanish) -> None:
        os._exit(0)

    @handler
    async def exit(self, message: Exit) -> None:
        if message.where == "callback":
            asyncio.get_running_loop().call_soon(sys.exit, 1)
            await asyncio.sleep(60)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.child())

    async def child(self) -> None:
        await asyncio.sleep(0)
        sys.exit(1)

    @handler
    def hang(self, message: Hang) -> None:
        wait_for_nothing()

    @handler
    async def linger(self, message: Linger) -> None:
        deadline = time.monotonic() + message.seconds
        while time.monotonic() < deadline:  # swallows every cancellation
            try:
                await self.system.kernel.runtime.sleep(0.05)
            except BaseException:
                continue


def wait_for_nothing() -> None:
    while True:
        time.sleep(0.01)


class Crash(Message):
    """An unexpected error: the actor exits."""


class Fragile(Actor[None]):
    """Every message is an error of its own, so that the restarts add up."""

    max_attempts = 100
    backoff = Backoff(initial_s=0.0, factor=1.0, max_s=0.0, jitter=0.0)

    @handler
    def crash(self, message: Crash) -> None:
        raise ZeroDivisionError("it broke for good")


class NoStart(Actor[None]):
    async def on_start(self) -> None:
        raise ConnectionError("nobody is there")
