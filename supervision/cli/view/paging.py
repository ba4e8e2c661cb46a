"""Paging: a listing never grows without bound, and says so when it was cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypeVar

from cyclopts import Parameter

from .output import note

__all__ = ("Limit", "check_limit", "page")

T = TypeVar("T")


def check_limit(_: object, limit: int) -> None:
    if limit < 1:
        raise ValueError("It is at least 1.")


Limit = Annotated[int, Parameter(help="Entries at most.", validator=check_limit)]


def page(found: Sequence[T], limit: int, what: str) -> list[T]:
    """The first `limit` of what was found, with a note if there is more."""
    if len(found) > limit:
        note(f"only the first {limit} {what} are shown: --limit {limit * 10} shows more")
    return list(found[:limit])
