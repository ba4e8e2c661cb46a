"""Exits: how an incarnation ends by itself, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...persistence.errors import StoreError
from ..kernel.errors import AskFailed, HandlerTimeout, StartFailed, TransactionTimeout
from ..kernel.failures import charge, park
from ..kernel.status import DOWN, STOPPING, UP
from ..mailbox.envelope import Ask, Envelope
from ..messages.signals import Exit, Exited, ExitReason
from .lifecycle import cut_off, run_on_stop

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..kernel.incarnation import Incarnation
    from ..kernel.turn import Turn
    from ..system import ActorSystem

__all__ = ("Exits",)


class Exits:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system

    async def leave(self, cell: Cell) -> None:
        """A turn has ended the incarnation: run `on_stop`, then tell the supervisor."""
        assert cell.leaving is not None
        (reason, uid, attempt), cell.leaving = cell.leaving, None
        incarnation = cell.incarnation
        cell.status = STOPPING
        number = cell.last_exit
        if incarnation is not None:
            number = incarnation.number
            if not cell.retiring:
                reason = await run_on_stop(cell, incarnation, reason, cell.options.handler_timeout_s)
            if cell.incarnation is not incarnation:
                return  # reset meanwhile
        self.ended(cell, number, reason, uid, attempt)

    def ended(self, cell: Cell, number: int, reason: ExitReason, uid: str = "", attempt: int = 0) -> None:
        """Record the end of an incarnation and tell the supervisor."""
        system = self._system
        cell.last_exit = number
        retired, cell.retiring = cell.retiring, False
        cell.fence(DOWN)
        if retired:
            system.remove(cell)
            cell.refuse_asks()
            system.delivery.hand_on(cell)
        self._publish(cell, number, reason, retired)
        self.announce(cell, number, reason, uid, attempt, retired=retired)
        if cell.supervisor is None:
            system.recovery.root_exited(reason)
            return
        signal = Exited(
            address=cell.address,
            boot=system.boot,
            incarnation=number,
            reason=reason,
            message_uid=uid or None,
            attempt=attempt,
        )
        system.delivery.post(cell.supervisor, signal)

    def announce(
        self, cell: Cell, number: int, reason: ExitReason, uid: str = "", attempt: int = 0, *, retired: bool = False
    ) -> None:
        """An incarnation is over: it leaves its groups, and who monitors it or is linked to it hears of it."""
        groups, monitors = self._system.groups, self._system.monitors
        if cell.address in groups.joined:
            groups.drop(cell.address)
        if monitors.owed or cell.address in monitors.bound:
            end = Exit(cell.address, number, reason, uid, attempt)
            monitors.ended(end, cell.after, durable=cell.durable, retired=retired)

    def fell(self, cell: Cell, reason: ExitReason) -> None:
        """An exit signal came over a link: the actor, which is up, exits for the same reason."""
        assert cell.incarnation is not None
        cell.status = STOPPING  # no new turn
        self._system.background(self._fall(cell, cell.incarnation, reason), f"greenroom exit of {cell.address}")

    async def _fall(self, cell: Cell, incarnation: Incarnation, reason: ExitReason) -> None:
        """Cut the running turn off, without a charge to its message; then as every exit."""
        abandoned = cell.turn is not None and not await cut_off(cell.turn, lambda: None)
        if cell.status is not STOPPING or cell.incarnation is not (None if abandoned else incarnation):
            return  # stopped by its supervisor, or reset, meanwhile
        uid, attempt = "", 0
        if not abandoned:
            if cell.leaving is not None:  # its turn had decided to end it
                (reason, uid, attempt), cell.leaving = cell.leaving, None
            if not cell.retiring:
                reason = await run_on_stop(cell, incarnation, reason, cell.options.handler_timeout_s)
            if cell.incarnation is not incarnation:
                return
        self.ended(cell, incarnation.number, reason, uid, attempt)

    def _publish(self, cell: Cell, number: int, reason: ExitReason, retired: bool) -> None:
        """Failures at once; an end that a turn decided, after the commit of that turn."""
        events, committer = self._system.events, self._system.committer

        def emit(lost: StoreError | None = None) -> None:
            if lost is not None:
                return
            events.emit(
                "actor.exited",
                cell.address,
                incarnation=number,
                kind=reason.kind,
                error=reason.error,
                text=reason.text,
                traceback=reason.traceback,
            )
            if retired:
                events.emit("actor.retired", cell.address)

        if reason.kind in ("error", "killed"):
            emit()
        else:
            committer.when(cell.after, emit)

    async def cut_off(self, turn: Turn, error: HandlerTimeout | TransactionTimeout) -> None:
        """A handler's time is up: cancel it; if it swallows that, abandon it, and let the actor exit."""
        cell = turn.cell
        number = turn.incarnation.number
        if await cut_off(turn, lambda: error):
            return
        reason = ExitReason.from_exception(error)
        envelope = turn.envelope
        attempts = 0
        if envelope is not None and not isinstance(envelope, Ask):
            end = Exit(cell.address, number, reason, turn.uid, envelope.attempts + 1)
            ending = self._system.monitors.ending(end, turn.after) if cell.status is UP else None
            charge(cell, envelope, reason, cause="failed", ending=ending)
            attempts = envelope.attempts
        if cell.status is UP:
            self.ended(cell, number, reason, turn.uid, attempts)

    def start_refused(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """An actor that its first message should have started didn't start: that message is charged."""
        system = self._system
        system.events.emit("actor.start_failed", cell.address, error=reason.error, text=reason.text)
        if not cell.mailbox.count:
            return
        entry = cell.mailbox.pop()
        if isinstance(entry, Ask):
            if not entry.future.done():
                error = StartFailed(cell.address, reason)
                entry.future.set_exception(AskFailed(cell.address, ExitReason.from_exception(error)))
        elif isinstance(entry, Envelope):
            if final:
                park(system, entry, reason, "no_actor")
            else:
                charge(cell, entry, reason, cause="start_failed")
        elif not isinstance(entry, int):
            charge(cell, system.delivery.wrap(cell, entry), reason, cause="start_failed")
