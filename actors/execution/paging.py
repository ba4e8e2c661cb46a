"""Paging: bodies are read from the store when their turn comes. A body that is no message becomes a dead letter."""

from __future__ import annotations

from contextlib import suppress

from ...persistence.errors import RecordCorrupt
from ...persistence.store.checksums import verify
from ...persistence.store.rows import MessageRow
from ..definition.decoding import decode_body
from ..kernel.cell import Cell
from ..kernel.errors import AskFailed
from ..kernel.failures import park
from ..kernel.kernel import Kernel
from ..mailbox.envelope import Ask, Envelope
from ..messages.errors import UndecodableMessage, UnhandledMessage, UnknownMessageType
from ..messages.message import Message
from ..messages.signals import ExitReason

__all__ = ("PAGE", "page_in", "prepare", "prepare_ahead", "printable", "refuse")

PAGE = 256
"""The number of bodies that are read at once from a backlog."""


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
    """Do the same before its turn, if the body is a message. If it isn't, it is parked in its turn."""
    assert envelope.body is not None
    with suppress(UnknownMessageType, UndecodableMessage):
        envelope.message = decode_body(cell, envelope.tag, envelope.body)


def refuse(cell: Cell, envelope: Envelope, error: Exception, cause: str) -> None:
    """Refuse a message that can't be handled whatever is tried: an asker is told, anything else is parked."""
    reason = ExitReason.from_exception(error)
    if isinstance(envelope, Ask):
        envelope.refuse(error if isinstance(error, UnhandledMessage) else AskFailed(cell.address, reason))
        return
    park(cell.kernel, envelope, reason, cause)


async def page_in(kernel: Kernel, ids: list[int]) -> dict[int, Envelope]:
    """Read bodies of a backlog. Damaged rows become dead letters, never a crash loop."""
    found: dict[int, Envelope] = {}
    for row in await kernel.store.messages(ids):
        try:
            envelope = Envelope.from_row(verify(row))
        except RecordCorrupt as error:
            damaged = Envelope.from_row(printable(row))
            park(kernel, damaged, ExitReason.from_exception(error), "corrupt")
            continue
        attempt = kernel.index.attempts_of(row.id)
        envelope.attempts = attempt
        found[row.id] = envelope
    return found


def printable(row: MessageRow) -> MessageRow:
    """Make a damaged row printable, because SQLite lets any program put anything into its columns."""
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
