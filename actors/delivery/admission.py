"""Admission: tells from outside that can't go straight into the mailbox, because it is full or their key must be
looked up.

They wait in line, in the order told, so that a tell never passes an earlier one of the same sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...persistence.errors import GreenroomError
from ..mailbox.envelope import Envelope
from ..messages.message import Message
from .errors import MailboxFull
from .ref import Receipt

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..system import ActorSystem

__all__ = ("Admission", "admit_slowly")


class Admission:
    """The line before one mailbox. Exists only while somebody stands in it."""

    def __init__(self, system: ActorSystem, cell: Cell) -> None:
        self._system = system
        self._cell = cell
        self._line: deque[tuple[Envelope, asyncio.Future[int]]] = deque()
        self._room: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._line)

    def join(self, envelope: Envelope) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._line.append((envelope, future))
        if len(self._line) == 1:
            self._system.background(self._admit(), f"greenroom admission to {self._cell.address}")
        return future

    def room(self) -> None:
        """The mailbox has got shorter."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def refuse(self, error: Callable[[object], GreenroomError]) -> None:
        """Nobody in the line will get in; each gets an error that hands its message back."""
        for envelope, future in self._line:
            if not future.done():
                future.set_exception(error(envelope.message))
        self.room()

    async def _admit(self) -> None:
        cell, line = self._cell, self._line
        while line:
            envelope, future = line[0]
            if future.done():
                line.popleft()
                continue
            try:
                earlier = await self._system.keys.seen(envelope) if envelope.key is not None else None
                while earlier is None and cell.mailbox.count >= cell.options.capacity and not future.done():
                    self._room = asyncio.get_running_loop().create_future()
                    self._system.delivery.when_room(cell, self.room)
                    await self._room
                    earlier = self._system.keys.seen_lately(envelope) if envelope.key is not None else None
                if not future.done():
                    if earlier is None:
                        earlier = self._system.delivery.accept(cell, envelope)
                    future.set_result(earlier)
            except GreenroomError as error:
                if not future.done():
                    future.set_exception(error)
        cell.admission = None
        cell.light = not cell.durable and not self._system.over


def admit_slowly(system: ActorSystem, cell: Cell, envelope: Envelope, message: Message) -> Receipt:
    """Put a tell in the line.

    Raises:
        MailboxFull: the actor's overflow is "reject", or as many wait in line as the mailbox holds.
    """
    capacity = cell.options.capacity
    waiting = len(cell.admission) if cell.admission is not None else 0
    full = cell.mailbox.count >= capacity
    if (full and cell.options.overflow == "reject") or waiting >= capacity:
        raise MailboxFull(cell.address, capacity, message)
    if cell.admission is None:
        cell.admission = Admission(system, cell)
        cell.light = False
    return Receipt(system, 0, message, cell.admission.join(envelope))


def _seen(future: asyncio.Future[int]) -> None:
    """Who doesn't await the receipt doesn't want to know."""
    if not future.cancelled():
        future.exception()
