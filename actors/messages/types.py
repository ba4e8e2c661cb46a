"""Types: the questions that the runtime asks about them. May it be shared, can it be stored, does it fit?

They are asked when a class is defined or first used, never per message.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import sys
import types
import typing
import uuid
from collections.abc import Iterator
from typing import Annotated, Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

import msgspec

__all__ = (
    "MAIN",
    "class_path",
    "described",
    "fits",
    "is_deeply_immutable",
    "main_module",
    "shown",
    "type_argument",
    "union_members",
    "unstorable",
)

_IMMUTABLE: frozenset[Any] = frozenset(
    (
        bool,
        bytes,
        dt.date,
        dt.datetime,
        dt.time,
        dt.timedelta,
        decimal.Decimal,
        float,
        int,
        msgspec.UnsetType,
        str,
        type(None),
        uuid.UUID,
    )
)
_NO_KEYS = frozenset(
    (
        "BoolType",
        "DataclassType",
        "DictType",
        "FrozenSetType",
        "ListType",
        "NamedTupleType",
        "NoneType",
        "SetType",
        "StructType",
        "TupleType",
        "TypedDictType",
        "VarTupleType",
    )
)
_NEVER = (typing.NoReturn, typing.Never)


MAIN = ("__main__", "__mp_main__")
"""The running script as Python calls it; the second one in a process that multiprocessing has spawned."""


def main_module() -> types.ModuleType | None:
    """The module of the running script, in a spawned process too. There it isn't `__main__` yet while it is loaded."""
    return sys.modules.get("__mp_main__") or sys.modules.get("__main__")


def class_path(cls: type) -> str:
    """`module:Qualified.Name`, as config files and registers write it."""
    return f"{cls.__module__}:{cls.__qualname__}"


def shown(kind: Any) -> str:
    """A type as one would write it in an annotation."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is None or kind is type(None):
        return "None"
    if kind is Ellipsis:
        return "..."
    if origin in (Union, types.UnionType):
        return " | ".join(map(shown, arguments))
    if origin is Annotated:
        return shown(arguments[0])
    if isinstance(origin, type) and arguments:
        return f"{origin.__name__}[{', '.join(map(shown, arguments))}]"
    if isinstance(kind, type):
        return kind.__name__
    return str(kind).replace("typing.", "")


def type_argument(cls: Any, generic: type) -> Any:
    """The argument that `cls` gives to its one-parameter base `generic`, through any number of classes.

    It is a TypeVar if the class leaves the argument open, `Any` if it names the base without one.

    Raises:
        NameError: the argument is a string that names nothing in the class's module.
    """
    origin = get_origin(cls) or cls
    if origin is generic:
        arguments = get_args(cls)
        return arguments[0] if arguments else Any
    found: Any = Any
    for base in origin.__dict__.get("__orig_bases__", origin.__bases__):
        base_origin = get_origin(base) or base
        if isinstance(base_origin, type) and issubclass(base_origin, generic):
            found = type_argument(base, generic)
            break
    if isinstance(found, (str, ForwardRef)):
        text = found if isinstance(found, str) else found.__forward_arg__
        found = eval(text, dict(vars(sys.modules[origin.__module__])), {origin.__name__: origin})
    parameters = getattr(origin, "__parameters__", ())
    if cls is not origin and parameters:
        given = dict(zip(parameters, get_args(cls), strict=False))
        if isinstance(found, TypeVar):
            found = given.get(found, found)
        elif inner := getattr(found, "__parameters__", ()):
            found = found[tuple(given.get(parameter, parameter) for parameter in inner)]
    return found


def _plain(kind: Any) -> Any:
    """The type without `Annotated`, NewType and alias wrappers."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif isinstance(kind, typing.NewType):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":  # `type X = ...`, from 3.12
            kind = kind.__value__
        else:
            return type(None) if kind is None else kind


def union_members(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union, without their wrappers; a list of one for any other type."""
    kind = _plain(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(inner for member in get_args(kind) for inner in union_members(member))
    return (kind,)


# -- may it be shared? -------------------------------------------------------------------------------


def is_deeply_immutable(kind: Any) -> bool:
    """Whether values of this type can be handed on as they are, because nothing in them can change.

    True for frozen Structs and frozen dataclasses with such fields, scalars, dates, enums, `Literal`,
    `tuple[...]`, `frozenset[...]` and unions of these. Kept in the class as `__immutable__`; False, and not
    kept, while a field's annotation can't be resolved yet.
    """
    known = kind.__dict__.get("__immutable__") if isinstance(kind, type) else None
    if known is not None:
        return bool(known)
    try:
        answer = _immutable(kind, set())
    except (NameError, TypeError, AttributeError):
        return False
    if isinstance(kind, type) and _fields(kind) is not None:
        kind.__immutable__ = answer  # type: ignore[attr-defined]
    return answer


def _immutable(kind: Any, seen: set[Any]) -> bool:
    kind = _plain(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal or kind in _IMMUTABLE:
        return True
    if origin in (Union, types.UnionType, frozenset):
        return all(_immutable(argument, seen) for argument in arguments)
    if origin is tuple:
        return all(argument is Ellipsis or _immutable(argument, seen) for argument in arguments)
    if isinstance(origin or kind, type) and issubclass(origin or kind, enum.Enum):
        return True
    fields = _fields(kind)
    if fields is None:
        return False
    if kind in seen:  # a recursive type: it is immutable if the rest is
        return True
    seen.add(kind)
    return all(_immutable(field, seen) for field in fields)


def _fields(kind: Any) -> list[Any] | None:
    """The field types of a frozen Struct or frozen dataclass; None for anything else."""
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return None
    if issubclass(origin, msgspec.Struct):
        if not origin.__struct_config__.frozen:
            return None
        return [field.type for field in msgspec.structs.fields(kind)]
    if dataclasses.is_dataclass(origin) and origin.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        hints = typing.get_type_hints(origin, include_extras=True)
        return [hints[field.name] for field in dataclasses.fields(origin)]
    return None


# -- can it be stored? -------------------------------------------------------------------------------


def unstorable(kind: Any) -> str:
    """The reason why JSON can't carry values of this type there and back; "" if it can.

    Raises:
        NameError: an annotation can't be resolved (yet).
    """
    try:
        msgspec.json.Decoder(kind)
        info = msgspec.inspect.type_info(kind)
    except TypeError as error:
        return str(error).split("\n")[0].rstrip(".")
    for found, where in _leaves(info, shown(kind), set()):
        if isinstance(found, msgspec.inspect.CustomType):
            return f"{where} is {shown(found.cls)}, which msgspec can't turn into JSON and back"
        if isinstance(found, msgspec.inspect.ExtType):
            return f"{where} is a msgpack extension, which JSON doesn't have"
        if isinstance(found, msgspec.inspect.DictType) and not _is_key(found.key_type):
            return f"{where} has keys that are neither strings nor numbers, which JSON doesn't have"
    return ""


def _is_key(info: Any) -> bool:
    return all(type(member).__name__ not in _NO_KEYS for member in getattr(info, "types", (info,)))


def described(kind: Any) -> Iterator[Any]:
    """What msgspec says of a type and of everything in it.

    Raises:
        NameError: an annotation can't be resolved (yet).
    """
    return (found for found, _ in _leaves(msgspec.inspect.type_info(kind), "", set()))


def _leaves(info: Any, where: str, seen: set[int]) -> Iterator[tuple[Any, str]]:
    """A described type and everything in it, each with its place."""
    yield info, where
    if getattr(info, "cls", None) is not None:
        if id(info) in seen:  # the same description stands for the same type, with the same parameters
            return
        seen.add(id(info))
    for field in getattr(info, "fields", ()):
        yield from _leaves(field.type, f"{where}.{field.name}", seen)
    for name, place in (
        ("item_type", f"an item of {where}"),
        ("key_type", f"a key of {where}"),
        ("value_type", f"a value of {where}"),
    ):
        if (inner := getattr(info, name, None)) is not None:
            yield from _leaves(inner, place, seen)
    for index, inner in enumerate(getattr(info, "item_types", ())):
        yield from _leaves(inner, f"item {index} of {where}", seen)
    for inner in getattr(info, "types", ()):
        yield from _leaves(inner, where, seen)


# -- does it fit? ------------------------------------------------------------------------------------


def fits(found: Any, wanted: Any) -> bool:
    """Whether a value annotated `found` may stand where `wanted` is promised. In doubt, yes.

    It finds only clear mistakes, because the reply itself is checked when it is made.
    """
    if _open(found) or _open(wanted) or found in _NEVER:
        return True
    return all(any(_one_fits(one, other) for other in union_members(wanted)) for one in union_members(found))


def _one_fits(found: Any, wanted: Any) -> bool:
    if _open(found) or _open(wanted) or found in _NEVER or found == wanted:
        return True
    if get_origin(found) is Literal:
        if get_origin(wanted) is Literal:
            return set(get_args(found)) <= set(get_args(wanted))
        return all(_one_fits(type(value), wanted) for value in get_args(found))
    if get_origin(wanted) is Literal:
        return any(_one_fits(type(value), found) for value in get_args(wanted))
    found_class, wanted_class = get_origin(found) or found, get_origin(wanted) or wanted
    if not isinstance(found_class, type) or not isinstance(wanted_class, type):
        return True
    if wanted_class is float and issubclass(found_class, int):
        return True
    try:
        if not issubclass(found_class, wanted_class):
            return False
    except TypeError:  # a Protocol with data members
        return True
    inner, outer = get_args(found), get_args(wanted)
    if found_class is not wanted_class or len(inner) != len(outer):
        return True
    return all(Ellipsis in (one, other) or fits(one, other) for one, other in zip(inner, outer, strict=True))


def _open(kind: Any) -> bool:
    return kind is Any or kind is object or isinstance(kind, (TypeVar, str, ForwardRef))
