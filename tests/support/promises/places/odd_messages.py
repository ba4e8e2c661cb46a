"""The messages of random programs of odd ends. Each has a number of its own."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from odd_values import VALUES, Event

from greenroom import Message, Request

__all__ = (
    "KINDS",
    "Bad",
    "Carried",
    "Echo",
    "Loose",
    "Many",
    "Numbers",
    "Outside",
    "Parcel",
    "Plain",
    "Question",
    "Quit",
    "Sql",
    "Stated",
    "Told",
    "Waiting",
    "carrier",
    "parcel",
)


class Told(Message):
    number: int
    what: str = ""
    waits: bool = False
    times: int = 0
    """It is done at the first so many attempts."""


class Plain(Told): ...


class Waiting(Told): ...


class Many(Told): ...


class Outside(Told): ...


class Sql(Told): ...


class Stated(Told): ...


class Quit(Told): ...


class Bad(Told): ...


class Carried(Told):
    """Carries a value, in fields that can't change."""

    event: Event | None = None
    score: float | None = None
    when: dt.datetime | None = None


class Loose(Told):
    """Carries a value of any type."""

    data: Any = None


KINDS: list[type[Told]] = [Plain, Waiting, Many, Outside, Sql, Stated]


class Question(Request[int]):
    what: str = ""
    waits: bool = False
    number: int = 0
    """Above 0 if it must not be asked."""


class Numbers(Request[list[int]]):
    pass


class Parcel(msgspec.Struct):
    """What a state keeps and a reply brings."""

    event: Event | None = None
    score: float | None = None
    when: dt.datetime | None = None
    data: Any = None
    names: dict[str, str] = {}
    """By field: the name of its value (odd_values.py)."""


class Echo(Request[Parcel]):
    """Asks for a value, and carries one."""

    wanted: str
    carried: Parcel


def carrier(number: int, name: str) -> Told:
    """A message with the value of this name."""
    field, value = VALUES[name]
    kind = Loose if field == "data" else Carried
    return kind(number=number, what=name, **{field: value})


def parcel(name: str) -> Parcel:
    field, value = VALUES[name]
    return Parcel(**{field: value}, names={field: name})
