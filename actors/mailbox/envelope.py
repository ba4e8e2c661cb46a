"""Envelopes: a message on its way, with what the runtime must know of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
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

__all__ = ("Ask", "Envelope", "derived_uid", "seed_of", "uid_of")

NOTHING = Effects()
_HASH = blake2b(digest_size=16)


def derived_uid(parent: str, ordinal: int | str) -> str:
    """The uid of the n-th send of the turn `parent`: It is the same when the turn is run again."""
    return _hashed(f"{parent}/{ordinal}").hexdigest()


def seed_of(parent: str) -> Any:
    """The hash that all uids derived from `parent` begin with."""
    return _hashed(f"{parent}/")


def _hashed(text: str) -> blake2b:
    derived = _HASH.copy()  # in less time than a new one
    derived.update(text.encode())
    return derived


def uid_of(seed: Any, ordinal: int) -> str:
    """The same as `derived_uid`, from the seed of the parent."""
    derived: blake2b = seed.copy()
    derived.update(b"%d" % ordinal)
    return derived.hexdigest()


class Envelope(Told, msgspec.Struct, eq=False, gc=False):
    """A told message. Durable ones have a row, unless they are handled within the commit that would insert it."""

    __repr__ = object.__repr__  # that of a Struct says all that it holds

    # `Struct` makes one, with all attributes that each has, in one step of C. The garbage collector needn't look at it,
    # because it holds only data, and so is part of no circle.
    address: str
    uid: str
    message: Message | None
    """The object, or None while only the body is known."""
    tag: str
    body: bytes | None
    sender: str = ""
    """The address of the actor that told it; "" from outside."""
    id: int = 0
    """The sequence number: its place in the mailbox, and the row's id. It is 0 for a message without a row."""
    after: int = 0
    """The commit position that it rests on, which is that of its sender's turn."""
    key: str | None = None
    priority: int = 0
    due: float | None = None
    attempts: int = 0
    """The number of failed attempts so far."""

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


class Ask(Envelope, kw_only=True, gc=True):
    """A request whose sender waits. It has no row."""

    future: asyncio.Future[Any]
    """Gets the reply and the commit position it rests on, or a GreenroomError."""
    timeout_s: float
    asker: Any = None
    """The turn that waits; None for an outside caller."""
    at_fault: bool = False
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
