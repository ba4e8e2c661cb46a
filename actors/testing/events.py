"""Recorder: the events of a system, to look at and to wait for."""

from __future__ import annotations

import asyncio
from typing import Any

from ...persistence.events import Event
from ..system import ActorSystem

__all__ = ("Recorder",)

WAIT_S = 10.0
"""Seconds of real time that a test may wait. A test that waits longer has failed."""


class Recorder:
    """Records events from the moment it is made; or from the boot on, as the `on_event` of a node.

        events = Recorder()
        async with start(tree, on_event=events) as system:
            await events.until("supervisor.gave_up")

    An event that comes as soon as a node is up may have come before the block begins. To count it, begin with the boot.
    """

    def __init__(self, system: ActorSystem | None = None) -> None:
        self.events: list[Event] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._leave = system.kernel.events.subscribe(self) if system is not None else lambda: None

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def of(self, name: str, address: str | None = None) -> list[Event]:
        """The events of a name, and of an address if one is given, in order."""
        found = [event for event in self.events if event.name == name]
        return found if address is None else [event for event in found if event.address == address]

    def names(self, *wanted: str) -> list[tuple[str, str]]:
        """(name, address) of each event. If names are given, only events of those count."""
        return [(event.name, event.address) for event in self.events if not wanted or event.name in wanted]

    async def until(self, name: str, address: str | None = None, *, count: int = 1) -> dict[str, Any]:
        """Wait until that event has come `count` times since the recorder was made; returns its measures.

        Raises:
            TimeoutError: it didn't come within ten seconds.
        """
        async with asyncio.timeout(WAIT_S):
            while len(found := self.of(name, address)) < count:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(future)
                await future
        return found[count - 1].measures

    def close(self) -> None:
        self._leave()
