"""Leaving: a turn that ends its incarnation, and may retire its actor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from ...persistence.store.rows import ActorRow, AttemptRow, MessageRow, Row
from ..mailbox.envelope import Envelope
from ..messages.signals import Exit, ExitReason
from .cell import STARTING, Cell
from .hooks import Owed, Participant
from .turn import Turn

__all__ = ("Leaving", "belongings", "row_ids")


def belongings(
    address: str, messages: Iterable[int], others: Iterable[tuple[type[Row], Any]]
) -> list[tuple[type[Row], Any]]:
    """All rows that belong to an address, by kind and key. They are deleted when its actor retires: by a turn or by
    administration, on a running node or without one.

    Monitors and links aren't among them, because they have two ends: an exit ends them. The row by which an actor
    is a child is its supervisor's.

    Args:
        messages: the ids of the messages that wait for it.
        others: rows of features, its timers say (`Extension.rows_of`).
    """
    rows: list[tuple[type[Row], Any]] = [(ActorRow, address)]
    for message in messages:
        rows += [(MessageRow, message), (AttemptRow, message)]
    return [*rows, *others]


def row_ids(cell: Cell) -> list[int]:
    """The rows of messages that wait in the mailbox, or for their moment."""
    entries = (*cell.mailbox.entries(), *cell.kernel.delayed.entries_of(cell.address))
    ids = (entry if isinstance(entry, int) else getattr(entry, "id", 0) for entry in entries)
    return [int(row_id) for row_id in ids if row_id]


class Leaving(Participant):
    """The exit that one turn decides."""

    rank: ClassVar[int] = 2

    def __init__(self, turn: Turn) -> None:
        self._turn = turn
        self._owed: Sequence[Owed] = ()

    def stop(self, reason: ExitReason) -> None:
        """End the incarnation after the turn; state and mailbox stay."""
        if not self._turn.retiring:
            self._turn.exit = reason

    def retire(self) -> None:
        """End the incarnation after the turn, and delete all that belongs to its address in the turn's commit."""
        turn = self._turn
        turn.exit = ExitReason.normal()
        turn.retiring = True
        if turn.cell.kernel.index.scanning:
            turn.waits = True

    async def ready(self) -> None:
        if self._turn.retiring:
            await self._turn.cell.kernel.index.complete()  # all of its mail is deleted, so all of it has to be known

    def prepare(self, inserts: list[Envelope], ahead: bool) -> int:
        turn, cell = self._turn, self._turn.cell
        kernel, size = cell.kernel, 0
        if turn.retiring:
            rows = belongings(cell.address, row_ids(cell), kernel.rows_of(cell.address))
            for kind, key in (*rows, *kernel.activator.retired(cell)):
                turn.delete(kind, key)
        if turn.exit is not None and (turn.message is not None or turn.retiring or cell.status is STARTING):
            end = Exit(cell.address, turn.incarnation.number, turn.exit, turn.uid, retired=turn.retiring)
            self._owed = kernel.owed(end, turn.after, ahead=ahead)
            for owed in self._owed:
                told, deletes, more = owed.entries(kernel.next_id)
                inserts += told
                size += more
                for kind, key in deletes:
                    turn.delete(kind, key)
        return size

    def apply(self) -> None:
        turn, cell = self._turn, self._turn.cell
        for owed in self._owed:
            owed.decided(turn.after)
        if turn.retiring:
            cell.retiring = True
            cell.kernel.forget(cell.address)
            cell.forget_mail({key for kind, key in turn.deletes or () if kind is MessageRow})
        if turn.exit is not None:
            cell.leaving = (turn.exit, turn.uid, 0)
