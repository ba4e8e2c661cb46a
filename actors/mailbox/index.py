"""MailIndex: rows of messages on disk whose actor isn't in memory, by address.

The scan of the boot fills it (recovery/scan.py). While the scan is under way, mail of this life is kept apart, because
older mail of the same address may still be found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .backlog import FEW, Backlog, Rows
from .mailbox import Mailbox, PriorityRow, priority_of

__all__ = ("MailIndex", "RowIndex")


class RowIndex:
    """Rows by address. An address with one row, the usual case in a large pool, is kept as a bare id."""

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


class MailIndex:
    """The index of one node."""

    def __init__(self) -> None:
        self.scanning = False
        """Whether there may be messages on disk that the index doesn't know of yet."""
        self.horizon = 0
        """The highest id of the last life. A message with a higher one was told in this life."""
        self.homeless = RowIndex()
        """Mail for addresses without a cell."""
        self.late = RowIndex()
        """Mail for addresses without a cell that came during the scan."""
        self.attempts: dict[int, int] = {}
        """Failed attempts of messages that are not in memory yet, by row id."""
        self._over: asyncio.Future[None] | None = None

    def mailbox_of(self, address: str, mailbox: Mailbox, *, durable: bool, on_mail: Callable[[], object]) -> Mailbox:
        """The mailbox for a cell that was made: the given one, or a `Backlog`, with the address's mail from disk in it.

        Args:
            on_mail: called when a backlog that was parked has mail that may be handled.
        """
        rows, late = self.homeless.pop(address), self.late.pop(address)
        if durable and (self.scanning or (rows is not None and rows.count > FEW)):
            backlog = mailbox = Backlog(self, on_mail)
            if late is not None:
                for priority, lane in late.lanes.items():
                    backlog.add_behind(list(lane), priority)
                late = None
        for known in (late, rows):
            if known is not None:
                for priority, lane in known.lanes.items():
                    mailbox.add_rows(list(lane), priority)
        return mailbox

    def keep(self, address: str, row_id: int, priority: int = 0) -> None:
        """Keep mail for an address without a cell: it stays on disk until there is one."""
        if row_id:
            index = self.late if self.scanning and row_id > self.horizon else self.homeless
            index.add(address, (row_id,), priority)

    def keep_all(self, address: str, mailbox: Mailbox) -> None:
        """Keep the mail of a cell that is about to be forgotten. It waits for the next cell at the address."""
        for entry in mailbox.entries():
            row_id = entry if isinstance(entry, int) else getattr(entry, "id", 0)
            self.keep(address, int(row_id), priority_of(entry))

    def drop(self, address: str) -> None:
        """Forget the mail of an address without a cell, because the address is being deleted."""
        self.homeless.pop(address)
        self.late.pop(address)

    def orphans(self) -> list[int]:
        """Rows whose address has no cell."""
        return self.homeless.ids()

    def attempts_of(self, row_id: int) -> int:
        """Failed attempts of a message that is read now."""
        return self.attempts.pop(row_id, 0)

    async def complete(self) -> None:
        """Return when the scan is over, or the tree is being reset. Callers await it that must know all
        the mail of an actor."""
        while self.scanning:
            if self._over is None or self._over.done():
                self._over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)

    def say_over(self) -> None:
        """Note that the scan is over."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    def clear(self) -> None:
        """Forget everything, because the tree is being reset: it will be read again."""
        self.scanning = False
        self.homeless.clear()
        self.late.clear()
        self.attempts.clear()
        self.say_over()
