"""Vouching: an instance that the quick look vouches for comes back from its bytes equal, of the same types."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom import Message
from greenroom.actors.messages.vouching import vouching

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**63) - 2, -(2**63) + 2),
    st.integers(2**63 - 2, 2**64 + 2),
    st.floats(),
    st.text(),
    st.characters(categories=["Cs"]),
    st.binary(),
    st.lists(st.integers(), max_size=2),
)


class Scalars(msgspec.Struct):
    number: int = 0
    text: str = ""
    share: float = 0.0
    flag: bool = False
    raw: bytes = b""
    maybe: int | str | None = None
    nothing: None = None


class Text(str):
    __slots__ = ()


def comes_back(whole: Any) -> bool:
    try:
        back = msgspec.json.decode(msgspec.json.encode(whole), type=type(whole))
    except (msgspec.ValidationError, UnicodeEncodeError, OverflowError, ValueError):
        return False
    fields = whole.__struct_fields__
    return all(
        type(getattr(back, name)) is type(getattr(whole, name)) and getattr(back, name) == getattr(whole, name)
        for name in fields
    )


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(Scalars.__struct_fields__, VALUES)))
def test_what_is_vouched_for_comes_back(values: dict[str, Any]) -> None:
    vouch = vouching(Scalars)
    assert vouch is not None
    whole = Scalars(**values)
    if vouch(whole):
        assert comes_back(whole)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"number": 2**63 - 1, "text": "plain", "share": -0.5, "flag": True, "raw": b"\0", "maybe": "x"},
        {"maybe": 5},
    ],
)
def test_right_values_are_vouched_for(values: dict[str, Any]) -> None:
    vouch = vouching(Scalars)
    assert vouch is not None
    assert vouch(Scalars(**values))


@pytest.mark.parametrize(
    "values",
    [
        {"number": True},
        {"number": 2**63},
        {"number": "1"},
        {"text": Text("a subclass")},
        {"text": "\ud800"},
        {"share": math.nan},
        {"share": math.inf},
        {"share": 1},
        {"flag": 1},
        {"raw": bytearray(b"x")},
        {"maybe": 1.5},
        {"nothing": 0},
    ],
)
def test_others_are_not(values: dict[str, Any]) -> None:
    vouch = vouching(Scalars)
    assert vouch is not None
    assert not vouch(Scalars(**values))


def test_a_field_that_was_deleted() -> None:
    whole = Scalars()
    del whole.number
    vouch = vouching(Scalars)
    assert vouch is not None
    assert not vouch(whole)


class Limited(msgspec.Struct):
    number: Annotated[int, msgspec.Meta(ge=0)]


class Chosen(msgspec.Struct):
    what: Literal["a", "b"]


class Nested(msgspec.Struct):
    inner: Scalars


class Listed(msgspec.Struct):
    items: tuple[int, ...]


class Open(msgspec.Struct, dict=True):
    number: int


class Checked(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        self.number += 1


NOT_A_NAME = msgspec.defstruct("NotAName", [("class", int)])


@pytest.mark.parametrize("kind", [Limited, Chosen, Nested, Listed, Open, Checked, NOT_A_NAME, int, list[int], None])
def test_kinds_that_have_no_quick_look(kind: Any) -> None:
    assert vouching(kind) is None


def test_a_subclass_has_one_of_its_own() -> None:
    class Base(Message):
        number: int

    class More(Base):
        items: list[int]

    assert vouching(Base) is not None
    assert vouching(More) is None
