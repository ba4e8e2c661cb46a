"""Idle: callers that wait until nothing is left to do."""

from __future__ import annotations

import asyncio

__all__ = ("Idle",)


class Idle:
    """The futures of the callers that wait for a node to be idle."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    async def wait(self) -> None:
        """Return when it may be idle. The caller checks whether it is."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
