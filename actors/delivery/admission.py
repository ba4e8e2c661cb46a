"""Admission: tells from outside that can't go straight into the mailbox, because it is full or their key
must be looked up.

They wait in line, in the order told, so that a tell never passes an earlier one of the same sender.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from ...persistence.errors import GreenroomError
from ..kernel.cell import GONE, Cell
from ..kernel.kernel import Kernel
from ..mailbox.envelope import Envelope
from .keys import Keys

__all__ = ("Admission",)


class Admission:
    """The line before one mailbox. It exists only while a tell stands in it."""

    def __init__(self, kernel: Kernel, keys: Keys, cell: Cell, accept: Callable[[Cell, Envelope], int]) -> None:
        """
        Args:
            accept: puts a tell into the mailbox; returns its position in the commit queue.
        """
        self._kernel = kernel
        self._keys = keys
        self._cell = cell
        self._accept = accept
        self._line: deque[tuple[Envelope, asyncio.Future[int]]] = deque()
        self._room: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._line)

    def join(self, envelope: Envelope) -> asyncio.Future[int]:
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_seen)
        self._line.append((envelope, future))
        if len(self._line) == 1:
            self._kernel.background(self._admit(), f"greenroom admission to {self._cell.address}")
        return future

    def room(self) -> None:
        """Let tells go on, because the mailbox has got shorter."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def refuse(self, error: Callable[[object], GreenroomError]) -> None:
        """Nothing in the line gets in; each teller gets an error that hands its message back."""
        for envelope, future in self._line:
            if not future.done():
                future.set_exception(error(envelope.message))
        self.room()

    @property
    def _full(self) -> bool:
        """Whether it waits for room. A cell that is gone gets none: its successor takes the message."""
        cell = self._cell
        return cell.status is not GONE and cell.mailbox.count >= cell.options.capacity

    async def _admit(self) -> None:
        cell, line = self._cell, self._line
        while line:
            envelope, future = line[0]
            if future.done():
                line.popleft()
                continue
            try:
                earlier = await self._keys.seen(envelope) if envelope.key is not None else None
                while earlier is None and self._full and not future.done():
                    self._room = asyncio.get_running_loop().create_future()
                    self._kernel.router.when_room(cell, self.room)
                    await self._room
                    earlier = self._keys.seen_lately(envelope) if envelope.key is not None else None
                if not future.done():
                    if earlier is None:
                        earlier = self._accept(cell, envelope)
                    future.set_result(earlier)
            except GreenroomError as error:
                if not future.done():
                    future.set_exception(error)
        cell.line_over()


def _seen(future: asyncio.Future[int]) -> None:
    """Take the error, because a caller that doesn't await the receipt doesn't want to know of it."""
    if not future.cancelled():
        future.exception()
