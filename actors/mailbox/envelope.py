"""Envelopes: a message on its way, with what the runtime must know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from loguru import logger

from ...persistence.commit.effects import Effects, Entry, Told
from ...persistence.errors import StoreDataError, StoreError, StoreUnavailable
from ...persistence.store.attempts import is_uid
from ...persistence.store.checksums import sealed
from ...persistence.store.rows import DeadLetterRow, MessageRow
from ..messages.message import Message
from ..messages.types import is_deeply_immutable

if TYPE_CHECKING:
    from ...persistence.commit.queue import CommitQueue

__all__ = ("Ask", "Envelope", "derived_uid")

NOTHING = Effects()


def derived_uid(parent: str, ordinal: int | str) -> str:
    """The uid of the n-th send of the turn `parent`: It is the same when the turn is run again."""
    return blake2b(f"{parent}/{ordinal}".encode(), digest_size=16).hexdigest()


class Envelope(Told):
    """A told message. Durable ones have a row, unless they are handled within the commit that would insert it."""

    # Attributes that each message has are in slots; an attribute that few have is a class attribute until it is set.
    __slots__ = ("__dict__", "address", "after", "body", "id", "message", "sender", "tag", "uid")

    key: str | None = None
    priority: int = 0
    due: float | None = None
    attempts: int = 0
    """The number of failed attempts so far."""

    def __init__(
        self, address: str, uid: str, message: Message | None, tag: str, body: bytes | None, sender: str = ""
    ) -> None:
        self.id = 0
        """The sequence number: its place in the mailbox, and the row's id. It is 0 for a message without a row."""
        self.address = address
        self.uid = uid
        self.sender = sender
        """The address of the actor that told it; "" from outside."""
        self.message = message
        """The object, or None while only the body is known."""
        self.tag = tag
        self.body = body
        self.after = 0
        """The commit position that it rests on, which is that of its sender's turn."""

    def forget_object(self) -> None:
        """Forget the object, because the handler has had it in its hands. The next attempt gets a new one, unless the
        handler can't have changed it."""
        if self.body is not None and self.message is not None and not is_deeply_immutable(type(self.message)):
            self.message = None

    def refused(self, entry: Entry, error: StoreDataError) -> Effects | None:
        """The database refuses it: the teller gets the error. A message that an actor told is its
        turn's to answer for."""
        if self.sender:
            return None
        logger.error("the database refused a {} told to {}: {}", self.tag, self.address, error)
        return NOTHING

    def row(self) -> MessageRow:
        assert self.body is not None
        return sealed(
            MessageRow,
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

    @classmethod
    def from_row(cls, row: MessageRow) -> Envelope:
        self = cls(row.address, row.uid, None, row.type, row.body.encode(), row.sender)
        self.id = row.id
        if row.key is not None:
            self.key = row.key
        if row.priority:
            self.priority = row.priority
        if row.due is not None:
            self.due = row.due
        return self

    @classmethod
    def from_letter(cls, letter: DeadLetterRow, new_uid: Callable[[], str]) -> Envelope:
        """Make a new message of a dead letter, without priority, key and failed attempts.

        Args:
            new_uid: called if the letter has no uid of its own, because its row was damaged.
        """
        uid = letter.uid if is_uid(letter.uid) else new_uid()
        return cls(letter.address, uid, None, letter.type, letter.body.encode(), letter.sender)


class Ask(Envelope):
    """A request whose sender waits. It has no row."""

    __slots__ = ("asker", "at_fault", "future", "timeout_s")

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
        self.id = self.after = 0
        self.address = address
        self.uid = uid
        self.sender = ""
        self.message = message
        self.tag = tag
        self.body = body
        self.future = future
        """Gets the reply and the commit position it rests on, or a GreenroomError."""
        self.timeout_s = timeout_s
        self.asker: Any = None
        """The turn that waits; None for an outside caller."""
        self.at_fault = False
        """Whether the database has refused what its turn wrote."""

    def answer(self, result: Any, after: int, commits: CommitQueue) -> None:
        """Hand the reply over: at once inside the node; to the outside after the commit that it rests on."""
        future = self.future
        if future.done():
            return
        if after <= commits.committed or self.asker is not None:
            future.set_result((result, after))
            return

        def gate(error: StoreError | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result((result, after))
            elif isinstance(error, StoreDataError) and not self.at_fault:
                why = "the database refused what another turn wrote before the reply; ask again"
                future.set_exception(StoreUnavailable(why))
            else:
                future.set_exception(error)

        commits.when(after, gate)

    def refuse(self, error: BaseException) -> None:
        """Let it end without a reply. Does nothing if it has an outcome already."""
        if not self.future.done():
            self.future.set_exception(error)
