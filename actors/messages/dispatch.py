"""From a stored body back to a message; what can't be one becomes a dead letter."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from ...persistence.errors import RecordCorrupt
from ...persistence.store.rows import MessageRow, verify
from ..kernel.failures import park
from ..mailbox.envelope import Ask, Envelope
from .errors import AskFailed, UndecodableMessage, UnhandledMessage, UnknownMessageType
from .message import ENCODER, TAG_FIELD, Message, decoder_of, tag_of
from .signals import ExitReason

if TYPE_CHECKING:
    from ..kernel.cell import Cell
    from ..system import ActorSystem
    from .aliases import Receiver

__all__ = ("decode_body", "means", "page_in", "prepare", "prepare_ahead", "printable", "refuse", "round_trip")

encode = ENCODER.encode

PAGE = 256
"""Bodies read at once from a backlog."""


def prepare(cell: Cell, envelope: Envelope) -> Message | None:
    """The message of an envelope that came from the store, or None after parking it."""
    assert envelope.body is not None
    try:
        envelope.message = decode_body(cell, envelope.tag, envelope.body)
    except UnknownMessageType as error:
        refuse(cell, envelope, error, "unknown_type")
    except UndecodableMessage as error:
        refuse(cell, envelope, error, "undecodable")
    return envelope.message


def prepare_ahead(cell: Cell, envelope: Envelope) -> None:
    """The same before its turn, if it is one; what isn't is parked in its turn."""
    assert envelope.body is not None
    with suppress(UnknownMessageType, UndecodableMessage):
        envelope.message = decode_body(cell, envelope.tag, envelope.body)


def decode_body(receiver: Receiver, tag: str, body: bytes) -> Message:
    """The message that a stored body is to this actor.

    Raises:
        UnknownMessageType, UndecodableMessage
    """
    cls = receiver.definition.type_for(tag)
    renamed = cls is None
    if cls is None:
        cls = _renamed(receiver, tag)
        if cls is None:
            raise UnknownMessageType(receiver.address, tag, receiver.definition.by_tag)
    try:
        message: Message = decoder_of(cls).decode(_retagged(body, cls) if renamed else body)
    except Exception as error:
        raise UndecodableMessage(receiver.address, tag, str(error)) from None
    return message


def means(receiver: Receiver, tag: str, cls: type[Message]) -> bool:
    """Whether a stored tag is a message class's to this actor."""
    return (receiver.definition.type_for(tag) or _renamed(receiver, tag)) is cls


def _renamed(receiver: Receiver, tag: str) -> type[Message] | None:
    """The message class that a tag means by an alias; None if it means nothing."""
    tag_now = receiver.aliases.messages.get(tag)
    return None if tag_now is None else receiver.definition.type_for(tag_now)


def _retagged(body: bytes, cls: type[Message]) -> bytes:
    """The body of a message whose class was renamed, as one of the class now. The fields stay byte for byte."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return ENCODER.encode({**fields, TAG_FIELD: tag_of(cls)})


def round_trip(address: str, message: Message) -> tuple[bytes, Message]:
    """A message's bytes, and the message that they are.

    Raises:
        UndecodableMessage: it can't be encoded, or what it encodes to isn't one of its type (a field holds a wrong
            value).
    """
    cls = type(message)
    try:
        body = encode(message)
        copy: Message = (cls.__decoder__ or decoder_of(cls)).decode(body)
    except Exception as error:
        raise UndecodableMessage(address, tag_of(cls), str(error)) from error
    return body, copy


def refuse(cell: Cell, envelope: Envelope, error: Exception, cause: str) -> None:
    """A message that can't be handled whatever is tried: an asker is told, anything else is parked."""
    reason = ExitReason.from_exception(error)
    if isinstance(envelope, Ask):
        if not envelope.future.done():
            envelope.future.set_exception(
                error if isinstance(error, UnhandledMessage) else AskFailed(cell.address, reason)
            )
        return
    park(cell.system, envelope, reason, cause)


async def page_in(system: ActorSystem, ids: list[int]) -> dict[int, Envelope]:
    """Read bodies of a backlog. Damaged rows become dead letters, never a crash loop."""
    found: dict[int, Envelope] = {}
    for row in await system.store.messages(ids):
        try:
            envelope = Envelope.from_row(verify(row))
        except RecordCorrupt as error:
            damaged = Envelope.from_row(printable(row))
            park(system, damaged, ExitReason.from_exception(error), "corrupt")
            continue
        attempt = system.pending.attempts_of(row.id)
        envelope.attempts = attempt
        found[row.id] = envelope
    return found


def printable(row: MessageRow) -> MessageRow:
    """A damaged row whose columns may hold anything: what SQLite let somebody put there."""
    return MessageRow(
        id=row.id,
        address=str(row.address),
        priority=0,
        due=None,
        uid=str(row.uid),
        sender=str(row.sender),
        key=None if row.key is None else str(row.key),
        type=str(row.type),
        body=str(row.body),
    )
