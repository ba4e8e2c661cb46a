"""Bisection: which of a batch's effects the database refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .effects import Effects
from .errors import StoreDataError

__all__ = ("bisect",)


async def bisect(
    batch: list[Effects],
    error: StoreDataError,
    write: Callable[[list[Effects]], Awaitable[object]],
    landed: Callable[[list[Effects]], object],
) -> tuple[Effects | None, StoreDataError, list[Effects]]:
    """Commit the longest prefix that the database takes.

    Args:
        error: why the batch was refused. write: makes one commit. landed: told of each that is made.

    Returns:
        Whom it refuses, None if it was refused only in a larger batch, or only once; why; and what comes behind.

    Raises:
        StoreFull, StoreUnavailable, Fenced: from `write`.
    """
    behind: list[Effects] = []
    while len(batch) > 1:
        half = len(batch) // 2
        try:
            await write(batch[:half])
        except StoreDataError as narrower:
            behind = batch[half:] + behind
            error, batch = narrower, batch[:half]
            continue
        landed(batch[:half])
        batch = batch[half:]
        try:
            await write(batch)
        except StoreDataError as narrower:
            error = narrower
        else:
            landed(batch)
            return None, error, behind
    return batch[0], error, behind
