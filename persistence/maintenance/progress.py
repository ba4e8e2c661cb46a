"""Progress of long work, for whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ("Progress", "unseen")

Progress = Callable[[int, int], object]
"""Called with what is done and what there is in all; (0, 0) while nobody knows. What it raises ends the work."""


def unseen(done: int, total: int) -> None:
    """Nobody looks."""
