"""Any value in a field of any type: what the message says afterwards is the same, or the sender was told."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from greenroom.actors.definition.handlers import HandlerSpec
from greenroom.actors.messages.codec import round_trip
from greenroom.actors.messages.errors import ReplyError, UndecodableMessage
from greenroom.actors.messages.message import Message, Request

BERLIN = ZoneInfo("Europe/Berlin")


class Event(msgspec.Struct):
    at: int = 0


class Click(Event):
    x: int = 0


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Asked(Request[Any]):
    pass


def back(message: Message) -> Message:
    return round_trip("/app/a", message)[1]


def flattened(value: Any) -> Any:
    """A form in which two values are the same exactly if they should count as the same. Another way than the code's."""
    if isinstance(value, dt.datetime):
        return ("naive", value.isoformat()) if value.tzinfo is None else ("instant", value.astimezone(dt.UTC))
    if isinstance(value, msgspec.Struct):
        return (type(value), *(flattened(part) for part in msgspec.structs.astuple(value)))
    if isinstance(value, list | tuple):
        return (list if isinstance(value, list) else tuple, *map(flattened, value))
    if isinstance(value, dict):
        return (dict, frozenset((flattened(key), flattened(entry)) for key, entry in value.items()))
    if isinstance(value, set | frozenset):
        return (set, frozenset(map(flattened, value)))
    if isinstance(value, Decimal) and value.is_nan():
        return ("nan", str(value))
    if isinstance(value, float) and value != value:
        return object()
    return ("bool", value) if isinstance(value, bool) else value


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(),
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    bytes: st.binary(max_size=4),
    dt.datetime: st.datetimes(timezones=st.sampled_from([dt.UTC, BERLIN, ZoneInfo("Australia/Lord_Howe"), None])),
    dt.date: st.dates(),
    dt.timedelta: st.timedeltas(dt.timedelta(-999), dt.timedelta(999)),
    uuid.UUID: st.uuids(),
    Decimal: st.decimals(allow_nan=True),
    Colour: st.just(Colour.RED),
    Level: st.just(Level.HIGH),
    Event: st.one_of(st.builds(Event, st.integers()), st.builds(Click, st.integers(), st.integers())),
}
VALUES = st.recursive(
    st.one_of(st.none(), *SCALARS.values()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(SCALARS[str], SCALARS[int], SCALARS[dt.date]), inner, max_size=3),
        st.frozensets(st.one_of(SCALARS[int], SCALARS[str]), max_size=3),
    ),
    max_leaves=6,
)
KINDS: list[Any] = [
    Any, *SCALARS, list[int], list[Any], tuple[int, ...], set[int], dict[str, Any], dict[int, str], list[Event],
    float | None, str | None, Event | None, int | str, list, dict[dt.datetime, int],
]  # fmt: skip


def carriers() -> Iterator[type[Message]]:
    for place, kind in enumerate(KINDS):
        yield type(Message)(f"Carrier{place}", (Message,), {"__annotations__": {"value": kind}, "__module__": __name__})


CARRIERS = list(carriers())


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(carrier=st.sampled_from(CARRIERS), value=VALUES)
def test_whatever_passes_is_the_same_afterwards(carrier: Any, value: Any) -> None:
    message = carrier(value=value)
    try:
        copy: Any = back(message)
    except UndecodableMessage as error:
        assert error.why
        return
    assert flattened(copy.value) == flattened(value)


@settings(max_examples=600, deadline=None)
@given(place=st.sampled_from(range(len(SCALARS))), data=st.data())
def test_a_value_of_its_own_type_is_not_refused_without_need(place: int, data: st.DataObject) -> None:
    kind = list(SCALARS)[place]
    value = data.draw(SCALARS[kind])
    copy: Any
    message = CARRIERS[1 + place](value=value)  # type: ignore[call-arg]
    try:
        copy = back(message)
    except UndecodableMessage:
        lossy = isinstance(value, float) and not float("-inf") < value < float("inf")
        seconds = isinstance(value, dt.datetime) and value.utcoffset() and value.utcoffset().seconds % 60  # type: ignore[union-attr]
        assert lossy or seconds or type(value) is Click or (value.__class__ is Decimal and value.is_snan())
    else:
        assert flattened(copy.value) == flattened(value)


def a_function() -> None:
    """A handler's function."""


REPLIES = [HandlerSpec(a_function, Asked, kind, is_async=False) for kind in KINDS]


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(spec=st.sampled_from(REPLIES), value=VALUES)
@example(spec=REPLIES[0], value=b"")
def test_whatever_is_replied_is_the_same_for_the_asker(spec: HandlerSpec, value: Any) -> None:
    try:
        inside = spec.reply(value)
    except ReplyError as error:
        assert error.fix
        return
    assert flattened(inside) == flattened(value)
    assert flattened(spec.decode_reply(spec.encoded(inside)[0])) == flattened(value)  # and in another process
