"""Vouching: the quick look that says of an instance that it comes back from its JSON equal.

A value whose type is exactly the declared one, and that JSON can carry, comes back as it was. So where all fields of a
class are scalars, a look at the values takes the place of encoding, decoding and comparing them, at a third of the
time. An instance that isn't vouched for needn't be wrong: its round trip decides (messages/codec.py).
"""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from types import NoneType, UnionType
from typing import Any, Final, Union, get_args, get_origin

import msgspec

__all__ = ("Vouch", "vouching")

Vouch = Callable[[Any], bool]
"""Says of an instance whether it certainly comes back equal. It never raises."""

_TESTS: Final[dict[Any, str]] = {
    bool: "type({0}) is bool",
    bytes: "type({0}) is bytes",
    float: "type({0}) is float and {0} - {0} == 0.0",  # neither NaN nor infinite
    # The narrow range is a quick comparison of CPython's, the wide one that of any JSON reader with integers.
    int: f"type({{0}}) is int and ({-(2**30)} < {{0}} < {2**30} or {-(2**63)} <= {{0}} < {2**63})",
    str: "type({0}) is str and {0}.isascii()",  # a lone surrogate isn't
    NoneType: "{0} is None",
}
_SOURCE: Final = """
def vouch(whole):
    try:
        return {tests}
    except AttributeError:  # a field that was deleted
        return False
"""


def vouching(kind: Any) -> Vouch | None:
    """The quick look at instances of exactly this class; None if it has none."""
    if not isinstance(kind, type) or not issubclass(kind, msgspec.Struct):
        return None
    if kind.__dictoffset__ or hasattr(kind, "__post_init__"):
        return None  # an instance may hold more than its fields; or decoding may change it
    tests = []
    for field in msgspec.structs.fields(kind):
        test = _test(field.type, f"whole.{field.name}")
        if test is None or not field.name.isidentifier() or iskeyword(field.name):
            return None
        tests.append(f"({test})")
    names: dict[str, Any] = {}
    # The source has the names of fields in it, which are identifiers, and nothing else from outside.
    exec(_SOURCE.format(tests=" and ".join(tests) or "True"), names)
    vouch: Vouch = names["vouch"]
    return vouch


def _test(kind: Any, value: str) -> str | None:
    """The source of a test of a value; None if there is none for this type."""
    if get_origin(kind) not in (Union, UnionType):
        test = _TESTS.get(kind)
        return None if test is None else test.format(value)
    tests = [_test(one, value) for one in get_args(kind)]
    return None if None in tests else " or ".join(f"({test})" for test in tests)
