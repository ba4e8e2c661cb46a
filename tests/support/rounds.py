"""Let a loop go on for a while, where nothing says when what must not happen would have happened."""

from __future__ import annotations

import asyncio
import time

__all__ = ("rounds",)

KEPT_OFF_S = 0.02
"""A cell that holds the loop for a millisecond is kept off it for two while a commit is under way; if it
was slow, for more."""


async def rounds(count: int = 40) -> None:
    """Everything that can run runs: so many rounds, and until whoever had to give the loop back has it again."""
    until_s = time.monotonic() + KEPT_OFF_S
    while count > 0 or time.monotonic() < until_s:
        await asyncio.sleep(0)
        count -= 1
