"""Tell: the way of a told message, from the teller to the mailbox."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ...persistence.commit.effects import Effects
from ...persistence.home import Home
from ..kernel.cell import Cell
from ..kernel.errors import SystemStopped
from ..kernel.kernel import Kernel
from ..kernel.router import Router
from ..kernel.turn import Turn
from ..mailbox.envelope import Envelope
from ..messages.codec import is_shared, round_trip
from ..messages.message import Message, tag_of
from .admission import Admission
from .ask import Asks
from .errors import KeyUnsupported, MailboxFull
from .guard import NO_PRIORITY, check_message, checked_delay, checked_key, checked_priority
from .keys import KeyChanges, Keys
from .receipt import DONE, Receipt

__all__ = ("Delivery",)


class Delivery:
    """The way in, for tells from outside and from turns, and for asks."""

    def __init__(self, kernel: Kernel, router: Router, keys: Keys, asks: Asks) -> None:
        self.kernel = kernel
        self.home = kernel.part(Home)
        self.asks = asks
        self._router = router
        self._keys = keys

    # -- from outside --------------------------------------------------------------------------------

    def tell(self, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int) -> Receipt:
        """A tell from outside any turn."""
        if not isinstance(message, Message):
            check_message(message)
        kernel = self.kernel
        if kernel.over:
            raise SystemStopped(cell.address, message, kernel.gave_up)
        plain = key is None and delay_s is None and priority is NO_PRIORITY
        if not plain:
            key, delay_s, priority = _checked(cell, key, delay_s, priority)
        mailbox, commits = cell.mailbox, kernel.commits
        waits = mailbox.count >= cell.capacity or cell.admission is not None
        failure = commits.failure
        if not waits and plain:
            cls = type(message)
            if not cell.durable:
                if is_shared(cls):
                    mailbox.push(round_trip(cell.address, message)[1])
                    if not cell.queued:
                        cell.wake()
                    return DONE
            elif failure is None and kernel.caution is None:
                # The usual way: the work of `_envelope` and `accept`, in as few steps as there can be.
                body, message_then = round_trip(cell.address, message)
                envelope = Envelope(cell.address, kernel.next_uid(), message_then, tag_of(cls), body)
                envelope.id = kernel.next_id()
                position = envelope.after = commits.put(envelope, 200 + len(body))
                mailbox.push(envelope)
                if not cell.queued:
                    cell.wake()
                return Receipt(kernel, position, message)
        if failure is not None:
            raise kernel.refusal(failure, message)
        envelope = self._envelope(cell, message, key, delay_s, priority, kernel.next_uid())
        if key is not None or (waits and not delay_s):
            return self._admit(cell, envelope, message)
        return Receipt(kernel, self.accept(cell, envelope), message)

    def accept(
        self, cell: Cell, envelope: Envelope, deletes: Sequence[tuple[Any, Any]] = (), guilty: Any = None
    ) -> int:
        """Insert and deliver a tell from outside. Returns its position in the commit queue.

        Args:
            deletes: rows that go in the same commit.
            guilty: the party that answers if the database refuses the data; by default the envelope, and so the teller.

        Raises:
            StoreFull, StoreUnavailable: the store is broken at the moment.
        """
        kernel = self.kernel
        if not cell.durable:
            if deletes:
                kernel.commits.submit(Effects(deletes=deletes))
            self._router.arrive_late(cell, envelope)
            return 0
        envelope.id = kernel.next_id()
        assert envelope.body is not None
        size = 200 + len(envelope.body)
        if envelope.key is None and not deletes:
            position = kernel.commits.put(envelope, size)
        else:
            key = None if envelope.key is None else self._keys.row(envelope)
            rows = () if key is None else (key,)
            effects = Effects(inserts=(envelope,), rows=rows, deletes=deletes, guilty=guilty or envelope, size=size)
            position = kernel.commits.submit(effects)
            if key is not None:
                self._keys.remember(key, position)
        envelope.after = position
        if kernel.caution is not None:
            kernel.caution.after(position, partial(self._router.arrive_late, cell, envelope))
        else:
            self._router.arrive_late(cell, envelope)
        return position

    def _admit(self, cell: Cell, envelope: Envelope, message: Message) -> Receipt:
        """Put a tell in the line before its mailbox.

        Raises:
            MailboxFull: the actor's overflow is "reject", or as many wait in line as the mailbox holds.
        """
        capacity, line = cell.options.capacity, cell.admission
        full = cell.mailbox.count >= capacity
        if not isinstance(line, Admission):
            line = None
        if (full and cell.options.overflow == "reject") or (line is not None and len(line) >= capacity):
            raise MailboxFull(cell.address, capacity, message)
        if line is None:
            line = Admission(self.kernel, self._keys, cell, self.accept)
            cell.line_up(line)
        return Receipt(self.kernel, 0, message, line.join(envelope))

    def _envelope(
        self, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int, uid: str
    ) -> Envelope:
        # The bytes are the truth: the message that is handled now is the one that would be handled after a crash.
        cls = type(message)
        body, copy = round_trip(cell.address, message)
        envelope = Envelope(cell.address, uid, copy, tag_of(cls), body if cell.durable or not is_shared(cls) else None)
        if key is not None:
            envelope.key = key
        if priority:
            envelope.priority = priority
        if delay_s:
            envelope.due = self.kernel.runtime.now() + delay_s
        return envelope

    # -- from a turn -----------------------------------------------------------------------------------

    def tell_in_turn(
        self, turn: Turn, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int
    ) -> None:
        """Add a tell to the turn: it leaves when the turn finishes."""
        if not isinstance(message, Message):
            check_message(message)
        plain = key is None and delay_s is None and priority is NO_PRIORITY
        if plain and cell.durable:
            body, message = round_trip(cell.address, message)
            envelope = Envelope(cell.address, turn.next_uid(), message, type(message).__tag__, body, turn.cell.address)
        else:
            if not plain:
                key, delay_s, priority = _checked(cell, key, delay_s, priority)
            envelope = self._envelope(cell, message, key, delay_s, priority, turn.next_uid())
            envelope.sender = turn.cell.address
            if key is not None:
                turn.part(KeyChanges)
        turn.send(cell, envelope)


def _checked(cell: Cell, key: str | None, delay_s: float | None, priority: int) -> tuple[str | None, float | None, int]:
    """
    Raises:
        TypeError, ValueError: a value that is none; or a key for a mailbox without rows.
    """
    if key is not None:
        key = checked_key(key)
        if not cell.durable:
            raise KeyUnsupported(cell.address, key)
    return key, None if delay_s is None else checked_delay(delay_s), checked_priority(priority)
