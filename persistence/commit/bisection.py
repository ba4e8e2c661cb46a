"""Bisection: finds the entry of a batch that the database refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from ..errors import StoreDataError
from .effects import Entry

__all__ = ("Bisected", "bisect")


class Bisected(NamedTuple):
    guilty: Entry | None
    """The entry that the database refuses; None if it refused the batch only as a whole, or only once."""
    position: int
    """Its position in the commit queue; if there is none, that of the last entry committed."""
    error: StoreDataError
    behind: list[Entry]
    """The entries behind that position, uncommitted."""


async def bisect(
    batch: list[Entry],
    before: int,
    error: StoreDataError,
    write: Callable[[Sequence[Entry]], Awaitable[object]],
    landed: Callable[[int], object],
) -> Bisected:
    """Commit the longest prefix that the database takes.

    Args:
        before: the position before the batch's first entry.
        error: why the batch was refused.
        write: makes one commit.
        landed: told, after each commit, of the position up to which everything is committed.

    Raises:
        StoreFull, StoreUnavailable, Fenced: from `write`.
    """
    behind: list[Entry] = []
    while len(batch) > 1:
        half = len(batch) // 2
        try:
            await write(batch[:half])
        except StoreDataError as narrower:
            behind = batch[half:] + behind
            error, batch = narrower, batch[:half]
            continue
        before += half
        landed(before)
        batch = batch[half:]
        try:
            await write(batch)
        except StoreDataError as narrower:
            error = narrower
        else:
            before += len(batch)
            landed(before)
            return Bisected(None, before, error, behind)
    return Bisected(batch[0], before + 1, error, behind)
