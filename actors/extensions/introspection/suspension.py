"""Suspension: an actor that handles nothing but system messages (OTP: sys(3), suspend_loop).

As in OTP the process sits inside the handler of `Suspend`: the runner that ran it stays with the cell, and serves the
messages that may pass. To all others the cell looks like one in a runner's hands: up, not scheduled, not passivated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

from ...execution.dispatcher import Dispatcher
from ...execution.executor import GO_ON, LOST
from ...execution.exits import Exits
from ...kernel.cell import UP, Cell
from ...kernel.errors import Reject
from ...kernel.hooks import Extension
from ...kernel.kernel import Kernel
from ...mailbox.envelope import Ask, Envelope
from ...mailbox.mailbox import SYSTEM, Entry, Mailbox
from ...messages.message import SystemRequest, system_tag

__all__ = ("SUSPENDED", "HeldMailbox", "Suspension", "Suspensions", "hold")

SUSPENDED: Final = "suspended"
"""The name of such a cell's status; the status itself is `up`."""

SHARE = 2
"""Every suspended actor keeps a runner. So at most one runner in so many may be kept."""


class HeldMailbox(Mailbox):
    """A mailbox that holds back everything but system messages.

    `queue` stays None, so that no caller appends to it past `push`. `count` counts all messages, because the capacity
    is for all of them.
    """

    __slots__ = ("passing", "suspension", "waiting")

    held: ClassVar[bool] = True

    def __init__(self, mailbox: Mailbox, suspension: Suspension) -> None:
        super().__init__()
        self.passing = mailbox.sift(_passes)
        """The messages that may be handled."""
        self.waiting = mailbox
        """The messages that are held back."""
        self.suspension: Suspension | None = suspension
        self._recount()

    def _recount(self) -> None:
        self.count = self.waiting.count + self.passing.count

    def release(self) -> Mailbox:
        """The mailbox that it stands for, with all that came meanwhile."""
        self.passing.move_into(self.waiting)
        return self.waiting

    def push(self, entry: Entry, priority: int = 0) -> None:
        passes = _passes(entry, priority)
        (self.passing if passes else self.waiting).push(entry, priority)
        self.count += 1
        if passes and self.suspension is not None:
            self.suspension.call()

    def push_front(self, *entries: Entry) -> None:
        for entry in reversed(entries):
            (self.passing if _passes(entry, 0) else self.waiting).push_front(entry)
        self._recount()

    def pop(self) -> Entry:
        self.count -= 1
        return self.passing.pop()

    def pop_ask(self) -> Ask | None:
        found = self.passing.pop_ask()
        self._recount()
        return found

    def take(self, uid: str, row_id: int) -> Entry | None:
        found = self.passing.take(uid, row_id)
        if found is None:
            found = self.waiting.take(uid, row_id)
        self._recount()
        return found

    def add_rows(self, ids: Sequence[int], priority: int) -> None:
        self.waiting.add_rows(ids, priority)
        self._recount()

    def settle(self) -> Mailbox:
        self.waiting = self.waiting.settle()
        return self

    def leading_rows(self, limit: int) -> list[int]:
        return []  # rows are of told messages, and those wait

    def entries(self) -> Iterator[Entry]:
        yield from self.passing.entries()
        yield from self.waiting.entries()


def _passes(entry: Entry, priority: int) -> bool:
    """Whether a suspended actor handles an entry, because it is a signal or a request that the runtime answers."""
    if priority >= SYSTEM:
        return True
    if isinstance(entry, int):
        return False
    message: Any = entry.message if isinstance(entry, Envelope) else entry
    if message is None:
        assert isinstance(entry, Envelope)
        return system_tag(entry.tag) is not None
    return isinstance(message, SystemRequest)


async def hold(cell: Cell) -> str:
    """Keep the cell in its runner after the turn of a `Suspend`, until it is resumed. Returns what
    the runner does then."""
    return await cell.kernel.part(Suspensions).hold(cell)


class Suspensions(Extension):
    """The suspended actors of one node."""

    def __init__(self, kernel: Kernel, dispatcher: Dispatcher, exits: Exits) -> None:
        self.kernel = kernel
        self.dispatcher = dispatcher
        self.exits = exits
        self._all: dict[Suspension, None] = {}

    def check_room(self, cell: Cell) -> None:
        """
        Raises:
            Reject: too many actors are suspended.
        """
        limit = self.kernel.attempts.slots // SHARE
        if len(self._all) >= limit and not cell.suspended:
            raise Reject(f"{limit} actors are suspended, and more can't be; resume some of them")

    async def hold(self, cell: Cell) -> str:
        """Suspend an actor, in the runner that has handled its `Suspend`."""
        if cell.suspended:
            return GO_ON
        suspension = Suspension(self, cell)
        self._all[suspension] = None
        try:
            return await suspension.serve()
        finally:
            suspension.end()
            self._all.pop(suspension, None)

    def fenced(self, cell: Cell) -> None:
        if isinstance(cell.mailbox, HeldMailbox) and cell.mailbox.suspension is not None:
            cell.mailbox.suspension.end_with_incarnation()


class Suspension:
    """The suspension of one incarnation."""

    def __init__(self, suspensions: Suspensions, cell: Cell) -> None:
        self._kernel = suspensions.kernel
        self._dispatcher = suspensions.dispatcher
        self._exits = suspensions.exits
        self._cell = cell
        self._slot = cell.runner
        self._ended = False
        self._taken = False
        """Whether the incarnation ended, so that the cell isn't this runner's any more."""
        self._rest: asyncio.Future[None] | None = None
        self._mailbox = HeldMailbox(cell.mailbox, self)
        cell.swap(self._mailbox)

    async def serve(self) -> str:
        cell, executor = self._cell, self._dispatcher.executor
        while not self._ended:
            if cell.status is not UP or not self._mailbox.passing.count:
                await self._until_called()
                continue
            waiting = executor.next_message(cell, self._slot)
            outcome = GO_ON if waiting is None else await waiting
            if outcome is LOST:
                return LOST
            if cell.leaving is not None and cell.status is UP:
                await self._exits.leave(cell)
            elif cell.quiet is not None:
                cell.now_quiet()  # a caller that stops it waits for this turn, not for the resumption
        return LOST if self._taken else GO_ON

    async def _until_called(self) -> None:
        kernel = self._kernel
        kernel.attempts.clear(self._slot)
        self._rest = asyncio.get_running_loop().create_future()
        self._dispatcher.resting += 1
        if kernel.watched:
            kernel.maybe_idle()
        try:
            await self._rest
        finally:
            self._wake()

    def _wake(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            self._dispatcher.resting -= 1  # at once: from here on there is something to do
            if not rest.done():
                rest.set_result(None)

    def call(self) -> None:
        """Wake the runner, because there is something to serve."""
        self._wake()

    def end(self) -> None:
        """Let the actor go on, from the next turn."""
        if self._ended:
            return
        self._ended = True
        if self._cell.mailbox is self._mailbox:
            self._cell.swap(self._mailbox.release())
        self._wake()

    def end_with_incarnation(self) -> None:
        """End the suspension, because the incarnation is over: the cell is out of its runner's hands at once."""
        if self._ended:
            return
        self._taken = True
        self.end()
        self._cell.let_go()
