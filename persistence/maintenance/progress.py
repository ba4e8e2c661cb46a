"""Progress: how far long work is, for the caller that waits for it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ("Progress", "unseen")

Progress = Callable[[int, int], object]
"""Called with how much is done, and how much there is in all; (0, 0) while that isn't known. An exception that it
raises ends the work."""


def unseen(done: int, total: int) -> None:
    """Report nothing."""
