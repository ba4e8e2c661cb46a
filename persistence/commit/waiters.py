"""Waiters: the callers that are told when a position of the commit queue is on disk, or lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..errors import StoreError

__all__ = ("Waiter", "Waiters")

Waiter = Callable[[StoreError | None], object]
"""Called with None once its position is on disk, or with the error because of which that was dropped."""


class Waiters:
    """Callers that wait for positions, told in the order in which they came."""

    def __init__(self, bug: Callable[[BaseException], object]) -> None:
        """
        Args:
            bug: told of an exception that a waiter raises; the other waiters are told nevertheless.
        """
        self.waiting: list[tuple[int, Waiter | asyncio.Future[None]]] = []
        self._bug = bug

    def add(self, position: int, waiter: Waiter | asyncio.Future[None]) -> None:
        self.waiting.append((position, waiter))

    def tell(self, end: int, error: StoreError | None) -> None:
        """Everything up to `end` is on disk, or was dropped because of `error`."""
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        for item in waiting:
            position, waiter = item
            if position > end:
                self.waiting.append(item)
            elif isinstance(waiter, asyncio.Future):
                if waiter.done():
                    continue  # its caller was cancelled
                if error is None:
                    waiter.set_result(None)
                else:
                    waiter.set_exception(error)
            else:
                try:
                    waiter(error)
                except Exception as raised:
                    self._bug(raised)
