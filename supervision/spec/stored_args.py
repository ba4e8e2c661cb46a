"""Stored args: `args` of a spec as its row has them, and which of them would come back as something else.

A child that comes by `StartChild` is started from its row in the next life of the node. So what the annotations of its
`__init__` make of the row's JSON must be what they make of the values that were given.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from ...actors.messages.difference import first_difference
from ..errors import Problem, show
from .arguments import convert, hint_of
from .fields import is_reference, join
from .references import Unresolvable, resolve
from .spec import ChildSpec, Spec, SupervisorSpec

__all__ = ("changed_args", "unstorable_args", "with_plain_args")

S = TypeVar("S", bound=Spec)

_ODD_TYPE = re.compile("Encoding objects of type (.*) is unsupported")
_PLAIN = (
    "Pass plain data, and make the object in `__init__`; or annotate its parameter with the type that it is to become."
)
_ANNOTATE = "Pass plain data, and annotate the parameter of `__init__` with the type that it is to become."


def with_plain_args(spec: S) -> S:
    """The spec with all `args` as JSON has them. A value that JSON can't carry stays as it is."""
    if isinstance(spec, ChildSpec):
        args = {name: _plain(value) for name, value in spec.args.items()}
        return spec if first_difference(spec.args, args) is None else msgspec.structs.replace(spec, args=args)
    assert isinstance(spec, SupervisorSpec)
    template = None if spec.template is None else with_plain_args(spec.template)
    children = tuple(map(with_plain_args, spec.children))
    if template is spec.template and all(map(operator.is_, children, spec.children)):
        return spec
    return msgspec.structs.replace(spec, template=template, children=children)


def changed_args(spec: Spec, key: str = "") -> Iterator[Problem]:
    """The arguments that would come back from the spec's row as something else. The spec has been validated."""
    if isinstance(spec, SupervisorSpec):
        if spec.template is not None:
            yield from changed_args(spec.template, join(key, "template"))
        for place, child in enumerate(spec.children):
            yield from changed_args(child, f"{join(key, 'children')}[{place}]")
        return
    for name, given in spec.args.items():
        at = join(join(key, "args"), name)
        if (problem := _unstorable(spec.id, at, given)) is not None:
            yield problem
            continue
        back = msgspec.json.decode(msgspec.json.encode(given))
        difference = first_difference(given, back, at)
        if difference is not None and not _converts_to_the_same(spec, name, given, back):
            no_type_helps = difference.back is None or difference.place.startswith("a key of ")
            yield Problem(key=at, why=str(difference), hint=f"{difference.remedy}." if no_type_helps else _ANNOTATE)


def unstorable_args(spec: ChildSpec, key: str) -> Iterator[Problem]:
    """The arguments that no row can hold. A child that the tree names has a row, too, beside the values given."""
    for name, given in spec.args.items():
        if (problem := _unstorable(spec.id, join(join(key, "args"), name), given)) is not None:
            yield problem


def _unstorable(child: str, key: str, value: Any) -> Problem | None:
    try:
        msgspec.json.encode(value)
    except RecursionError:
        why = "it holds itself, or is nested too deep"
    except UnicodeEncodeError:
        why = "it has half a surrogate pair, which is no text"
    except Exception as error:
        odd = _ODD_TYPE.fullmatch(str(error))
        why = f"JSON has nothing for an object of type {odd[1]}" if odd else str(error)
    else:
        return None
    return Problem(key=key, why=f"child {show(child)} can't be stored with it: {why}", hint=_PLAIN)


def _plain(value: Any) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except Exception:
        return value


def _converts_to_the_same(spec: ChildSpec, name: str, given: Any, back: Any) -> bool:
    if not is_reference(spec.actor):
        return False
    try:
        hint = hint_of(resolve(spec.actor), name)
        return first_difference(convert(given, hint), convert(back, hint)) is None
    except (Unresolvable, msgspec.ValidationError):
        return False
