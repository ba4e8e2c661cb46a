"""Codec: a message's bytes, and the message that they are."""

from __future__ import annotations

from typing import Any, Final

from .difference import first_difference
from .errors import UndecodableMessage
from .message import ENCODER, Message, decoder_of, tag_of
from .types import is_deeply_immutable

__all__ = ("AS_IT_IS", "encode", "is_shared", "round_trip")

encode = ENCODER.encode

_REMEDY = "Give each field a value of its declared type, one that JSON can carry"
AS_IT_IS: Final[Any] = object()
"""Stands for the decoder of a class without fields: there is nothing in its instances that could be wrong."""


def is_shared(cls: type[Message]) -> bool:
    """Whether an instance can be in several hands at once, because nothing in it can change."""
    if cls.__shared__ is not None:
        return True
    if not (cls.__immutable__ or is_deeply_immutable(cls)):
        return False
    if not cls.__struct_fields__:
        cls.__shared__ = AS_IT_IS
    elif cls.__decoder__ is not None:  # else it is compared field by field, by `round_trip`, or wasn't needed yet
        cls.__shared__ = cls.__decoder__.decode
    return True


def round_trip(address: str, message: Message) -> tuple[bytes, Message]:
    """A message's bytes, and the message that they are, which is equal to the one that was given.

    Raises:
        UndecodableMessage: it can't be encoded, or its bytes don't decode to its type (a field holds a wrong value),
            or they decode to something else (difference.py).
    """
    cls = type(message)
    decoder = cls.__decoder__
    try:
        body = encode(message)
        copy: Message = (decoder or decoder_of(cls)).decode(body)
    except Exception as error:
        raise UndecodableMessage(address, tag_of(cls), str(error), _REMEDY) from error
    try:
        if copy == message and decoder is not None:
            return body, copy
    except Exception:  # a value with an odd `__eq__`, or one that is nested too deep for it
        pass
    difference = first_difference(message, copy)
    if difference is not None:
        raise UndecodableMessage(address, tag_of(cls), str(difference), difference.remedy)
    return body, copy
