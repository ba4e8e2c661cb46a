"""Values that come back from JSON as they were, by value or by instant, and values that would come back different."""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

__all__ = ("BAD", "FIELDS", "GOOD", "VALUES", "Event", "Value", "alike")

BERLIN = ZoneInfo("Europe/Berlin")
HALF_A_MINUTE = dt.timezone(dt.timedelta(seconds=30))


class Event(msgspec.Struct, frozen=True):
    at: int = 0


class Click(Event, frozen=True):
    x: int = 0


class Value(NamedTuple):
    field: str
    """event, score, when or data: the field that carries it, in messages, states and replies."""
    value: Any


FIELDS = ("event", "score", "when", "data")
GOOD: dict[str, Value] = {
    "an event": Value("event", Event(at=3)),
    "a float": Value("score", 1.5),
    "nothing": Value("score", None),
    "UTC": Value("when", dt.datetime(2030, 1, 1, tzinfo=dt.UTC)),
    "no zone": Value("when", dt.datetime(2030, 1, 1, 2)),
    "the repeated hour": Value("when", dt.datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN)),
    "the repeated hour again": Value("when", dt.datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN, fold=1)),
    "the hour left out": Value("when", dt.datetime(2030, 3, 31, 2, 30, tzinfo=BERLIN)),
    "a list": Value("data", [1, 2]),
    "a dict": Value("data", {"a": [1, None]}),
}
BAD: dict[str, Value] = {
    "a subclass": Value("event", Click(at=3, x=7)),
    "infinity": Value("score", float("inf")),
    "NaN": Value("score", float("nan")),
    "too many bits": Value("score", 2**60 + 1),
    "half a minute": Value("when", dt.datetime(2030, 1, 1, tzinfo=HALF_A_MINUTE)),
    "a tuple": Value("data", (1, 2)),
    "a tuple inside": Value("data", {"a": (1, None)}),
    "a set": Value("data", {1}),
    "a key": Value("data", {1: 2}),
    "a datetime in Any": Value("data", dt.datetime(2030, 1, 1, tzinfo=dt.UTC)),
    "a struct in Any": Value("data", Event(at=3)),
}
VALUES = GOOD | BAD


def alike(given: Any, back: Any) -> bool:
    """Whether a value came back as it was. Aware datetimes are compared by instant; all else has its class, too."""
    if isinstance(given, dt.datetime) and isinstance(back, dt.datetime) and given.tzinfo and back.tzinfo:
        return given.timestamp() == back.timestamp()
    return type(given) is type(back) and bool(given == back)
