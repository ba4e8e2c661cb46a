"""Suspension: an actor that handles nothing but system messages (OTP: sys(3), suspend_loop).

As in OTP the process sits inside the handling of the `Suspend`: the runner that handled it stays with the cell, and
serves what may pass. To everybody else the cell looks like one in a runner's hands: up, not scheduled, not passivated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...execution.executor import GO_ON, LOST, SET_ASIDE
from ...kernel.errors import Reject
from ...kernel.status import UP
from ...kernel.turn import FINISHED
from ...mailbox.envelope import Ask, Envelope
from ...mailbox.mailbox import SYSTEM, Entry, Mailbox
from .requests import SYSTEM_HANDLERS, SYSTEM_TAGS, Suspend

if TYPE_CHECKING:
    from ...kernel.cell import Cell
    from ...kernel.turn import Turn
    from ...system import ActorSystem

__all__ = ("SUSPENDED", "HeldMailbox", "Suspension", "Suspensions")

SUSPENDED: Final = "suspended"
"""What such a cell's status is called; it is `up`."""

SHARE = 2
"""Every suspended actor keeps a runner: at most one in so many."""


class HeldMailbox(Mailbox):
    """Holds everything back but system messages.

    `queue` stays None, so that nobody appends to it past `push`. `count` counts all: the capacity is for all of them.
    """

    __slots__ = ("held", "passing", "suspension")

    def __init__(self, mailbox: Mailbox, suspension: Suspension) -> None:
        super().__init__()
        self.passing = mailbox.sift(_passes)
        """What may be handled."""
        self.held = mailbox
        self.suspension = suspension
        self._recount()

    def _recount(self) -> None:
        self.count = self.held.count + self.passing.count

    def release(self) -> Mailbox:
        """The mailbox that it stood for, with all that came meanwhile."""
        self.passing.move_into(self.held)
        return self.held

    def push(self, entry: Entry, priority: int = 0) -> None:
        passes = _passes(entry, priority)
        (self.passing if passes else self.held).push(entry, priority)
        self.count += 1
        if passes and self.suspension is not None:
            self.suspension.call()

    def push_front(self, *entries: Entry) -> None:
        for entry in reversed(entries):
            (self.passing if _passes(entry, 0) else self.held).push_front(entry)
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
            found = self.held.take(uid, row_id)
        self._recount()
        return found

    def add_rows(self, ids: Sequence[int], priority: int) -> None:
        self.held.add_rows(ids, priority)
        self._recount()

    def settle(self) -> Mailbox:
        self.held = self.held.settle()
        return self

    def leading_rows(self, limit: int) -> list[int]:
        return []  # rows are of told messages, and those wait

    def entries(self) -> Iterator[Entry]:
        yield from self.passing.entries()
        yield from self.held.entries()


def _passes(entry: Entry, priority: int) -> bool:
    """Whether a suspended actor handles it: a signal, or a request that the runtime answers."""
    if priority >= SYSTEM:
        return True
    if isinstance(entry, int):
        return False
    message: Any = entry.message if isinstance(entry, Envelope) else entry
    return entry.tag in SYSTEM_TAGS if message is None else type(message) in SYSTEM_HANDLERS  # type: ignore[union-attr]


class Suspensions:
    """Those of a system."""

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._all: dict[Suspension, None] = {}
        self.resting = 0
        """Suspended actors whose runners have nothing to do: they don't keep the system from being idle."""

    async def suspend(self, turn: Turn, finish: Callable[[], Awaitable[str]]) -> str:
        """The turn of a `Suspend`: it ends like any other, and its runner keeps the cell until it is resumed.

        Args:
            finish: ends the turn.

        Returns:
            What the runner is to do with the cell then (Handling).
        """
        system, cell = self._system, turn.cell
        limit = system.attempts.slots // SHARE
        if len(self._all) >= limit and not cell.suspended:
            turn.fail(Reject(f"{limit} actors are suspended, and more can't be; resume some of them"))
            return GO_ON
        outcome = await finish()
        if outcome is not GO_ON or turn.status is not FINISHED or cell.status is not UP or cell.suspended:
            return outcome
        if system.runners.solo:
            system.delivery.post(cell, Suspend())  # later: now everybody waits for the end of what runs alone
            return outcome
        return await self._hold(cell)

    async def _hold(self, cell: Cell) -> str:
        suspension = Suspension(self._system, cell, cell.runner)
        self._all[suspension] = None
        try:
            return await suspension.serve()
        finally:
            suspension.end()
            self._all.pop(suspension, None)

    def end_solo(self) -> None:
        """Nothing runs alone any more: what had to wait may be served."""
        for suspension in list(self._all):
            suspension.call(again=True)


class Suspension:
    """Of one incarnation."""

    def __init__(self, system: ActorSystem, cell: Cell, slot: int) -> None:
        self._system = system
        self._cell = cell
        self._slot = slot
        self._ended = False
        self._taken = False
        """Whether the incarnation ended: the cell isn't this runner's any more."""
        self._solo = False
        """Whether what is there has to wait for the end of a solo run."""
        self._rest: asyncio.Future[None] | None = None
        self._mailbox = cell.mailbox = HeldMailbox(cell.mailbox, self)

    async def serve(self) -> str:
        system, cell = self._system, self._cell
        handling = system.runners.handling
        while not self._ended:
            if cell.status is not UP or not self._mailbox.passing.count or self._solo:
                await self._until_called()
                continue
            waiting = handling.next_message(cell, self._slot)
            outcome = GO_ON if waiting is None else await waiting
            if outcome is LOST:
                return LOST
            self._solo = outcome is SET_ASIDE
            if cell.leaving is not None and cell.status is UP:
                await system.exits.leave(cell)
            elif cell.quiet is not None:
                cell.now_quiet()  # whoever stops it waits for this turn, not for the resumption
        return LOST if self._taken else GO_ON

    async def _until_called(self) -> None:
        system = self._system
        system.attempts.clear(self._slot)
        self._rest = asyncio.get_running_loop().create_future()
        system.runners.suspensions.resting += 1
        if system.watched:
            system.maybe_idle()
        try:
            await self._rest
        finally:
            self._wake()

    def _wake(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None:
            self._system.runners.suspensions.resting -= 1  # at once: from here on there is something to do
            if not rest.done():
                rest.set_result(None)

    def call(self, *, again: bool = False) -> None:
        """There is something to serve; `again`: what couldn't be served before may be tried once more."""
        if again:
            self._solo = False
        self._wake()

    def end(self) -> None:
        """Let the actor go on, from the next turn."""
        if self._ended:
            return
        self._ended = True
        if self._cell.mailbox is self._mailbox:
            self._cell.mailbox = self._mailbox.release()
        self._wake()

    def end_with_incarnation(self) -> None:
        """The cell is out of its runner's hands at once."""
        if self._ended:
            return
        self._taken = True
        self.end()
        cell = self._cell
        cell.queued = False
        cell.runner = -1
        if cell.quiet is not None:
            cell.now_quiet()
