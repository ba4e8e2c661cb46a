"""Activator: what the system asks of whoever knows the tree. Supervision implements it."""

from __future__ import annotations

from typing import Any, Protocol

from ...persistence.store.rows import Row
from .cell import Cell

__all__ = ("Activator",)


class Activator(Protocol):
    """Makes cells for addresses without one. Supervision implements it."""

    def activate(self, parent: Cell, key: str) -> Cell | None:
        """The cell of a new child of `parent`, or None if it takes none."""

    def forget(self, cell: Cell) -> None:
        """A child has retired: nobody starts it again."""

    def started(self, cell: Cell) -> None:
        """A cell is up; if it is a supervisor, mail may start its children now."""

    def retired(self, cell: Cell) -> list[tuple[type[Row], Any]]:
        """The rows, kind and key, that are to be deleted in the commit that retires a child."""
        ...

    def route(self, cell: Cell, key: str) -> str:
        """The address of the partition of `cell` that a key belongs to.

        Raises:
            ActorNotFound: it has none.
        """
        ...

    async def reload(self) -> None:
        """The store failed, and is back: forget what it may not know."""
