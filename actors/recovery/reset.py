"""Reset: the rows that a node takes up at its boot, and again after its store has failed (docs/semantics/commit.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from loguru import logger

from ...persistence.errors import Fenced, StoreCorrupt, StoreDataError, StoreError, StoreFull, StoreUnavailable
from ...persistence.store.attempts import Started
from ..execution.dispatcher import Dispatcher
from ..execution.start import start
from ..kernel.errors import StartFailed
from ..kernel.failures import Refusals
from ..kernel.kernel import Kernel
from ..mailbox.mailbox import Mailbox
from .caution import Caution
from .damage import report_loss
from .scan import Scan

__all__ = ("Reset",)

RETRY_S_MIN, RETRY_S_MAX = 0.1, 5.0
"""Seconds between attempts to reopen a broken store, at first and at most."""


class Reset:
    """The tree of one node, taken up from its store."""

    def __init__(self, kernel: Kernel, dispatcher: Dispatcher, scan: Scan) -> None:
        self._kernel = kernel
        self._dispatcher = dispatcher
        self._scan = scan
        self.reset_by: StoreError | None = None
        """The error by which the tree was reset the last time."""
        self.task: asyncio.Task[None] | None = None
        """The task that brings the tree back."""
        kernel.on_broken = self.broken

    # -- boot ------------------------------------------------------------------------------------------

    def suspect(self, started: Iterable[Started]) -> None:
        """Note the suspects, by what the slot file has. The tree hasn't started, and no runner has noted anything."""
        found = list(started)
        if found:
            self._kernel.caution = Caution(self._kernel, self._dispatcher, self._scan, found)

    async def load(self) -> int:
        """Read the messages that wait on disk, or the first of them (`Scan.load`). Returns how many that are.

        Nothing may be told meanwhile.
        """
        kernel = self._kernel
        kernel.delayed.clear()
        for cell in kernel.cells.values():  # a load that broke off may have filled them
            cell.swap(Mailbox())
        for load in kernel.hooks.load:
            await load()
        kernel.seen_id(await kernel.store.last_id())
        owner = await kernel.store.owner()
        kernel.seen_id(0 if owner is None else owner.last_id)
        return await self._scan.load({} if self.caution is None else self.caution.suspects)

    @property
    def caution(self) -> Caution | None:
        """The care of suspects; None if there are none."""
        caution = self._kernel.caution
        return caution if isinstance(caution, Caution) else None

    @property
    def suspects_left(self) -> int:
        """The number of suspects that there still are."""
        return 0 if self.caution is None else len(self.caution.suspects)

    async def run_suspects(self) -> None:
        """Let suspects run again, because the tree has started."""
        if self.caution is not None:
            await self.caution.begin()

    async def look_round(self) -> None:
        """Bring actors back for which mail waits, and let features look round, because the tree has started."""
        self._scan.go_on()
        for look_round in self._kernel.hooks.look_round:
            await look_round()

    # -- a broken store --------------------------------------------------------------------------------------

    def broken(self, error: StoreError, charged: bool = True) -> None:
        """Reset the tree from the database, because everything uncommitted is gone.

        Args:
            charged: whether a party answers for it (kernel/failures.py), if data were refused.
        """
        kernel = self._kernel
        if kernel.resetting or kernel.closing or kernel.gave_up is not None:
            return
        kernel.resetting = True
        self.reset_by = error
        kernel.events.emit("node.broken", kernel.root_address, error=type(error).__name__, text=str(error))
        final = isinstance(error, Fenced | StoreCorrupt)
        logger.error(f"the store failed, {'the node ends' if final else 'the tree will be reset from it'}: {{}}", error)
        for reset in kernel.hooks.reset:
            reset()
        for cell in list(kernel.cells.values()):
            cell.reset(kernel.commits.failure or error)
        self._dispatcher.reset()
        if self.caution is not None:
            self.caution.stop_waiting()
        kernel.delayed.clear()
        self._scan.reset()
        if not charged and not kernel.part(Refusals).bears(error):
            return
        self.task = kernel.background(self._recover(final or isinstance(error, StoreDataError)), "greenroom recovery")

    async def _recover(self, at_once: bool) -> None:
        kernel, runtime = self._kernel, self._kernel.runtime
        began = runtime.monotonic()
        delay_s = RETRY_S_MIN
        while True:
            if not at_once:
                await runtime.sleep(delay_s)
            at_once = False
            delay_s = min(delay_s * 2, RETRY_S_MAX)
            try:
                await kernel.committer.recover()
                report_loss(kernel)
                await kernel.activator.reload()
                await self.load()
                kernel.committer.resume()
                await self._scan.park_damaged()
                break
            except (StoreFull, StoreUnavailable, StoreDataError) as error:
                if not kernel.part(Refusals).bears(error):
                    return
            except (Fenced, StoreCorrupt) as error:
                kernel.give_up(error)
                return
        root = kernel.root
        assert root is not None
        kernel.resetting = False
        for catch_up in kernel.hooks.catch_up:
            await catch_up()
        if kernel.resetting:
            return
        try:
            await start(root)
        except StartFailed as error:
            if not kernel.resetting:
                kernel.give_up(error)
            return
        await self.look_round()
        kernel.events.emit("node.recovered", root.address, down_s=runtime.monotonic() - began)
        logger.info("the store is back after {:.1f} s", runtime.monotonic() - began)
