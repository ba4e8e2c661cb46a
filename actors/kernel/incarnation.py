"""An incarnation: one life of an actor between start and exit, and what the actor sees of the runtime."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..extensions.monitors.changes import Intents
from ..extensions.stash import Stashing
from ..extensions.timers.changes import Timing
from ..messages.signals import ExitReason, storable
from .errors import TurnClosed
from .turn import current_turn

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the name of a type; the draws come from the Runtime

    from sqlalchemy.ext.asyncio import AsyncConnection

    from ..actor import Actor
    from ..delivery.ref import ActorRef
    from ..messages.message import Message
    from .cell import Cell
    from .turn import Turn

__all__ = ("Incarnation",)


class Incarnation:
    """Numbered by (boot epoch, counter). A zombie still holds its own, and that is how it is told apart."""

    __slots__ = ("actor", "cell", "context", "number", "run", "started", "struck", "system")

    def __init__(self, cell: Cell, number: int) -> None:
        self.cell = cell
        self.system = cell.system
        self.number = number
        self.actor: Actor[Any] = None  # type: ignore[assignment]  # set by the start, before anything runs
        self.context: Context = copy_context()
        """Handlers run in it, so that context variables behave as if the incarnation were a task."""
        self.run: Callable[..., Any] = self.context.run
        """How its turns enter the context; while they are watched, by way of the watch (tracer.py)."""
        self.started = cell.system.runtime.now()
        """In epoch seconds."""
        self.struck: ExitReason | None = None
        """Of an exit signal that came over a link while it started."""

    def rest(self) -> None:
        """It is idle: its context lets go of the last turn, and so of the last message."""
        self.context.run(_forget_turn)

    @property
    def address(self) -> str:
        return self.cell.address

    @property
    def ref(self) -> ActorRef:
        return self.cell.system.ref(self.cell.address)

    @property
    def supervisor(self) -> ActorRef | None:
        above = self.cell.supervisor
        return None if above is None else above.system.ref(above.address)

    @property
    def turn(self) -> Turn:
        """The turn being handled.

        Raises:
            TurnClosed: there is none: this incarnation is idle, or over.
        """
        turn = self.cell.turn
        if turn is None or turn.incarnation is not self:
            raise TurnClosed(self.cell.address)
        return turn

    def now(self) -> datetime:
        """The wall clock (UTC)."""
        return datetime.fromtimestamp(self.cell.system.runtime.now(), UTC)

    def random(self) -> Random:
        """A generator seeded by the turn: the same draws when the turn is run again."""
        return self.cell.system.runtime.random(self.turn.key)

    def stop(self, reason: ExitReason | None = None) -> None:
        """End this incarnation after the turn; state and mailbox stay."""
        turn = self.turn
        turn.check_open()
        if not turn.retiring:
            turn.exit = ExitReason.normal() if reason is None else storable(reason)
        turn.be_special()

    def retire(self) -> None:
        """End this incarnation after the turn, and delete state and mailbox in the turn's commit."""
        turn = self.turn
        turn.check_open()
        turn.exit = ExitReason.normal()
        turn.retiring = True
        turn.be_special()
        if self.cell.system.pending.scanning:
            turn.keyed = True  # the finish has something to wait for

    def monitor(self, ref: ActorRef) -> str:
        return self._intents().monitor(ref)

    def demonitor(self, monitor: str) -> None:
        self._intents().demonitor(monitor)

    def link(self, ref: ActorRef) -> None:
        self._intents().link(ref)

    def unlink(self, ref: ActorRef) -> None:
        self._intents().unlink(ref)

    def _intents(self) -> Intents:
        turn = self.turn
        turn.check_open()
        if turn.intents is None:
            turn.intents = Intents(turn)
            turn.be_special()
        return turn.intents

    def schedule(
        self,
        message: Message,
        *,
        after_s: float | None,
        every_s: float | None,
        cron: str | None,
        at: datetime | None,
        name: str | None,
        timezone: str | None,
    ) -> str:
        turn = self.turn
        turn.check_open()
        return Timing.of(turn).schedule(
            message, after_s=after_s, every_s=every_s, cron=cron, at=at, name=name, timezone=timezone
        )

    def cancel(self, name: str) -> bool:
        turn = self.turn
        turn.check_open()
        return Timing.of(turn).cancel(name)

    def stash(self) -> None:
        turn = self.turn
        turn.check_open()
        Stashing.of(turn).stash()

    def unstash_all(self) -> None:
        turn = self.turn
        turn.check_open()
        Stashing.of(turn).unstash_all()

    def join(self, group: str) -> None:
        """In memory, and at once."""
        if self.cell.incarnation is not self:
            raise TurnClosed(self.cell.address)
        self.cell.system.groups.join(self.cell.address, group)

    def leave(self, group: str) -> None:
        if self.cell.incarnation is not self:
            raise TurnClosed(self.cell.address)
        self.cell.system.groups.leave(self.cell.address, group)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """SQL of the user's own, committed together with the turn.

        First commits everything that the turn rests on, then holds the node's write slot until the *turn* ends;
        other turns go on,
        their commits queue. An exception that leaves the block fails the turn if it isn't caught; what was written
        is rolled back
        either way.

        Raises:
            RuntimeError: a second transaction in one turn.
            TransactionTimeout: the turn held the slot longer than `transaction_timeout_s`; it was rolled back.
            StoreFull, StoreUnavailable
        """
        turn = self.turn
        turn.check_open()
        if turn.held is not None:
            raise RuntimeError("a turn has one transaction; use the connection that you have")
        slot = self.cell.system.write_slot(turn)
        connection = await slot.open()
        try:
            yield connection
        except BaseException:  # a cancellation, too: who catches it, a time limit of the handler's own, goes on without
            slot.spoil()
            raise


def _forget_turn() -> None:
    current_turn.set(None)
