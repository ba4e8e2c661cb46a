"""Decoding: from a stored body to the message that it is for an actor of a class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from ..messages.errors import UndecodableMessage, UnknownMessageType
from ..messages.message import ENCODER, TAG_FIELD, Message, decoder_of, tag_of

if TYPE_CHECKING:
    from ..messages.aliases import Aliases
    from .definition import Definition

__all__ = ("Receiver", "decode_body", "means")


class Receiver(Protocol):
    """An actor for which stored rows are read."""

    @property
    def address(self) -> str: ...

    @property
    def definition(self) -> Definition: ...

    @property
    def aliases(self) -> Aliases: ...


def decode_body(receiver: Receiver, tag: str, body: bytes) -> Message:
    """The message that a stored body is for this actor.

    Raises:
        UnknownMessageType, UndecodableMessage
    """
    cls = receiver.definition.type_for(tag)
    renamed = cls is None
    if cls is None:
        cls = _renamed(receiver, tag)
        if cls is None:
            raise _unknown(receiver, tag)
    try:
        message: Message = decoder_of(cls).decode(_retagged(body, cls) if renamed else body)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a message's own `__post_init__`
        raise UndecodableMessage(receiver.address, tag, str(error)) from None
    return message


def _unknown(receiver: Receiver, tag: str) -> UnknownMessageType:
    definition = receiver.definition
    return UnknownMessageType(
        receiver.address, tag, definition.by_tag, is_supervisor=getattr(definition.cls, "_supervises", False)
    )


def means(receiver: Receiver, tag: str, cls: type[Message]) -> bool:
    """Whether a stored tag means this message class to this actor."""
    return (receiver.definition.type_for(tag) or _renamed(receiver, tag)) is cls


def _renamed(receiver: Receiver, tag: str) -> type[Message] | None:
    """The message class that a tag means by an alias; None if it means nothing."""
    tag_now = receiver.aliases.messages.get(tag)
    return None if tag_now is None else receiver.definition.type_for(tag_now)


def _retagged(body: bytes, cls: type[Message]) -> bytes:
    """The body of a message whose class was renamed, as a body of the class now. The fields stay byte for byte."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return ENCODER.encode({**fields, TAG_FIELD: tag_of(cls)})
