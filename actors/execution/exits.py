"""Exits: how an incarnation ends by itself, and how others are told."""

from __future__ import annotations

from ...persistence.errors import StoreError
from ..kernel.cell import DOWN, STOPPING, UP, Cell
from ..kernel.errors import AskFailed, HandlerTimeout, StartFailed, TransactionTimeout
from ..kernel.failures import charge, park
from ..kernel.incarnation import Incarnation
from ..kernel.kernel import Kernel
from ..kernel.router import Router
from ..kernel.turn import Turn
from ..mailbox.envelope import Ask, Envelope
from ..messages.signals import Exit, Exited, ExitReason
from .hook_turns import run_on_stop
from .shutdown import cut_off

__all__ = ("Exits",)


class Exits:
    """Ends incarnations of one node that end by themselves."""

    def __init__(self, kernel: Kernel, router: Router) -> None:
        self._kernel = kernel
        self._router = router

    async def leave(self, cell: Cell) -> None:
        """Leave, because a turn has ended the incarnation: run `on_stop`, then tell the supervisor."""
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
        kernel = self._kernel
        cell.last_exit = number
        retired, cell.retiring = cell.retiring, False
        cell.fence(DOWN)
        if retired:
            self._router.remove(cell)
            cell.refuse_asks()
            self._router.hand_on(cell)
        self._publish(cell, number, reason, retired)
        if kernel.hooks.concerns(cell.address):  # `exited` looks as well; this spares the usual restart its data
            kernel.exited(cell, Exit(cell.address, number, reason, uid, attempt, retired))
        if cell.supervisor is None:
            kernel.root_exited(reason)
            return
        signal = Exited(
            address=cell.address,
            boot=kernel.boot,
            incarnation=number,
            reason=reason,
            message_uid=uid or None,
            attempt=attempt,
        )
        self._router.post(cell.supervisor, signal)

    def exit_by_link(self, cell: Cell, reason: ExitReason) -> None:
        """End an actor that is up, because an exit signal came over a link. It exits for the signal's reason."""
        assert cell.incarnation is not None
        cell.status = STOPPING  # no new turn
        cell.incarnation.begin_end()
        self._kernel.background(self._exit_by_link(cell, cell.incarnation, reason), f"greenroom exit of {cell.address}")

    async def _exit_by_link(self, cell: Cell, incarnation: Incarnation, reason: ExitReason) -> None:
        """Cut the running turn off, without a charge to its message. After that it is like every exit.

        A supervisor that stops the actor meanwhile waits for this (shutdown.py).
        """
        try:
            await self._end_by_link(cell, incarnation, reason)
        finally:
            incarnation.finish_end()

    async def _end_by_link(self, cell: Cell, incarnation: Incarnation, reason: ExitReason) -> None:
        if cell.incarnation is not incarnation:
            return  # reset before this task has begun
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
        """Publish the exit: a failure at once; an end that a turn decided, after the commit of that turn."""
        events, commits = self._kernel.events, self._kernel.commits

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
            commits.when(cell.after, emit)

    async def cut_off(self, turn: Turn, error: HandlerTimeout | TransactionTimeout) -> None:
        """Cancel a handler whose time is up. If it swallows that, abandon it, and let the actor exit."""
        cell = turn.cell
        number = turn.incarnation.number
        if await cut_off(turn, lambda: error):
            return
        reason = ExitReason.from_exception(error)
        envelope = turn.envelope
        attempts = 0
        if envelope is not None and not isinstance(envelope, Ask):
            end = Exit(cell.address, number, reason, turn.uid, envelope.attempts + 1)
            owed = self._kernel.owed(end, turn.after) if cell.status is UP else ()
            charge(cell, envelope, reason, cause="failed", owed=owed)
            attempts = envelope.attempts
        if cell.status is UP:
            self.ended(cell, number, reason, turn.uid, attempts)

    def start_refused(self, cell: Cell, reason: ExitReason, *, final: bool) -> None:
        """Charge the message by which an actor should have been started, because the start failed."""
        kernel = self._kernel
        kernel.events.emit("actor.start_failed", cell.address, error=reason.error, text=reason.text)
        if not cell.mailbox.count:
            return
        entry = cell.mailbox.pop()
        if isinstance(entry, Ask):
            error = StartFailed(cell.address, reason)
            entry.refuse(AskFailed(cell.address, ExitReason.from_exception(error)))
        elif isinstance(entry, Envelope):
            if final:
                park(kernel, entry, reason, "no_actor")
            else:
                charge(cell, entry, reason, cause="start_failed")
        elif not isinstance(entry, int):
            charge(cell, kernel.wrap(cell.address, entry), reason, cause="start_failed")
