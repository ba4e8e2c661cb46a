"""Tick: answers for the data of a timer's tick."""

from __future__ import annotations

from ....persistence.commit.effects import Effects, Entry
from ....persistence.errors import StoreDataError
from ...kernel.failures import letter_effects, report_parked
from ...kernel.kernel import Kernel
from ...mailbox.envelope import Envelope
from ...messages.signals import ExitReason

__all__ = ("Tick",)


class Tick:
    """Answers for the data of one tick, if the database refuses them. The tick becomes a dead letter, and
    the timer goes on."""

    __slots__ = ("_kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def refused(self, entry: Entry, error: StoreDataError) -> Effects | None:
        assert isinstance(entry, Effects)
        if not entry.inserts:
            return None
        envelope = entry.inserts[0]
        assert isinstance(envelope, Envelope)
        reason = ExitReason.from_exception(error)
        report_parked(self._kernel, envelope, reason, "failed")
        letter = letter_effects(self._kernel, envelope, reason, "failed")
        return Effects(rows=(*entry.rows, *letter.rows), deletes=entry.deletes)
