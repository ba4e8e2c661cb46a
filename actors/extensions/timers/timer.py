"""Timer: one message that an actor sends to itself, once or again and again, as its row has it and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ....persistence.store.checksums import seal, verify
from ....persistence.store.rows import TimerRow
from ...mailbox.envelope import Envelope, derived_uid
from .schedule import Schedule

if TYPE_CHECKING:
    from ...messages.message import Message

__all__ = ("TIMERS_MAX", "Timer")

TIMERS_MAX = 10_000
"""The number of timers that one actor may have."""

_RULES = msgspec.json.Decoder(Schedule)


class Timer:
    """One timer of one actor. It is immutable but for its due time, and for where it waits."""

    __slots__ = ("address", "body", "due", "holder", "message", "name", "place", "schedule", "stored", "tag", "told")

    def __init__(
        self,
        address: str,
        name: str,
        due: float,
        schedule: Schedule,
        tag: str,
        body: bytes,
        message: Message | None,
        stored: bool,
    ) -> None:
        self.address = address
        self.name = name
        self.due = due
        """The next due time, in epoch seconds."""
        self.schedule = schedule
        self.tag = tag
        self.body = body
        self.message = message
        """The object, if no handler can change it; else each tick is decoded from the body."""
        self.stored = stored
        """Whether it has a row, and so holds over the end of the incarnation and of the node."""
        self.place = 0
        """The place of its entry in the heap; 0 while it isn't there."""
        self.holder: object = None
        """The turn that may cancel or replace it. The timer doesn't tick until that turn ends."""
        self.told = False
        """Whether a tick waits in the mailbox of its actor, which doesn't run, while the timer sleeps."""

    def row(self, due: float) -> TimerRow:
        rule = msgspec.json.encode(self.schedule).decode()
        return seal(TimerRow(self.address, self.name, due, rule, self.tag, self.body.decode()))

    @classmethod
    def from_row(cls, row: TimerRow) -> Timer:
        """
        Raises:
            RecordCorrupt: it is damaged. msgspec.MsgspecError: its rule isn't one.
        """
        verify(row)
        body = row.body.encode()
        return cls(row.address, row.name, row.due, _RULES.decode(row.rule), row.type, body, None, True)

    def tick(self) -> Envelope:
        """The message for the timer's present due time."""
        identity = self.schedule.id or f"{self.address}/{self.name}"
        body = self.body if self.stored or self.message is None else None
        envelope = Envelope(self.address, derived_uid(identity, f"due {self.due!r}"), self.message, self.tag, body)
        envelope.sender = self.address
        return envelope
