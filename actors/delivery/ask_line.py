"""AskLine: asks from outside that wait for room, because the mailbox is full."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..kernel.cell import DOWN, GONE, STOPPED, Cell
from ..kernel.hooks import Routing
from ..mailbox.envelope import Ask
from .errors import MailboxFull

__all__ = ("AskLine",)

PLACES_MIN = 1_000
"""An ask costs nothing but memory while it waits, so a line may be longer than a short mailbox."""


class AskLine:
    """The line before one mailbox, in the order of the asks. It has as many places as the mailbox, and at least
    `PLACES_MIN`.

    One callback of the cell serves them all, so asks that time out leave nothing behind.
    """

    def __init__(self, routing: Routing, cell: Cell, over: Callable[[Cell], object]) -> None:
        """
        Args:
            over: called when nobody waits any more, and the cell won't call either.
        """
        self._routing = routing
        self._cell = cell
        self._over = over
        self._places: dict[Ask, asyncio.Future[None]] = {}
        self._listens = False
        self._closed = False

    async def wait(self, ask: Ask) -> None:
        """Return when there is room for this ask, when its time is up, or when its actor has stopped.

        Raises:
            MailboxFull: the actor's overflow is "reject", or as many wait as may.
        """
        cell = self._cell
        options = cell.options
        if options.overflow == "reject" or len(self._places) >= max(options.capacity, PLACES_MIN):
            if not self._places and not self._listens:
                self._over(cell)
            raise MailboxFull(cell.address, options.capacity, ask.message)
        first = True
        try:
            while not ask.future.done() and not self._lets_in(ask, first):
                first = False
                place = self._places[ask] = asyncio.get_running_loop().create_future()
                self._listen()
                await asyncio.wait((place, ask.future), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if ask.future.done() and not ask.future.cancelled():
                ask.future.exception()  # it was refused at the same moment, and its error has no reader any more
            raise
        finally:
            self._places.pop(ask, None)
            if self._places:
                self._room()  # the room that it was called for may be another's
            elif not self._listens:
                self._over(cell)

    def close(self) -> None:
        """Let all of them go, to be refused."""
        self._closed = True
        self._room()

    def _lets_in(self, ask: Ask, first: bool) -> bool:
        cell = self._cell
        if self._closed or cell.status is STOPPED or cell.status is GONE:
            return True  # to be refused
        if cell.mailbox.count >= cell.options.capacity:
            return False
        return not self._places if first else next(iter(self._places)) is ask

    def _listen(self) -> None:
        if not self._listens:
            self._listens = True
            self._routing.when_room(self._cell, self._called)

    def _called(self) -> None:
        self._listens = False
        self._room()
        if not self._places:
            self._over(self._cell)
        elif self._cell.status is not GONE:
            self._listen()

    def _room(self) -> None:
        """Call the first one; all of them, if the actor has stopped."""
        over = self._closed or self._cell.status in (DOWN, STOPPED, GONE)
        if not over and self._cell.mailbox.count >= self._cell.options.capacity:
            return
        for place in self._places.values():
            if not place.done():
                place.set_result(None)
            if not over:
                return
