"""Message and Request: the types that actors are told and asked.

    class Deposit(Message):
        amount: int

    class Balance(Request[int]):          # its asker gets an int
        currency: str = "EUR"

A message is a frozen `msgspec.Struct` with keyword-only fields. Its stored form is JSON with the class's tag
under `$type`: `{"$type":"Deposit","amount":5}`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar, dataclass_transform

import msgspec
from msgspec import StructMeta

from .difference import is_walked
from .types import class_path, is_deeply_immutable, type_argument
from .vouching import Vouch, vouching

__all__ = (
    "ENCODER",
    "TAG_FIELD",
    "Message",
    "MessageMeta",
    "Request",
    "SystemRequest",
    "classes_with_tag",
    "decoder_of",
    "is_deeply_immutable",
    "known_tags",
    "request_reply_type",
    "system_tag",
    "tag_of",
)

TAG_FIELD = "$type"

ENCODER = msgspec.json.Encoder()
"""The one encoder of messages, replies and states."""

Reply_co = TypeVar("Reply_co", covariant=True)

# tag -> path of the class -> the class. Several classes may share a tag, because an actor knows which it means.
_REGISTRY: dict[str, dict[str, weakref.ref[type[Any]]]] = {}


# It is said twice: of two transforms mypy takes the nearest class's, and without the metaclass's it takes Message
# itself for an unfrozen class, from which no frozen one may inherit.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(StructMeta):
    """Makes each message class frozen, keyword-only and tagged, and keeps the register of tags."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **config: Any) -> Any:
        for option, value in _FIXED.items():
            if config.setdefault(option, value) != value:
                raise TypeError(
                    f"class {name}: {option}={config[option]!r} is not possible; a message has {option}={value!r}"
                )
        tag = config.setdefault("tag", name)
        if not isinstance(tag, str) or not tag:
            raise TypeError(f'class {name}: tag={tag!r} is no name; write tag="..." or leave it out')
        # One for each class, never inherited: it is found with one attribute access on the hot path.
        namespace = {**namespace, **_UNKNOWN, "__tag__": tag}
        cls = super().__new__(mcls, name, bases, namespace, **config)
        if cls.__module__ != __name__:  # Message and Request themselves are never sent
            _REGISTRY.setdefault(tag, {})[class_path(cls)] = weakref.ref(cls)
        return cls


_UNKNOWN = dict.fromkeys(("__immutable__", "__decoder__", "__walked__", "__shared__", "__vouch__"))
_FIXED = {"frozen": True, "kw_only": True, "array_like": False, "tag_field": TAG_FIELD}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, metaclass=MessageMeta):
    """The base class of every message that is told.

    Subclasses declare fields as in a dataclass. The stored tag is the class's name; `class D(Message,
    tag="deposit")` gives another, so that a class can be renamed without losing stored messages.
    """

    __immutable__: ClassVar[bool | None] = None
    """Whether instances can be shared; None until it is first asked. Ask `is_deeply_immutable`."""
    __decoder__: ClassVar[msgspec.json.Decoder[Any] | None] = None
    """None until it is first asked for; ask `decoder_of`."""
    __walked__: ClassVar[msgspec.json.Decoder[Any] | None] = None
    """The decoder of a class of which copies are compared field by field (difference.py). It has no `__decoder__`."""
    __shared__: ClassVar[Vouch | None] = None
    """The check of an instance that can be shared (codec.py); None if it can't be, or that isn't known yet."""
    __vouch__: ClassVar[Vouch | None] = None
    """The quick look at an instance (vouching.py); None if there is none, or there is no `__decoder__` yet."""
    __tag__: ClassVar[str] = ""


class Request(Message, Generic[Reply_co]):
    """A message whose sender waits for a reply: `class Balance(Request[int])`."""


class SystemRequest(Request[Reply_co], Generic[Reply_co]):
    """A request that every actor answers without declaring it (extensions/introspection)."""


def tag_of(cls: type[Message]) -> str:
    """The name under which messages of this class are stored."""
    return cls.__tag__


def decoder_of(cls: type[Message]) -> msgspec.json.Decoder[Any]:
    """The JSON decoder of a message class, made once.

    Raises:
        NameError, TypeError: a field's type can't be resolved, or JSON can't carry it.
    """
    decoder = cls.__decoder__ or cls.__walked__
    if decoder is None:
        decoder = msgspec.json.Decoder(cls)
        if is_walked(cls):
            cls.__walked__ = decoder
        else:
            cls.__decoder__ = decoder
            cls.__vouch__ = vouching(cls)
    return decoder


def system_tag(tag: str) -> type[Message] | None:
    """The system request that is stored under a tag, if one is."""
    return next((cls for cls in classes_with_tag(tag) if issubclass(cls, SystemRequest)), None)


def known_tags() -> Iterator[str]:
    """Every tag of a message class that is alive."""
    return (tag for tag in _REGISTRY if classes_with_tag(tag))


def classes_with_tag(tag: str) -> tuple[type[Message], ...]:
    """The message classes that carry a tag. A class that was defined again counts only once."""
    found = (reference() for reference in _REGISTRY.get(tag, {}).values())
    return tuple(cls for cls in found if cls is not None)


def request_reply_type(cls: Any) -> Any:
    """The reply that a `Request` subclass (or alias such as `Get[int]`) promises: `int` for `Request[int]`.

    It is `Any` where nothing is said.

    Raises:
        NameError: the type was given as a string that names nothing in the class's module.
    """
    found = type_argument(cls, Request)
    return Any if isinstance(found, TypeVar) else found
