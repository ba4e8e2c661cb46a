"""Wire errors: the reply of a node as a row, on its way to another process, errors included.

A reply row holds the reply's JSON, or an error's class name and text, with its attributes in the body. The client
raises the node's error, as far as it knows the class.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...persistence.errors import GreenroomError
from ...persistence.store.rows import ReplyRow
from ..delivery.errors import AskTimeout, MailboxFull
from ..kernel.errors import AskFailed, SystemStopped
from ..messages.errors import ActorError
from ..messages.message import ENCODER, Message
from ..messages.signals import ExitReason

__all__ = ("details_of", "error_of")


def details_of(error: GreenroomError) -> str:
    """The attributes of an error that are plain data, as JSON."""
    return ENCODER.encode({name: value for name, value in vars(error).items() if _is_plain(value)}).decode()


def error_of(reply: ReplyRow, address: str, message: Message) -> GreenroomError:
    """The error that a reply to `message` carries; an `AskFailed` if its class isn't known here."""
    name, _, text = reply.error.partition(": ")
    cls = ActorError.leaves.get(name)
    if cls is None:
        return AskFailed(address, ExitReason("error", error=name, text=text))
    found: dict[str, Any] = msgspec.json.decode(reply.body) or {}
    for field, value in found.items():
        if field == "reason" and isinstance(value, dict):
            found[field] = msgspec.convert(value, ExitReason)
        elif isinstance(value, list):
            found[field] = tuple(value)
    error = cls.__new__(cls)
    error.args = (text,)
    if issubclass(cls, MailboxFull | SystemStopped):
        found["undelivered"] = message
    elif cls is AskTimeout:
        found["request"] = message
    vars(error).update(found)
    return error


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(item, str) for item in value)
    return value is None or isinstance(value, str | int | float | ExitReason)
