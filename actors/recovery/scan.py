"""Pending: the mail on disk from before, and whose it is.

The boot reads the heads of all messages (id, address, priority, due) in sequence order. A large backlog isn't waited
for: when the first portions are read, the tree starts, and the scan goes on beside it. The rules for what comes
meanwhile are in docs/semantics/recovery.md; who keeps them is the `Backlog`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from loguru import logger

from ...persistence.errors import StoreError
from ...persistence.store.rows import AttemptRow, Head, MessageRow
from ..execution.paging import page_in
from ..execution.stepping import breathe
from ..kernel.cell import Cell
from ..kernel.errors import ActorNotFound
from ..mailbox.backlog import FEW, Backlog, Rows
from ..mailbox.mailbox import PriorityRow, priority_of
from .damage import intact_attempts

if TYPE_CHECKING:
    from ..system import ActorSystem

__all__ = ("Pending",)

HEADS = 5_000
"""Message heads read at once."""
FIRST = 50_000
"""Heads that are read before the tree starts: as many take a tenth of a second."""
AWAKE_MAX = 1_000
"""Actors that mail from disk brings back at once; others when these have got somewhere."""
LOOK_S = 0.005
"""How soon to look whether they have."""


class _Index:
    """Rows by address. One row is the usual case in a large pool: it is kept as a bare id."""

    def __init__(self) -> None:
        self._found: dict[str, int | Rows] = {}

    def __contains__(self, address: str) -> bool:
        return address in self._found

    def add(self, address: str, ids: Sequence[int], priority: int) -> None:
        found = self._found.get(address)
        if found is None and len(ids) == 1:
            self._found[address] = PriorityRow.of(ids[0], priority)
            return
        if not isinstance(found, Rows):
            rows = self._found[address] = Rows()
            if found is not None:
                rows.add((found,), priority_of(found))
            found = rows
        found.add(ids, priority)

    def count(self, address: str) -> int:
        found = self._found.get(address, 0)
        return found.count if isinstance(found, Rows) else int(found > 0)

    def pop(self, address: str) -> Rows | None:
        found = self._found.pop(address, None)
        if not isinstance(found, int):
            return found
        rows = Rows()
        rows.add((found,), priority_of(found))
        return rows

    def ids(self) -> list[int]:
        return [row_id for found in self._found.values() for row_id in ((found,) if isinstance(found, int) else found)]

    def addresses(self) -> list[str]:
        return list(self._found)

    def clear(self) -> None:
        self._found.clear()


class Pending:
    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self.scanning = False
        """Whether there are messages on disk that nobody knows of yet."""
        self.suspects: list[MessageRow] = []
        """The rows of suspects, as the boot found them."""
        self.horizon = 0
        """What has a higher id was told in this life."""
        self._homeless = _Index()
        """Mail for addresses without a cell."""
        self._late = _Index()
        """The same of what came during the scan."""
        self._attempts: dict[int, int] = {}
        """Failed ones of messages that are not in memory yet."""
        self._damaged: list[int] = []
        """Rows that don't even say whose they are."""
        self._newcomers: deque[str] = deque()
        """Addresses of mail for which nobody has been brought back yet."""
        self._after = 0
        """The id up to which the heads are read."""
        self._found = 0
        self._orphans: list[str] = []
        """Addresses of mail that nobody in the tree has; said when all of it is known."""
        self._settled = False
        """Whether the cells have their mailboxes: what is found then goes straight into them."""
        self._life = 0
        """How often everything was read anew."""
        self._tried: deque[AttemptRow] = deque()
        """Attempts that have been read, and their messages not yet."""
        self._tried_after: int | None = 0
        """The id up to which they are; None: to the end."""
        self._over: asyncio.Future[None] | None = None

    # -- the scan --------------------------------------------------------------------------------------

    def reset(self) -> None:
        """The store has failed: what was read doesn't count."""
        self._life += 1
        self.scanning = self._settled = False
        self._after = self._found = 0
        self._tried_after = 0
        for found in (self._homeless, self._late, self._newcomers, self._orphans, self._tried):
            found.clear()
        self._attempts.clear()
        self._damaged.clear()
        self.suspects.clear()
        self._say_over()

    async def load(self, suspects: Collection[str]) -> int:
        """Read the heads of pending messages into the index: all of those before the suspects, by uid, and a good
        number. Returns how many there are so far.

        Nothing may be told meanwhile.
        """
        system = self._system
        self.reset()
        self.scanning = True
        self.horizon = system.last_id
        if suspects:
            self.suspects += await system.store.with_uids(suspects)
        furthest = max((row.id for row in self.suspects), default=0)
        while self.scanning and (self._found < FIRST or self._after < furthest):
            await self._portion()
        self._settled = True
        for cell in system.cells.values():
            self.move_in(cell)
        return self._found

    async def _portion(self) -> None:
        """Read some heads, and settle them."""
        life = self._life
        heads = await self._system.store.heads(self._after, HEADS)
        tried = await self._attempts_until(heads[-1].id) if heads else {}
        if life != self._life:
            return
        at_end = len(heads) < HEADS or heads[-1].id >= self.horizon
        if at_end:
            heads = [head for head in heads if head.id <= self.horizon]
        self._settle(heads, tried)
        self._found += len(heads)
        if heads:
            self._after = heads[-1].id
        self.scanning = not at_end

    async def _attempts_until(self, row_id: int) -> dict[int, AttemptRow]:
        """The attempts of messages that are being read. Those of others, which come into being meanwhile, are of
        messages that have been read, or were told in this life."""
        tried, life = self._tried, self._life
        while self._tried_after is not None and (not tried or tried[-1].id <= row_id):
            rows = await self._system.store.scan(AttemptRow, after=(self._tried_after,), limit=HEADS)
            if life != self._life:
                return {}
            tried.extend(rows)
            self._tried_after = rows[-1].id if len(rows) == HEADS else None
        due = []
        while tried and tried[0].id <= row_id:
            due.append(tried.popleft())
        return intact_attempts(self._system, due)

    def _settle(self, heads: list[Head], tried: dict[int, AttemptRow]) -> None:
        now, delays = self._system.runtime.now(), self._system.delays
        plain: dict[str, list[int]] = {}
        waiting: list[tuple[float, int, str]] = []
        for row_id, address, priority, due in heads:
            if type(address) is not str or type(priority) is not int or not isinstance(due, float | int | None):
                self._damaged.append(row_id)
                continue
            attempt = tried.get(row_id) if tried else None
            if attempt is not None:
                self._attempts[row_id] = attempt.count
                if attempt.due > now:
                    delays.delay(address, PriorityRow.of(row_id, priority), attempt.due, retry=True)
                    continue
            if due is not None and due > now:
                if priority:
                    delays.delay(address, PriorityRow.of(row_id, priority), due)
                else:
                    waiting.append((due, row_id, address))
            elif priority:
                self._settle_in(address, (row_id,), priority)
            else:
                ids = plain.get(address)
                if ids is None:
                    plain[address] = [row_id]
                else:
                    ids.append(row_id)
        delays.delay_rows(waiting)
        for address, ids in plain.items():
            self._settle_in(address, ids, 0)

    def _settle_in(self, address: str, ids: Sequence[int], priority: int) -> None:
        cell = self._system.cells.get(address)
        if cell is None or not self._settled:
            if address not in self._homeless:
                self._newcomers.append(address)
            self._homeless.add(address, ids, priority)
        else:
            cell.mailbox.add_rows(ids, priority)
            cell.wake()

    def go_on(self) -> None:
        """The tree has started: bring actors back for whom mail waits, and look for the rest of it."""
        for cell in list(self._system.cells.values()):
            cell.wake()
        self._bring_back()
        if self.scanning or self._newcomers:
            self._system.background(self._go_on(self._life), "greenroom backlog")

    async def _go_on(self, life: int) -> None:
        runtime = self._system.runtime
        while self._life == life and (self.scanning or self._newcomers):
            if self.scanning:
                try:
                    await self._portion()
                except StoreError as error:
                    if self._life == life:
                        self._system.recovery.store_failed(error)
                    return
                if self._life != life:
                    return
                if not self.scanning:
                    await self._finish()
                await breathe()
            else:
                await runtime.sleep(LOOK_S)
            self._bring_back()

    async def _finish(self) -> None:
        """Everything is known: what came during the scan has its place behind it."""
        for address in self._late.addresses():
            rows = self._late.pop(address)
            assert rows is not None
            for priority, lane in rows.lanes.items():
                self._settle_in(address, list(lane), priority)
        for cell in list(self._system.cells.values()):
            cell.mailbox = cell.mailbox.settle()
            cell.wake()
        orphans, self._orphans = self._orphans, []
        for address in orphans:
            self._say_orphaned(address)
        self._say_over()
        await self.park_damaged()

    def _say_orphaned(self, address: str) -> None:
        count = self._homeless.count(address)
        self._system.events.emit("message.orphaned", address, pending=count)
        logger.warning("{} messages wait for {}, and nothing in the tree has that address", count, address)

    def _say_over(self) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def complete(self) -> None:
        """Return when the scan is over, or the tree is being reset: for what must know all the mail of an actor."""
        while self.scanning:
            if self._over is None or self._over.done():
                self._over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)

    async def park_damaged(self) -> None:
        """Rows that have no place in the index: they fail their checksum, and are parked."""
        if self._damaged:
            damaged, self._damaged = self._damaged, []
            await page_in(self._system, damaged)

    # -- cells that come and go -------------------------------------------------------------------------

    def _bring_back(self) -> None:
        """Some of those for whom mail waits; their first message starts them."""
        system, newcomers = self._system, self._newcomers
        while newcomers and len(system.runners.ready) < AWAKE_MAX:
            address = newcomers.popleft()
            if address not in self._homeless:
                continue
            try:
                system.resolve(address).wake()
            except ActorNotFound:
                if self.scanning:
                    self._orphans.append(address)
                else:
                    self._say_orphaned(address)

    def move_in(self, cell: Cell) -> None:
        """A cell was made: its mail from disk is its mailbox's now."""
        rows, late = self._homeless.pop(cell.address), self._late.pop(cell.address)
        if cell.durable and (self.scanning or (rows is not None and rows.count > FEW)):
            backlog = cell.mailbox = Backlog(cell, self)
            if late is not None:
                for priority, lane in late.lanes.items():
                    backlog.add_behind(list(lane), priority)
        elif late is not None:
            for priority, lane in late.lanes.items():
                cell.mailbox.add_rows(list(lane), priority)
        if rows is not None:
            for priority, lane in rows.lanes.items():
                cell.mailbox.add_rows(list(lane), priority)

    def keep(self, address: str, row_id: int, priority: int = 0) -> None:
        """Mail for an address that nobody has: it stays on disk until somebody does."""
        if row_id:
            index = self._late if self.scanning and row_id > self.horizon else self._homeless
            index.add(address, (row_id,), priority)

    def keep_mail(self, cell: Cell) -> None:
        """A cell is about to be forgotten, and its mail isn't: it waits for whoever has the address next."""
        for entry in cell.mailbox.entries():
            row_id = entry if isinstance(entry, int) else getattr(entry, "id", 0)
            self.keep(cell.address, int(row_id), priority_of(entry))

    def drop(self, address: str) -> None:
        """Forget the mail of an address that nobody has: it is being deleted."""
        self._homeless.pop(address)
        self._late.pop(address)

    def orphans(self) -> list[int]:
        """Rows whose address nobody has."""
        return self._homeless.ids()

    def attempts_of(self, row_id: int) -> int:
        return self._attempts.pop(row_id, 0)

    def park(self, cell: Cell) -> bool:
        """Take a cell whose mail all waits for the scan out of its runner's hands. False: it needn't wait."""
        mailbox = cell.mailbox
        if not isinstance(mailbox, Backlog) or not mailbox.blocked:
            return False
        mailbox.parked = True
        cell.runner = -1
        if cell.quiet is not None:
            cell.now_quiet()
        return True
