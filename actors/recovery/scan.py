"""Scan: the mail on disk from before, and the actors it is for.

The boot reads the heads of all messages (id, address, priority, due) in sequence order. A large backlog isn't waited
for: when the first portions are read, the tree starts, and the scan goes on beside it. The rules for mail that comes
meanwhile are in docs/semantics/recovery.md; the `Backlog` keeps them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence

from loguru import logger

from ...persistence.errors import StoreError
from ...persistence.store.rows import AttemptRow, Head, MessageRow
from ..execution.dispatcher import Dispatcher
from ..execution.paging import page_in
from ..execution.user_code.stepping import breathe
from ..kernel.errors import ActorNotFound
from ..kernel.kernel import Kernel
from ..kernel.router import Router
from ..mailbox.mailbox import PriorityRow
from .damage import intact_attempts

__all__ = ("Scan",)

HEADS = 5_000
"""The number of message heads that are read at once."""
FIRST = 50_000
"""The number of heads that are read before the tree starts. So many take a tenth of a second."""
AWAKE_MAX = 1_000
"""The number of actors that mail from disk brings back at once; others follow when these have got somewhere."""
LOOK_S = 0.005
"""Seconds until the next look whether they have."""


class Scan:
    """The scan of one node's messages on disk, into its `MailIndex`."""

    def __init__(self, kernel: Kernel, router: Router, dispatcher: Dispatcher) -> None:
        self._kernel = kernel
        self._router = router
        self._dispatcher = dispatcher
        self._index = kernel.index
        self.suspects: list[MessageRow] = []
        """The suspects' rows, as the boot found them."""
        self._damaged: list[int] = []
        """Ids of rows that are so damaged that they name no address."""
        self._newcomers: deque[str] = deque()
        """Addresses of mail whose actors haven't been brought back yet."""
        self._after = 0
        """The id up to which the heads are read."""
        self._found = 0
        self._orphans: list[str] = []
        """Addresses of mail that nothing in the tree has. They are reported when all of the mail is known."""
        self._settled = False
        """Whether the cells have their mailboxes. Mail that is found then goes straight into them."""
        self._life = 0
        """The number of times that everything was read anew."""
        self._tried: deque[AttemptRow] = deque()
        """Attempts that have been read before their messages."""
        self._tried_after: int | None = 0
        """The id up to which the attempts are read; None: to the end."""

    # -- the scan --------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Forget everything that was read, because the store has failed."""
        self._life += 1
        self._settled = False
        self._after = self._found = 0
        self._tried_after = 0
        for found in (self._newcomers, self._orphans, self._tried):
            found.clear()
        self._damaged.clear()
        self.suspects.clear()
        self._index.clear()

    async def load(self, suspects: Collection[str]) -> int:
        """Read the heads of pending messages into the index: at least `FIRST` of them, and all up to the suspects' (by
        uid). Returns how many there are so far.

        Nothing may be told meanwhile.
        """
        kernel, index = self._kernel, self._index
        self.reset()
        index.scanning = True
        index.horizon = kernel.last_id
        if suspects:
            self.suspects += await kernel.store.with_uids(suspects)
        furthest = max((row.id for row in self.suspects), default=0)
        while index.scanning and (self._found < FIRST or self._after < furthest):
            await self._portion()
        self._settled = True
        for cell in kernel.cells.values():
            self._router.move_in(cell)
        return self._found

    async def _portion(self) -> None:
        """Read some heads, and settle them."""
        life = self._life
        heads = await self._kernel.store.heads(self._after, HEADS)
        tried = await self._attempts_until(heads[-1].id) if heads else {}
        if life != self._life:
            return
        at_end = len(heads) < HEADS or heads[-1].id >= self._index.horizon
        if at_end:
            heads = [head for head in heads if head.id <= self._index.horizon]
        self._settle(heads, tried)
        self._found += len(heads)
        if heads:
            self._after = heads[-1].id
        self._index.scanning = not at_end

    async def _attempts_until(self, row_id: int) -> dict[int, AttemptRow]:
        """The attempts of messages that are being read. Attempts of others, which come into being meanwhile, are of
        messages that have been read, or were told in this life."""
        tried, life = self._tried, self._life
        while self._tried_after is not None and (not tried or tried[-1].id <= row_id):
            rows = await self._kernel.store.scan(AttemptRow, after=(self._tried_after,), limit=HEADS)
            if life != self._life:
                return {}
            tried.extend(rows)
            self._tried_after = rows[-1].id if len(rows) == HEADS else None
        due = []
        while tried and tried[0].id <= row_id:
            due.append(tried.popleft())
        return intact_attempts(self._kernel, due)

    def _settle(self, heads: list[Head], tried: dict[int, AttemptRow]) -> None:
        now, delays = self._kernel.runtime.now(), self._kernel.delayed
        plain: dict[str, list[int]] = {}
        waiting: list[tuple[float, int, str]] = []
        for row_id, address, priority, due in heads:
            if type(address) is not str or type(priority) is not int or not isinstance(due, float | int | None):
                self._damaged.append(row_id)
                continue
            attempt = tried.get(row_id) if tried else None
            if attempt is not None:
                self._index.attempts[row_id] = attempt.count
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
        cell = self._kernel.cells.get(address)
        if cell is None or not self._settled:
            if address not in self._index.homeless:
                self._newcomers.append(address)
            self._index.homeless.add(address, ids, priority)
        else:
            cell.mailbox.add_rows(ids, priority)
            cell.wake()

    def go_on(self) -> None:
        """Bring actors back for which mail waits, and look for the rest of the mail, because the tree has started."""
        for cell in list(self._kernel.cells.values()):
            cell.wake()
        self._bring_back()
        if self._index.scanning or self._newcomers:
            self._kernel.background(self._go_on(self._life), "greenroom backlog")

    async def _go_on(self, life: int) -> None:
        runtime = self._kernel.runtime
        while self._life == life and (self._index.scanning or self._newcomers):
            if self._index.scanning:
                try:
                    await self._portion()
                except StoreError as error:
                    if self._life == life:
                        self._kernel.store_failed(error)
                    return
                if self._life != life:
                    return
                if not self._index.scanning:
                    await self._finish()
                await breathe()
            else:
                await runtime.sleep(LOOK_S)
            self._bring_back()

    async def _finish(self) -> None:
        """End the scan, because everything is known: mail that came during the scan has its place behind the rest."""
        for address in self._index.late.addresses():
            rows = self._index.late.pop(address)
            assert rows is not None
            for priority, lane in rows.lanes.items():
                self._settle_in(address, list(lane), priority)
        for cell in list(self._kernel.cells.values()):
            cell.swap(cell.mailbox.settle())
            cell.wake()
        orphans, self._orphans = self._orphans, []
        for address in orphans:
            self._say_orphaned(address)
        self._index.say_over()
        await self.park_damaged()

    def _say_orphaned(self, address: str) -> None:
        count = self._index.homeless.count(address)
        self._kernel.events.emit("message.orphaned", address, pending=count)
        logger.warning("{} messages wait for {}, and nothing in the tree has that address", count, address)

    async def park_damaged(self) -> None:
        """Park rows that have no place in the index, because they fail their checksum."""
        if self._damaged:
            damaged, self._damaged = self._damaged, []
            await page_in(self._kernel, damaged)

    def _bring_back(self) -> None:
        """Bring back some of the actors for which mail waits. Their first message starts them."""
        newcomers, ready = self._newcomers, self._dispatcher.ready
        while newcomers and len(ready) < AWAKE_MAX:
            address = newcomers.popleft()
            if address not in self._index.homeless:
                continue
            try:
                self._router.resolve(address).wake()
            except ActorNotFound:
                if self._index.scanning:
                    self._orphans.append(address)
                else:
                    self._say_orphaned(address)
