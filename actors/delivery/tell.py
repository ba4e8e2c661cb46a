"""Delivery: what was told, from the teller to the mailbox."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ...persistence.commit.effects import Effects
from ...persistence.errors import StoreError
from ..kernel.errors import ActorNotFound, SystemStopped
from ..kernel.failures import park
from ..kernel.status import GONE, STARTING, UP
from ..kernel.turn import Turn
from ..mailbox.envelope import Ask, Envelope, derived_uid
from ..mailbox.mailbox import SYSTEM
from ..messages.codec import round_trip
from ..messages.errors import NotAMessage
from ..messages.message import Message, tag_of
from ..messages.signals import ExitReason
from ..messages.types import is_deeply_immutable
from .admission import admit_slowly
from .ref import DONE, Receipt

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..system import ActorSystem

__all__ = ("KEY_LENGTH_MAX", "Delivery")

KEY_LENGTH_MAX = 500


class Delivery:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._waiting: dict[int, Callable[[], object]] = {}
        """What arrives when it is on disk, in the order told; only while suspects exist."""
        self._waits = 0

    # -- from outside --------------------------------------------------------------------------------

    def tell(self, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int) -> Receipt:
        """A tell from outside any turn."""
        if not isinstance(message, Message):
            raise NotAMessage(message)
        system = self._system
        if system.over:
            raise SystemStopped(cell.address, message)
        mailbox, committer = cell.mailbox, system.committer
        waits = mailbox.count >= cell.capacity or cell.admission is not None
        failure = committer.failure
        if not (waits or priority or delay_s or key is not None):
            cls = type(message)
            if not cell.durable:
                if cls.__immutable__ or is_deeply_immutable(cls):
                    mailbox.push(message)
                    if not cell.queued:
                        cell.wake()
                    return DONE
            elif failure is None and not system.cautious:
                # The usual way: what `_envelope` and `accept` do, in as few steps as there can be.
                body, message_then = round_trip(cell.address, message)
                envelope = Envelope(cell.address, system.next_uid(), message_then, tag_of(cls), body)
                envelope.id = system.next_id()
                position = envelope.after = committer.put(envelope, 200 + len(body))
                mailbox.push(envelope)
                if not cell.queued:
                    cell.wake()
                return Receipt(system, position, message)
        if failure is not None:
            raise system.recovery.refusal(failure, message)
        envelope = self._envelope(cell, message, key, delay_s, priority, system.next_uid())
        if key is not None or (waits and not delay_s):
            return admit_slowly(system, cell, envelope, message)
        return Receipt(system, self.accept(cell, envelope), message)

    def accept(self, cell: Cell, envelope: Envelope, deletes: Sequence[tuple[Any, Any]] = ()) -> int:
        """Insert and deliver a tell from outside; returns its position in the commit order.

        Raises:
            StoreFull, StoreUnavailable: the store is broken at the moment.
        """
        system = self._system
        if not cell.durable:
            if deletes:
                system.committer.submit(Effects(deletes=deletes))
            self._arrive(cell, envelope)
            return 0
        envelope.id = system.next_id()
        assert envelope.body is not None
        size = 200 + len(envelope.body)
        if envelope.key is None and not deletes:
            position = system.committer.put(envelope, size)
        else:
            key = None if envelope.key is None else system.keys.row(envelope)
            rows = () if key is None else (key,)
            position = system.committer.submit(Effects(inserts=(envelope,), rows=rows, deletes=deletes, size=size))
            if key is not None:
                system.keys.remember(key, position)
        envelope.after = position
        if system.cautious:
            self.wait_for(position, lambda: self._arrive_late(cell, envelope))
        else:
            self._arrive(cell, envelope)
        return position

    def _envelope(
        self, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int, uid: str
    ) -> Envelope:
        # The bytes are the truth: what is handled now is what would be handled after a crash.
        cls = type(message)
        body = None
        if cell.durable or not (cls.__immutable__ or is_deeply_immutable(cls)):
            body, message = round_trip(cell.address, message)
        envelope = Envelope(cell.address, uid, message, tag_of(cls), body)
        if key is not None:
            envelope.key = _checked_key(key, cell)
        if priority:
            envelope.priority = _checked_priority(priority)
        if delay_s:
            envelope.due = self._system.runtime.now() + _checked_delay(delay_s)
        return envelope

    # -- from a turn -----------------------------------------------------------------------------------

    def tell_in_turn(
        self, turn: Turn, cell: Cell, message: Message, key: str | None, delay_s: float | None, priority: int
    ) -> None:
        """Part of the turn: it leaves when the turn finishes."""
        if not isinstance(message, Message):
            raise NotAMessage(message)
        if key is None and not delay_s and not priority and cell.durable:
            body, message = round_trip(cell.address, message)
            tag = tag_of(type(message))
            turn.ordinal = ordinal = turn.ordinal + 1
            uid = derived_uid(turn.uid or turn.key, ordinal)
            envelope = Envelope(cell.address, uid, message, tag, body, turn.cell.address)
        else:
            envelope = self._envelope(cell, message, key, delay_s, priority, turn.next_uid())
            envelope.sender = turn.cell.address
        turn.send(cell, envelope)

    def deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        """The sends of a finished turn, into the mailboxes of their receivers."""
        if self._system.cautious and after > self._system.committer.committed:
            # No lambda: the variables that it closes over would cost every turn.
            self.wait_for(after, partial(self._deliver, sender, sends, after))
        else:
            self._deliver(sender, sends, after)

    def _deliver(self, sender: Cell, sends: list[tuple[Cell, Envelope]], after: int) -> None:
        for receiver, envelope in sends:
            cell: Cell | None = receiver
            envelope.after = after
            if receiver.status is GONE:
                cell = self._successor(envelope)
                if cell is None:
                    continue
            assert cell is not None
            if envelope.due is None:
                cell.push(envelope, envelope.priority)
            else:
                self._system.delays.delay(cell.address, envelope, envelope.due)
            if cell.mailbox.count > cell.capacity:
                self._hold_back(sender, cell)

    def _successor(self, envelope: Envelope) -> Cell | None:
        """The receiver retired after it was told: whoever has the address now, else the message is parked."""
        try:
            return self._system.resolve(envelope.address)
        except ActorNotFound as error:
            park(self._system, envelope, ExitReason.from_exception(error), "no_actor")
            return None

    def hand_on(self, cell: Cell) -> None:
        """What came to an actor after the turn that retired it, before it was gone."""
        for entry in list(cell.mailbox.entries()):
            if isinstance(entry, Envelope) and type(entry) is not Ask:
                heir = self._successor(entry)
                if heir is not None:
                    heir.push(entry, entry.priority)

    # -- while suspects exist ----------------------------------------------------------------------------

    def wait_for(self, position: int, arrive: Callable[[], object]) -> None:
        """Let it arrive once its position is on disk."""
        self._waits += 1
        number = self._waits
        self._waiting[number] = arrive

        def landed(error: StoreError | None) -> None:
            arrive = self._waiting.pop(number, None)
            if arrive is not None and error is None:
                arrive()

        self._system.committer.when(position, landed)

    def hurry(self) -> None:
        """No suspects exist any more: what waits for its commit arrives now. Nothing told from here on may pass it."""
        waiting, self._waiting = self._waiting, {}
        for arrive in waiting.values():
            arrive()

    def _arrive_late(self, cell: Cell, envelope: Envelope) -> None:
        """Its receiver may have left memory meanwhile, or retired."""
        receiver = self._successor(envelope) if cell.status is GONE else cell
        if receiver is not None:
            self._arrive(receiver, envelope)

    # -- arrival -----------------------------------------------------------------------------------------

    def _arrive(self, cell: Cell, envelope: Envelope) -> None:
        if envelope.due is not None:
            self._system.delays.delay(cell.address, envelope, envelope.due)
        else:
            cell.push(envelope, envelope.priority)

    def redeliver(self, address: str, entry: Envelope | int) -> None:
        """A delayed or retried message whose moment has come."""
        try:
            cell = self._system.resolve(address)
        except ActorNotFound:
            self._system.pending.keep(address, entry if isinstance(entry, int) else entry.id)
            return
        cell.push(entry, getattr(entry, "priority", 0))

    def post(self, cell: Cell, signal: Message, *, urgent: bool = True) -> None:
        """A system signal; no capacity limits it. An urgent one passes every message."""
        cell.push(signal, SYSTEM if urgent else 0)

    def wrap(self, cell: Cell, message: Message) -> Envelope:
        """An envelope for a message that travelled without one."""
        return Envelope(cell.address, self._system.next_uid(), message, tag_of(type(message)), None)

    # -- back-pressure -----------------------------------------------------------------------------------

    def _hold_back(self, sender: Cell, receiver: Cell) -> None:
        """Don't schedule a sender until its receiver has room; never in a circle, and never for one that is down."""
        if sender.blocked_by is not None or receiver.status not in (UP, STARTING):
            return
        other: Cell | None = receiver
        while other is not None:
            if other is sender:
                return
            other = other.blocked_by
        sender.blocked_by = receiver

        def release() -> None:
            if sender.blocked_by is receiver:
                sender.blocked_by = None
                sender.wake()

        self.when_room(receiver, release)

    def when_room(self, cell: Cell, callback: Callable[[], object]) -> None:
        """Call back when the mailbox is under its capacity, or its actor stops."""
        if cell.on_room is None:
            cell.on_room = []
        cell.on_room.append(callback)


def _checked_key(key: str, cell: Cell) -> str:
    if not cell.durable:
        raise ValueError(f"{cell.address} is durable=False: an idempotency key needs a durable mailbox")
    if not isinstance(key, str):
        raise TypeError(f"key={key!r}: an idempotency key is a str")
    if not 0 < len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise ValueError(f"key={key!r}: an idempotency key is printable, and 1 to {KEY_LENGTH_MAX} characters")
    return str.__str__(key)  # a subclass's instance has no place in a row


def _checked_priority(priority: int) -> int:
    if not isinstance(priority, int) or isinstance(priority, bool):
        raise TypeError(f"priority={priority!r}: a priority is an int")
    if abs(priority) >= SYSTEM:
        raise ValueError(f"priority={priority!r}: a priority lies within ±{SYSTEM - 1}")
    return int(priority)


def _checked_delay(delay_s: float) -> float:
    if not isinstance(delay_s, int | float) or isinstance(delay_s, bool):
        raise TypeError(f"delay_s={delay_s!r}: a delay is a number of seconds")
    if not 0 <= delay_s < math.inf:
        raise ValueError(f"delay_s={delay_s!r}: a delay is finite and not negative")
    return delay_s
