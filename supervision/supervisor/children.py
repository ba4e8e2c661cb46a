"""Children: the children of one supervisor, and how it starts, stops and forgets them. OTP: supervisor(3)."""

from __future__ import annotations

import asyncio
from typing import cast

from loguru import logger

from ...actors.execution.hook_turns import ORPHANED
from ...actors.execution.shutdown import stop as stop_cell
from ...actors.execution.start import start as start_cell
from ...actors.kernel.cell import GONE, PASSIVE, STARTING, STOPPED, STOPPING, UP, Cell
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

    async def start(self, child: Cell, *, keep: bool = False) -> bool:
        """Start one child; returns whether it runs. An `Ignore` leaves it stopped, with its spec kept.

        The spec of a temporary child, or of a dynamic supervisor's child, goes then, unless `keep` is set.

        Raises:
            StartFailed
        """
        self.tree.children.renew(child)
        self.cell.waits_for(child)  # a start that asks its own supervisor would wait for ever: it gets AskCycle
        try:
            await start_cell(child)
        except Ignore as ignored:
            logger.debug("{} doesn't want to run: {}", child.address, ignored)
            if self.spec.strategy == "dynamic" or (cast(Spec, child.spec).restart == "temporary" and not keep):
                self.forget(child)
            return False
        finally:
            self.cell.has_waited_for(child)
        return True

    async def stop_in_reverse(self, children: list[Cell]) -> None:
        """Stop them in reverse, one by one (OTP); those of a dynamic supervisor all at once, under one timeout."""
        if self.spec.strategy == "dynamic":
            running = [child for child in children if child.status not in (PASSIVE, STOPPED, GONE)]
            await asyncio.gather(*map(self.stop, running))
            return
        for child in reversed(children):
            await self.stop(child)

    async def stop(self, child: Cell, *, then: str = PASSIVE) -> None:
        """Stop one child within the shutdown time of its spec, and what it leaves behind."""
        timeout_s = shutdown_seconds(cast(Spec, child.spec).shutdown)
        reason = ExitReason.killed() if timeout_s == 0 else ExitReason.shutdown()
        await stop_cell(child, reason, timeout_s, then=then)
        await self.end_orphans(child)
        if then is STOPPED:
            self.tree.children.rest(child)

    async def end_orphans(self, child: Cell) -> None:
        """End all that runs below a child which doesn't run itself. Mostly nothing does.

        A supervisor that was killed (`shutdown="brutal_kill"`, or its time ran out) had no time to stop its children.
        In OTP they get its exit signal, `killed`, over their links. Here they are stopped with that reason, all at
        once, each within its own shutdown time; a supervisor among them stops its children in reverse, as ever. The
        caller waits for that, because one incarnation of an address has to be over before the next one begins.
        """
        if not isinstance(child.spec, SupervisorSpec):
            return
        left = [
            below
            for below in self.tree.children.of(child)
            if below.status in (STARTING, UP, STOPPING) or isinstance(below.spec, SupervisorSpec)
        ]
        if left:
            await asyncio.gather(*map(self._end_orphan, left))

    async def _end_orphan(self, child: Cell) -> None:
        if child.status in (STARTING, UP, STOPPING):
            timeout_s = shutdown_seconds(cast(Spec, child.spec).shutdown)
            await stop_cell(child, ExitReason.killed() if timeout_s == 0 else ORPHANED, timeout_s, then=PASSIVE)
        await self.end_orphans(child)

    def forget(self, child: Cell) -> None:
        """A child has ended, and its spec goes. A child that the tree names is back at the next boot, and one that its
        supervisor's spec names when that supervisor starts anew."""
        tree = self.tree
        tree.children.drop(child)
        if not (child.on_demand or child.address in tree.children.planned or tree.children.names(child)):
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
