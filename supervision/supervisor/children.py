"""Children: the children of one supervisor, and how it starts, stops and forgets them. OTP: supervisor(3)."""

from __future__ import annotations

from typing import cast

from loguru import logger

from ...actors.execution.shutdown import stop as stop_cell
from ...actors.execution.start import start as start_cell
from ...actors.kernel.cell import PASSIVE, Cell
from ...actors.kernel.errors import Ignore
from ...actors.messages.signals import ExitReason
from ..spec.spec import Spec, SupervisorSpec, shutdown_seconds
from .tree import Tree

__all__ = ("Children",)


class Children:
    """The children of the supervisor `cell`. The tree makes and knows their cells."""

    def __init__(self, tree: Tree, cell: Cell, spec: SupervisorSpec) -> None:
        self.tree = tree
        self.cell = cell
        self.spec = spec
        """The supervisor's. `Reconfigure` replaces it."""

    def all(self) -> list[Cell]:
        """Every child, in start order."""
        return self.tree.children.of(self.cell)

    def find(self, address: str) -> Cell | None:
        """The child that has this address."""
        return self.tree.children.find(self.cell, address)

    async def start(self, child: Cell) -> bool:
        """Start one child; returns whether it runs. An `Ignore` leaves it stopped, with its spec kept.

        The spec of a temporary child, or of a dynamic supervisor's child, goes then.

        Raises:
            StartFailed
        """
        self.tree.children.renew(child)
        self.cell.waits_for(child)  # a start that asks its own supervisor would wait for ever: it gets AskCycle
        try:
            await start_cell(child)
        except Ignore as ignored:
            logger.debug("{} doesn't want to run: {}", child.address, ignored)
            if cast(Spec, child.spec).restart == "temporary" or self.spec.strategy == "dynamic":
                self.forget(child)
            return False
        finally:
            self.cell.has_waited_for(child)
        return True

    async def stop_in_reverse(self, children: list[Cell]) -> None:
        """Stop them in reverse, one by one (OTP); those of a dynamic supervisor all at once, under one timeout."""
        if self.spec.strategy == "dynamic":
            await self.tree.stop_together(children)
            return
        for child in reversed(children):
            await self.stop(child)

    async def stop(self, child: Cell, *, then: str = PASSIVE) -> None:
        """Stop one child within the shutdown time of its spec."""
        timeout_s = shutdown_seconds(cast(Spec, child.spec).shutdown)
        reason = ExitReason.killed() if timeout_s == 0 else ExitReason.shutdown()
        await stop_cell(child, reason, timeout_s, then=then)

    def forget(self, child: Cell) -> None:
        """A child has ended, and its spec goes. A child that the tree names is back at the next boot."""
        tree = self.tree
        tree.children.drop(child)
        if not child.on_demand and child.address not in tree.children.planned:
            tree.rows.delete(self.cell.address, cast(Spec, child.spec).id)
            tree.rows.submit()

    async def delete(self, child: Cell) -> None:
        """Administration deletes a child: its spec goes, with its row. State and mail stay in the store.

        Raises:
            StoreFull, StoreUnavailable
        """
        self.tree.rows.delete(self.cell.address, cast(Spec, child.spec).id)
        await self.tree.rows.commit()
        self.tree.children.drop(child)
