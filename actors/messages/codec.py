"""Codec: a message's bytes, and the message that they are."""

from __future__ import annotations

from .errors import UndecodableMessage
from .message import ENCODER, Message, decoder_of, tag_of

__all__ = ("round_trip",)

encode = ENCODER.encode

_REMEDY = "Give each field a value of its declared type, one that JSON can carry"


def round_trip(address: str, message: Message) -> tuple[bytes, Message]:
    """A message's bytes, and the message that they are.

    Raises:
        UndecodableMessage: it can't be encoded, or its bytes don't decode to its type (a field holds a wrong value).
    """
    cls = type(message)
    try:
        body = encode(message)
        copy: Message = (cls.__decoder__ or decoder_of(cls)).decode(body)
    except Exception as error:
        raise UndecodableMessage(address, tag_of(cls), str(error), _REMEDY) from error
    return body, copy
