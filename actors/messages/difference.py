"""Difference: the first place in which a value comes back from its JSON as another one.

Messages, replies and states are held to one rule: they come back *equal*, as Python's `==` says, with two additions.
Aware datetimes are equal if they mean the same instant, and a Decimal NaN equals itself. Classes are compared
field by field, whatever `__eq__` they have, and an instance of a subclass isn't one of its base.

The comparison in C that every value has (`copy == value`) says "equal" for nearly all. `first_difference` is for the
others, and for types with classes whose own `==` can't be believed (`is_walked`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import math
from collections.abc import Iterator
from typing import Any, NamedTuple, get_origin

import msgspec

from .errors import DEFINE_AGAIN, DEFINED_TWICE
from .types import described, shown

__all__ = ("Difference", "changed", "first_difference", "is_open", "is_walked")

_encode = msgspec.json.Encoder().encode
_ATOMS = (str, int, float, bytes, type(None))


class Difference(NamedTuple):
    """The first place in which two values differ: the one that was given, and the one that would come back."""

    place: str
    """`event.x`, `items[3]`, `a key of prices`."""
    given: Any
    back: Any

    def __str__(self) -> str:
        return f"{self.place} is {self.given!r:.100} and would come back as {self.back!r:.100}"

    @property
    def remedy(self) -> str:
        """A way to send the same, in full sentences but for the last stop."""
        given, back, wanted = self.given, self.back, shown(type(self.given))
        if isinstance(given, float) and not math.isfinite(given):
            return "JSON has no NaN and no infinity. Use None, or a field of type str or Decimal"
        if isinstance(given, float | int) and isinstance(back, float):
            return "A float holds 53 bits. Declare the field as int"
        if isinstance(given, dt.datetime) and isinstance(back, dt.datetime):
            return "A time zone is stored in whole minutes. Use UTC: value.astimezone(datetime.UTC)"
        if self.place.startswith("a key of "):
            return f"JSON has only strings as keys. Declare the field as dict[{wanted}, ...], or use strings"
        if _names(given) is not None:
            if shown(type(back)) == wanted and type(back).__module__ == type(given).__module__:
                return f"The class {wanted} {DEFINED_TWICE}. {DEFINE_AGAIN}"
            if _names(back) is not None:
                return f"A field takes exactly the class that it declares. Declare {wanted}, alone or in a union"
            return f"Declare the field as {wanted}, because nothing else says that it is one"
        if type(given) is type(back):
            return "Use values that JSON can carry"
        return f"Declare the field as {wanted}, or pass a value of type {shown(type(back))}"


def changed(given: Any, back: Any, *, walked: bool, root: str = "") -> Difference | None:
    """The first difference, found by one comparison in C if there is none.

    Args:
        walked: whether the type `is_walked`.
    """
    try:
        if not walked and back == given:
            return None
    except Exception:  # a value with an odd `__eq__`, or one that is nested too deep for it
        pass
    return first_difference(given, back, root)


def first_difference(given: Any, back: Any, root: str = "") -> Difference | None:
    """The first difference between a value and what its JSON decodes to; None if they are the same.

    Args:
        root: the name of the value itself; "" for one whose fields are named alone.
    """
    waiting = [(root, given, back)]  # a stack, because values may be nested deeper than Python calls
    while waiting:
        place, one, other = waiting.pop()
        if one is other:
            continue
        parts = _parts(place, one, other)
        if parts is not None:
            waiting.extend(reversed(parts))
        elif not _same(one, other):
            return Difference(place or "it", one, other)
    return None


Parts = list[tuple[str, Any, Any]]


def _parts(place: str, one: Any, other: Any) -> Parts | None:
    """The parts of two values of the same shape, in pairs; None if they have no parts, or aren't of one shape."""
    if type(one) in _ATOMS:
        return None
    if isinstance(one, dict):
        return _entries(place, one, other) if isinstance(other, dict) and len(one) == len(other) else None
    for kind in (list, tuple):
        if isinstance(one, kind):
            if not isinstance(other, kind) or len(one) != len(other):
                return None
            return [(f"{place}[{index}]", *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    if isinstance(one, set | frozenset):
        return _members(place, one, other) if isinstance(other, set | frozenset) else None
    names = _names(one)
    if names is None or type(one) is not type(other):
        return None
    prefix = f"{place}." if place else ""
    return [(prefix + name, getattr(one, name, None), getattr(other, name, None)) for name in names]


def _entries(place: str, one: dict[Any, Any], other: dict[Any, Any]) -> Parts:
    parts: Parts = []
    for (key, value), position in zip(one.items(), other, strict=True):
        if key in other:
            parts.append((f"{place}[{key!r:.50}]", value, other[key]))
        else:  # a datetime may be equal without having the same hash
            parts += [(f"a key of {place}", key, position), (f"{place}[{key!r:.50}]", value, other[position])]
    return parts


def _members(place: str, one: Any, other: Any) -> Parts | None:
    """The members of two sets that aren't in both, in pairs of the same JSON."""
    ours, theirs = one - other, other - one
    if len(ours) != len(theirs):
        return None
    by_body = {_encode(member): member for member in theirs}
    bodies = [_encode(member) for member in ours]
    if set(bodies) != by_body.keys():
        return None
    return [(f"an item of {place}", *pair) for pair in zip(ours, map(by_body.get, bodies), strict=True)]


def _names(value: Any) -> Iterator[str] | None:
    """The names of the fields of a Struct, dataclass or attrs class; None for anything else."""
    kind = type(value)
    if isinstance(value, msgspec.Struct):
        return iter(value.__struct_fields__)
    if dataclasses.is_dataclass(kind):
        return (field.name for field in dataclasses.fields(kind))
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else (attribute.name for attribute in attributes)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        offset, offset_then = one.utcoffset(), other.utcoffset()
        if offset is not None and offset_then is not None:
            # By instant: `==` says False in the hour that the clocks of one of the two zones repeat, or leave out.
            return one.replace(tzinfo=None) - offset == other.replace(tzinfo=None) - offset_then
    if isinstance(one, decimal.Decimal) and one.is_nan():
        return isinstance(other, decimal.Decimal) and str(one) == str(other)
    if _names(one) is not None:
        return False  # another class, or no equality of its own that could be believed
    try:
        return bool(one == other)
    except Exception:
        return False


# -- which types need more than one comparison -----------------------------------------------------------------------


def is_walked(kind: Any) -> bool:
    """Whether values of this type are compared field by field, because `==` may say "equal" of different ones, or
    never does: a class in it has an `__eq__` of its own, or none.

    Raises:
        NameError: an annotation can't be resolved (yet).
    """
    return any(map(_has_own_equality, described(kind)))


def is_open(kind: Any) -> bool:
    """Whether the same JSON may stand for different values of this type, because it doesn't say everywhere what is in
    it: `Any`, a bare `list` or `dict`.

    Raises:
        NameError: an annotation can't be resolved (yet).
    """
    return any(isinstance(found, msgspec.inspect.AnyType) for found in described(kind))


def _has_own_equality(found: Any) -> bool:
    cls: Any = getattr(found, "cls", None)
    cls = get_origin(cls) or cls  # a generic class with its parameters
    if isinstance(found, msgspec.inspect.StructType):
        return not cls.__struct_config__.eq or cls.__eq__ is not msgspec.Struct.__eq__
    if isinstance(found, msgspec.inspect.NamedTupleType):
        return cls.__eq__ is not tuple.__eq__
    if isinstance(found, msgspec.inspect.DataclassType):
        return not (_is_generated(cls) if dataclasses.is_dataclass(cls) else _is_generated_by_attrs(cls))
    return False


def _is_generated(cls: Any) -> bool:
    """Whether the `__eq__` of a dataclass is the one that the decorator makes, which compares all fields."""
    fields = dataclasses.fields(cls)
    twin: Any = dataclasses.make_dataclass(cls.__name__, [(field.name, Any, None) for field in fields])
    code, expected = getattr(cls.__eq__, "__code__", None), twin.__eq__.__code__
    return (
        all(field.compare for field in fields)
        and code is not None
        and ((code.co_code, code.co_names, code.co_consts) == (expected.co_code, expected.co_names, expected.co_consts))
    )


def _is_generated_by_attrs(cls: Any) -> bool:
    code = getattr(cls.__eq__, "__code__", None)
    return (
        code is not None
        and code.co_filename.startswith("<attrs generated")
        and all(attribute.eq and attribute.eq_key is None for attribute in cls.__attrs_attrs__)
    )
