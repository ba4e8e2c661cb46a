"""Arguments: `args` of a child's spec, checked against the annotations of its class's `__init__`.

    class Ledger(Actor[None]):
        def __init__(self, *, folder: Path, currency: Currency = Currency.EUR) -> None: ...

takes `args = { folder = "books", currency = "USD" }` as a Path and an enum member.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin
from weakref import WeakKeyDictionary

import msgspec

from ..errors import Problem, did_you_mean
from .fields import join
from .references import refer

__all__ = ("convert", "convert_args", "hint_of")

_KEYWORD = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def convert_args(cls: type, args: Mapping[str, Any], key: str = "args") -> tuple[dict[str, Any], list[Problem]]:
    """The keyword arguments for `cls`, converted as annotated, and what is wrong with them.

    Containers are copied, so that no two incarnations share one. Only code can give objects that aren't plain data;
    they are passed on as they are if they fit the annotation.
    """
    parameters, hints, unresolved = _signature(cls)
    taken = {name: p for name, p in parameters.items() if p.kind in _KEYWORD}
    rest = next((p for p in parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD), None)
    problems: list[Problem] = []
    kwargs: dict[str, Any] = {}
    for name, value in args.items():
        parameter = taken.get(name, rest)
        if parameter is None:
            problems.append(_unknown(cls, name, taken, key))
        elif unresolved and isinstance(parameter.annotation, str):
            problems.append(Problem(key=join(key, name), why=unresolved))
        else:
            try:
                kwargs[name] = convert(value, hints.get(parameter.name, Any))
            except msgspec.ValidationError as error:
                problems.append(_mismatch(join(key, name), value, hints[parameter.name], str(error)))
            except UnicodeEncodeError:
                problems.append(Problem(key=join(key, name), why="it has half a surrogate pair, which is no text"))
    for name, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY and required:
            why = f"{refer(cls)} takes {name!r} by position only, but actors are made with keyword arguments"
            problems.append(Problem(key=key, why=why, hint=f"Write `def __init__(self, *, {name})`."))
        elif name in taken and required and name not in args:
            expected = _shown(hints.get(name, Any))
            hint = f"{refer(cls)} takes it without a default."
            problems.append(Problem(key=join(key, name), expected=expected, hint=hint))
    return kwargs, problems


def convert(value: Any, hint: Any) -> Any:
    """`value` as the annotation `hint` has it.

    Raises:
        msgspec.ValidationError: it doesn't fit.
    """
    if hint is Any or hint is object or isinstance(hint, TypeVar):
        return _copied(value)
    try:
        return msgspec.convert(value, hint, dec_hook=_custom)
    except TypeError:  # msgspec can't handle the annotation: a union with a custom class, a Protocol, a Callable
        return _loosely(value, hint)


def hint_of(cls: type, name: str) -> Any:
    """The annotation of the parameter of `cls` that takes the argument `name`; Any if there is none."""
    parameters, hints, _ = _signature(cls)
    if name not in parameters:
        name = next((one for one, p in parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD), name)
    return hints.get(name, Any)


def _custom(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, PurePath) and isinstance(value, str):
        return kind(value)
    if _is_instance(value, get_origin(kind) or kind):
        return value
    raise ValueError(f"Expected `{_shown(kind)}`, got `{type(value).__name__}`")


def _loosely(value: Any, hint: Any) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        for member in sorted(get_args(hint), key=lambda member: not _is_instance(value, member)):
            try:
                return convert(value, member)
            except msgspec.ValidationError:
                continue
    elif origin is typing.Annotated:
        return convert(value, get_args(hint)[0])
    elif not isinstance(origin or hint, type) or _is_instance(value, origin or hint):
        return value
    raise msgspec.ValidationError(f"Expected `{_shown(hint)}`, got `{type(value).__name__}`")


def _is_instance(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    try:
        return isinstance(value, kind)
    except TypeError:  # a Protocol that isn't checkable at run time, a parametrised type: in doubt, yes
        return True


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_copied(entry) for entry in value]
    return value


class _Signature(NamedTuple):
    parameters: dict[str, inspect.Parameter]
    hints: dict[str, Any]
    unresolved: str
    """Why the annotations can't be resolved; "" if they are."""


_signatures: WeakKeyDictionary[type, _Signature] = WeakKeyDictionary()


def _signature(cls: type) -> _Signature:
    """The signature of the class. It is kept, because to resolve annotations takes longer than all the rest of an
    activation."""
    if (known := _signatures.get(cls)) is not None:
        return known
    init: Any = cls.__init__  # type: ignore[misc]  # a class is asked, not an instance
    if init is object.__init__:
        return _Signature({}, {}, "")
    try:
        _, *parameters = inspect.signature(init).parameters.values()
    except (TypeError, ValueError):  # written in C, or without self: nothing is known of its parameters
        parameters = [inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)]
    by_name = {parameter.name: parameter for parameter in parameters}
    try:
        hints = typing.get_type_hints(init, include_extras=True)
    except Exception as error:  # whatever evaluating the user's annotations raises
        why = (
            f"the annotations of {refer(cls)}.__init__ can't be resolved ({error}), so nothing is checked; "
            "they can't name a class that is local to a function, or imported under TYPE_CHECKING"
        )
        return _Signature(by_name, {}, why)
    return _signatures.setdefault(cls, _Signature(by_name, hints, ""))


def _unknown(cls: type, name: str, taken: Iterable[str], key: str) -> Problem:
    names = list(taken)
    hint = did_you_mean(name, names) or (f"It takes {', '.join(names)}." if names else "It takes none.")
    return Problem(key=join(key, name), why=f"{refer(cls)} takes no such argument", hint=hint)


def _mismatch(key: str, value: Any, hint: Any, message: str) -> Problem:
    """A Problem from msgspec's ``Expected `int`, got `str` - at `$.a[0]` ``."""
    message, _, path = message.partition(" - at ")
    message = message.replace("`", "")
    if path := path.strip("`").removeprefix("$"):
        return Problem(key=f"{key}{path}", why=message)
    if choices := _choices(hint):
        expected = f"one of {', '.join(map(str, choices))}"
        return Problem(key=key, found=value, expected=expected, hint=did_you_mean(value, map(str, choices)))
    if message.startswith("Expected "):
        expected = message.removeprefix("Expected ").partition(", got")[0]
        return Problem(key=key, found=value, expected=expected)
    return Problem(key=key, why=message[:1].lower() + message[1:], found=value, expected=_shown(hint))


def _choices(hint: Any) -> tuple[Any, ...]:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return tuple(member.value for member in hint)
    return get_args(hint) if get_origin(hint) is Literal else ()


def _shown(kind: Any) -> str:
    if kind is Any:
        return "a value"
    if isinstance(kind, type) and not get_args(kind):
        return kind.__qualname__
    return str(kind).replace("typing.", "").replace("pathlib._local.", "pathlib.")  # Python 3.13 has the latter there
