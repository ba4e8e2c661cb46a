"""Exits: how an incarnation ends by itself, and who is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..persistence.errors import StoreError
from .envelope import Ask, Envelope
from .errors import AskFailed, HandlerTimeout, StartFailed, TransactionTimeout
from .exits import Exited, ExitReason
from .failures import charge, park
from .lifecycle import cut_off, run_on_stop
from .status import DOWN, STOPPING, UP

if TYPE_CHECKING:
    from .cell import Cell
    from .system import ActorSystem
    from .turn import Turn

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
            system.delays.drop(cell.address)
            system.remove(cell)
            cell.refuse_asks()
        self._publish(cell, number, reason, retired)
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
            charge(cell, envelope, reason, cause="failed")
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
