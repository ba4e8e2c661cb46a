"""Batches: several waiting messages as one turn, for handlers that are declared with `list[...]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..definition.decoding import means
from ..kernel.turn import ANYTHING
from ..mailbox.envelope import Ask, Envelope
from ..messages.message import Message
from .paging import prepare

if TYPE_CHECKING:
    from ..definition.handlers import HandlerSpec
    from ..kernel.turn import Turn

__all__ = ("collect",)

BATCH_MAX = 100
"""The number of messages that a batch handler gets at most."""


def collect(turn: Turn, spec: HandlerSpec) -> list[Message]:
    """Collect the messages of a batch: those of its type that stand at the head of the mailbox."""
    cell, envelope = turn.cell, turn.envelope
    assert turn.message is not None
    messages = [turn.message]
    if envelope is None or isinstance(envelope, Ask):
        return messages
    turn.batch = [envelope]
    turn.eventful = ANYTHING
    caution = cell.kernel.caution
    if caution is not None and caution.suspect(envelope.uid):
        cell.alone = BATCH_MAX  # only its first message is on record: the others may be the guilty ones
        return messages
    if cell.alone:
        cell.alone -= 1
        return messages
    if envelope.attempts:
        return messages
    queue = cell.mailbox.queue
    while queue and len(messages) < BATCH_MAX:
        entry = queue[0]
        if type(entry) is not Envelope or entry.attempts or (caution is not None and caution.suspect(entry.uid)):
            break
        if entry.message is None and not means(cell, entry.tag, spec.message_type):
            break
        message = entry.message or prepare(cell, entry)  # a backlog from disk is decoded here
        if message is not None and type(message) is not spec.message_type:
            break
        queue.popleft()
        cell.mailbox.count -= 1
        if message is None:
            continue  # it didn't decode, and is parked
        turn.batch.append(entry)
        messages.append(message)
        turn.after = max(turn.after, entry.after)
    return messages
