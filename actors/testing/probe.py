"""Probe: an actor that keeps every message it is told, and the test's side of it.

tree = SupervisorSpec(id="app", children=[ChildSpec(id="probe", actor=Collector), ...])
async with start(tree) as system:
    probe = Probe(system, "/app/probe")
    ...
    assert await probe.next(Paid) == Paid(amount=5)
"""

from __future__ import annotations

import asyncio
from typing import TypeVar, cast

from ..actor import Actor
from ..messages.message import Message
from ..system import ActorSystem

__all__ = ("Collector", "Probe")

M = TypeVar("M", bound=Message)

WAIT_S = 10.0
"""Seconds of real time that a test may wait. A test that waits longer has failed."""


class Collector(Actor[None]):
    """Takes any message. It isn't durable, so it sees a message when the sender's turn finishes, before the commit."""

    durable = False

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.waiting: list[asyncio.Future[None]] = []

    def receive(self, message: Message) -> None:
        self.messages.append(message)
        waiting, self.waiting = self.waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Probe:
    """Reads a `Collector` of a system, as long as it isn't restarted."""

    def __init__(self, system: ActorSystem, address: str) -> None:
        incarnation = system.kernel.router.resolve(address).incarnation
        assert incarnation is not None, f"{address} isn't running"
        self._collector = cast(Collector, incarnation.actor)
        self._read = 0

    @property
    def messages(self) -> list[Message]:
        """All messages so far, in the order handled."""
        return self._collector.messages

    async def next(self, kind: type[M]) -> M:
        """The next message of a type, of those that `next` hasn't returned or passed yet.

        Raises:
            TimeoutError: none came within ten seconds.
        """
        async with asyncio.timeout(WAIT_S):
            while True:
                while self._read < len(self.messages):
                    message = self.messages[self._read]
                    self._read += 1
                    if isinstance(message, kind):
                        return message
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._collector.waiting.append(future)
                await future
