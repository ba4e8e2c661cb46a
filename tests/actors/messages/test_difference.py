"""A value comes back from its JSON as it was, by value and by instant, or the difference is named."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest

from greenroom.actors.messages.codec import round_trip
from greenroom.actors.messages.difference import first_difference, is_open, is_walked
from greenroom.actors.messages.errors import UndecodableMessage
from greenroom.actors.messages.message import Message

T = TypeVar("T")

BERLIN = ZoneInfo("Europe/Berlin")
REPEATED = dt.datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN)
"""In the hour that the clocks in Berlin repeat."""
LEFT_OUT = dt.datetime(2030, 3, 31, 2, 30, tzinfo=BERLIN)


class Event(msgspec.Struct):
    at: int = 0


class Click(Event):
    x: int = 0


class Bare(Event):
    """A subclass that adds nothing, so that its JSON is that of its base."""


class Uncompared(msgspec.Struct, eq=False):
    value: Any = None


class AlwaysEqual(msgspec.Struct):
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Box(msgspec.Struct, Generic[T]):
    inside: T


@dataclasses.dataclass
class Note:
    text: Any = ""


@dataclasses.dataclass
class Longer(Note):
    more: int = 0


@dataclasses.dataclass
class Sloppy:
    key: int = 0
    value: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass
class ById:
    key: int = 0
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and other.key == self.key


class Point(NamedTuple):
    x: int
    y: int


class Vague(NamedTuple):
    x: Any

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Table(TypedDict):
    a: int


class Everything(Message):
    anything: Any = None
    event: Event | None = None
    number: float = 0.0
    score: float | None = None
    text: str = ""
    count: int = 0
    at: dt.datetime | None = None
    days: dict[dt.datetime, int] = {}
    instants: set[dt.datetime] = set()
    amount: Decimal = Decimal(0)
    items: list[int] = []
    pair: tuple[int, ...] = ()
    names: dict[str, int] = {}
    colour: Colour = Colour.RED
    note: Note | None = None
    table: Table | None = None
    data: bytes = b""
    events: list[Event] = []


def back(message: Message) -> Message:
    return round_trip("/app/a", message)[1]


@pytest.mark.parametrize(
    "fields",
    [
        {"anything": {"a": [1, 2.5, None, True, "x", {"b": []}]}},
        {"event": Event(at=1)},
        {"score": 1},  # 1 and 1.0 are equal
        {"at": REPEATED},
        {"at": REPEATED.replace(fold=1)},
        {"at": LEFT_OUT},
        {"at": LEFT_OUT.replace(fold=1)},
        {"at": dt.datetime(2030, 10, 27, 2, 30)},
        {"days": {REPEATED: 1, REPEATED.replace(fold=1): 2}},
        {"instants": {REPEATED, LEFT_OUT.replace(fold=1)}},
        {"amount": Decimal("NaN")},
        {"amount": Decimal("1.50")},
        {"names": collections.Counter("aab")},
        {"count": Level.HIGH},
        {"pair": Point(1, 2)},
        {"number": -0.0},
        {"note": Note(text="x")},
        {"table": {"a": 1}},
        {"items": list(range(3))},
    ],
    ids=str,
)
def test_what_comes_back_equal_passes(fields: dict[str, Any]) -> None:
    message = Everything(**fields)
    assert first_difference(message, back(message)) is None


@pytest.mark.parametrize(
    ("fields", "place", "remedy"),
    [
        ({"event": Click(at=1, x=7)}, "event is Click", "Declare Click"),
        ({"event": Bare(at=1)}, "event is Bare", "Declare Bare"),
        ({"events": [Event(), Click()]}, "events[1] is Click", "Declare Click"),
        ({"note": Longer(more=1)}, "note is Longer", "Declare Longer"),
        ({"score": float("inf")}, "score is inf", "JSON has no NaN"),
        ({"score": float("nan")}, "score is nan", "JSON has no NaN"),
        ({"number": 2**60 + 1}, "number is", "as int"),
        ({"text": Colour.RED}, "text is", "Declare the field as Colour"),
        ({"text": b"x"}, "text is b'x'", "as bytes"),
        ({"text": dt.date(2030, 1, 1)}, "text is", "as date"),
        ({"at": "2030-01-01T00:00:00Z"}, "at is", "of type datetime"),
        ({"at": dt.datetime(1800, 1, 1, tzinfo=BERLIN)}, "at is", "Use UTC"),
        ({"data": "eHg="}, "data is", "of type bytes"),
        ({"amount": 0.1}, "amount is 0.1", "of type Decimal"),
        ({"items": (1, 2)}, "items is (1, 2)", "of type list"),
        ({"pair": [1, 2]}, "pair is [1, 2]", "of type tuple"),
        ({"table": {"a": 1, "b": 2}}, "table is", "Use values"),
        ({"anything": {1, 2}}, "anything is {1, 2}", "Declare the field as set"),
        ({"anything": (1, 2)}, "anything is (1, 2)", "Declare the field as tuple"),
        ({"anything": {"a": {"b": (1,)}}}, "anything['a']['b'] is (1,)", "as tuple"),
        ({"anything": [1, Point(1, 2)]}, "anything[1] is Point", "as Point"),
        ({"anything": {1: "x"}}, "a key of anything is 1", "only strings as keys"),
        ({"anything": {Colour.RED: 1}}, "a key of anything is", "only strings as keys"),
        ({"anything": Colour.RED}, "anything is", "as Colour"),
        ({"anything": b"x"}, "anything is b'x'", "as bytes"),
        ({"anything": uuid.UUID(int=1)}, "anything is", "as UUID"),
        ({"anything": dt.datetime(2030, 1, 1, tzinfo=dt.UTC)}, "anything is", "as datetime"),
        ({"anything": dt.timedelta(seconds=1)}, "anything is", "as timedelta"),
        ({"anything": Decimal("1.5")}, "anything is", "as Decimal"),
        ({"anything": Event(at=1)}, "anything is Event", "as Event"),
        ({"anything": Note()}, "anything is Note", "as Note"),
        ({"anything": [float("inf")]}, "anything[0] is inf", "JSON has no NaN"),
    ],
    ids=str,
)
def test_a_difference_is_named_with_its_remedy(fields: dict[str, Any], place: str, remedy: str) -> None:
    with pytest.raises(UndecodableMessage) as caught:
        back(Everything(**fields))
    assert place in caught.value.why
    assert remedy in caught.value.remedy
    assert "Everything can't be sent to /app/a" in str(caught.value)
    assert "requeue" not in str(caught.value)


# -- classes whose own equality says too little, or too much -----------------------------------------------------------


class Holder(Message):
    inside: Uncompared | None = None
    always: AlwaysEqual | None = None
    sloppy: Sloppy | None = None
    by_id: ById | None = None
    vague: Vague | None = None


class OddItself(Message):
    value: Any = None

    def __eq__(self, other: object) -> bool:
        raise ValueError("no comparison here")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize("value", [1, "x", None, [1, {"a": 2}]])
def test_classes_are_compared_field_by_field_whatever_their_equality(value: Any) -> None:
    back(Holder(inside=Uncompared(value)))
    back(Holder(always=AlwaysEqual(value)))
    back(Holder(sloppy=Sloppy(1, value)))
    back(Holder(by_id=ById(1, value)))
    back(Holder(vague=Vague(value)))
    back(OddItself(value=value))


@pytest.mark.parametrize(
    "message",
    [
        Holder(inside=Uncompared((1,))),
        Holder(always=AlwaysEqual((1,))),
        Holder(sloppy=Sloppy(1, (1,))),
        Holder(by_id=ById(1, (1,))),
        Holder(vague=Vague((1,))),
        OddItself(value=(1,)),
    ],
    ids=str,
)
def test_and_a_difference_is_found_in_them(message: Message) -> None:
    with pytest.raises(UndecodableMessage, match=r"is \(1,\) and would come back as \[1\]"):
        back(message)


@pytest.mark.parametrize(
    ("kind", "walked"),
    [
        (Event, False),
        (Everything, False),
        (Note, False),
        (Longer, False),
        (list[Point], False),
        (Uncompared, True),
        (dict[str, AlwaysEqual], True),
        (Sloppy, True),
        (list[ById], True),
        (Box[Sloppy], True),
        (Vague, True),
    ],
    ids=str,
)
def test_only_types_with_an_equality_of_their_own_are_walked(kind: Any, walked: bool) -> None:
    assert is_walked(kind) is walked


class Both(msgspec.Struct):
    one: Box[int]
    other: Box[Any]


@pytest.mark.parametrize(
    ("kind", "open_"),
    [
        (Event, False),
        (dict[str, list[tuple[int, str]]], False),
        (Any, True),
        (list, True),  # type: ignore[type-arg]
        (dict[str, Any], True),
        (Box[int], False),
        (Both, True),  # the same class, once with and once without a say
    ],
    ids=str,
)
def test_types_that_do_not_say_what_is_in_them_are_open(kind: Any, open_: bool) -> None:
    assert is_open(kind) is open_


class Chain(Message):
    link: Chain | None = None


def test_deep_values_are_compared_without_recursion() -> None:
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    back(Everything(anything=deep))
    one, other = Chain(), Chain()
    for _ in range(5_000):
        one, other = Chain(link=one), Chain(link=other)
    assert first_difference(one, other) is None


def test_many_datetimes_of_the_repeated_hour_take_no_time_squared() -> None:
    instants = {REPEATED + dt.timedelta(microseconds=number) for number in range(20_000)}
    back(Everything(instants=instants))
