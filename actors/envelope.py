"""Envelopes: a message on its way, with what the runtime must know of it."""

from __future__ import annotations

import asyncio
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..persistence.record import MessageRow, checksum
from .message import Message
from .types import is_deeply_immutable

if TYPE_CHECKING:
    from .turn import Turn

__all__ = ("Ask", "Envelope", "derived_uid")


def derived_uid(parent: str, ordinal: int | str) -> str:
    """The uid of the n-th send of the turn `parent`: the same when the turn is run again."""
    return blake2b(f"{parent}/{ordinal}".encode(), digest_size=16).hexdigest()


class Envelope:
    """A told message. Durable ones have a row, unless they are handled within the commit that would insert it."""

    __slots__ = (
        "address",
        "after",
        "attempts",
        "body",
        "due",
        "id",
        "key",
        "message",
        "priority",
        "sender",
        "tag",
        "uid",
    )

    def __init__(self, address: str, uid: str, message: Message | None, tag: str, body: bytes | None) -> None:
        self.id = 0
        """Sequence number: place in the mailbox, and row id; 0 for one without a row."""
        self.address = address
        self.uid = uid
        self.sender = ""
        self.key: str | None = None
        self.priority = 0
        self.due: float | None = None
        self.message = message
        """The object, or None while only the body is known."""
        self.tag = tag
        self.body = body
        self.after = 0
        """The position that it rests on: its sender's turn."""
        self.attempts = 0
        """Failed ones so far."""

    def forget_object(self) -> None:
        """The handler has had the object in its hands: unless that can't have changed it, the next attempt gets a
        new one."""
        if self.body is not None and self.message is not None and not is_deeply_immutable(type(self.message)):
            self.message = None

    def row(self) -> MessageRow:
        assert self.body is not None
        fields = (
            self.id,
            self.address,
            self.priority,
            self.due,
            self.uid,
            self.sender,
            self.key,
            self.tag,
            self.body.decode(),
        )
        row = MessageRow(*fields)
        return row._replace(crc=checksum(row))

    @classmethod
    def from_row(cls, row: MessageRow) -> Envelope:
        self = cls(row.address, row.uid, None, row.type, row.body.encode())
        self.id = row.id
        self.sender = row.sender
        self.key = row.key
        self.priority = row.priority
        self.due = row.due
        return self


class Ask(Envelope):
    """A request whose sender waits. It has no row."""

    __slots__ = ("asker", "future", "timeout_s")

    def __init__(
        self,
        address: str,
        uid: str,
        message: Message | None,
        tag: str,
        body: bytes | None,
        future: asyncio.Future[Any],
        timeout_s: float,
    ) -> None:
        self.id = self.priority = self.after = self.attempts = 0
        self.address = address
        self.uid = uid
        self.sender = ""
        self.key = self.due = None
        self.message = message
        self.tag = tag
        self.body = body
        self.future = future
        """Gets the reply and the position it rests on, or an UnderstudyError."""
        self.timeout_s = timeout_s
        self.asker: Turn | None = None
        """The turn that waits; None for an outside caller."""
