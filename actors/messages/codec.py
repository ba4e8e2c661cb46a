"""Codec: a message's bytes, and the message that they are."""

from __future__ import annotations

from collections.abc import Callable
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

import msgspec

from .difference import first_difference
from .errors import UndecodableMessage
from .message import ENCODER, Message, decoder_of, tag_of
from .types import is_deeply_immutable
from .vouching import Vouch

__all__ = ("encode", "is_shared", "round_trip")

encode = ENCODER.encode

_REMEDY = "Give each field a value of its declared type, one that JSON can carry"
_NULL = "Give that field a value of its declared type. JSON has null for None, and for NaN and the infinities, too"
pack = msgspec.msgpack.Encoder().encode

_ALIKE = frozenset((bool, bytes, int, str, type(None)))


def is_shared(cls: type[Message]) -> bool:
    """Whether an instance can be in several hands at once, because nothing in it can change.

    Such a message may be told in memory as it is. It is checked all the same, because a wrong value is its sender's
    mistake at every door. `cls.__shared__` is that check, a `Vouch`.
    """
    if cls.__shared__ is not None:
        return True
    if not (cls.__immutable__ or is_deeply_immutable(cls)):
        return False
    decoder = cls.__decoder__
    if decoder is None:  # `round_trip` compares it field by field, or wasn't needed yet
        return True
    if cls.__vouch__ is not None:
        cls.__shared__ = cls.__vouch__
    elif all(_is_alike(field.type) for field in msgspec.structs.fields(cls)):
        cls.__shared__ = _by_round_trip(pack, msgspec.msgpack.Decoder(cls).decode)
    else:
        cls.__shared__ = _by_round_trip(encode, decoder.decode)
    return True


def _by_round_trip(encoded: Callable[[Any], bytes], decoded: Callable[[bytes], Any]) -> Vouch:
    def vouch(message: Any) -> bool:
        try:
            return bool(decoded(encoded(message)) == message)
        except Exception:
            return False

    return vouch


def _is_alike(kind: Any) -> bool:
    """Whether msgpack, which takes half the time and no time for base64, finds the same mistakes as JSON."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal or kind in _ALIKE:
        return True
    if origin in (Union, UnionType, tuple):
        return all(argument is Ellipsis or _is_alike(argument) for argument in arguments)
    return False


def round_trip(address: str, message: Message) -> tuple[bytes, Message]:
    """A message's bytes, and the message that they are, which is equal to the one that was given, or is that one.

    Raises:
        UndecodableMessage: it can't be encoded, or its bytes don't decode to its type (a field holds a wrong value),
            or they decode to something else (difference.py).
    """
    cls = type(message)
    vouch = cls.__vouch__
    if vouch is not None and vouch(message):
        return encode(message), message
    decoder = cls.__decoder__
    try:
        body = encode(message)
        copy: Message = (decoder or decoder_of(cls)).decode(body)
    except Exception as error:
        why = str(error)
        raise UndecodableMessage(address, tag_of(cls), why, _NULL if "got `null`" in why else _REMEDY) from error
    try:
        if decoder is not None and copy == message:
            return body, copy
    except Exception:  # a value with an odd `__eq__`, or one that is nested too deep for it
        pass
    difference = first_difference(message, copy)
    if difference is not None:
        raise UndecodableMessage(address, tag_of(cls), str(difference), difference.remedy)
    return body, copy
