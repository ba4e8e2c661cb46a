"""Damage: rows that a node finds amiss in its store as it takes it up, and how it deals with them.

Every row has a checksum (store/rows.py). A body is checked when it is read for its turn, a state when its actor starts.
Rows that are used without that, or wait for a turn that may never come, are looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...persistence.errors import RecordCorrupt
from ...persistence.store.checksums import verify
from ...persistence.store.rows import AttemptRow, KeyRow
from ..execution.paging import PAGE, printable
from ..kernel.failures import park
from ..kernel.kernel import Kernel
from ..mailbox.envelope import Envelope
from ..messages.signals import ExitReason

__all__ = ("check_waiting", "intact_attempts", "report_loss")

KEYS = 1_000
"""The number of idempotency keys that are read at once."""
PAUSE_S = 0.05
"""Seconds of pause after each portion that is looked at beside the node's own work."""


def report_loss(kernel: Kernel) -> None:
    """Report once what the store lacks, because it was opened, or opened again."""
    store = kernel.store
    if store.loss:
        kernel.events.emit("store.commits_lost", kernel.root_address, missing=store.loss)
        store.loss = ""


def intact_attempts(kernel: Kernel, rows: Iterable[AttemptRow]) -> dict[int, AttemptRow]:
    """The failed attempts of messages, by message. Nothing of a damaged row is believed, least of all its number."""
    found: dict[int, AttemptRow] = {}
    for row in rows:
        try:
            found[row.id] = verify(row)
        except RecordCorrupt as error:
            kernel.report_damage(error, "the attempts of its message are counted from nothing")
    return found


async def check_waiting(kernel: Kernel) -> None:
    """Look once a boot, beside the node's own work, at rows that no turn may come across. The turn of a message may
    never come if it is delayed, because its moment may be damaged; or if nothing in the tree has its address, because
    that may be damaged. And an idempotency key isn't found if the key itself is damaged.

    Raises:
        StoreError
    """
    await kernel.index.complete()
    await _check(kernel, kernel.index.orphans())
    await _check(kernel, kernel.delayed.rows())
    await _check_keys(kernel)


async def _check(kernel: Kernel, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), PAGE):
        if start:
            await kernel.runtime.sleep(PAUSE_S)
        for row in await kernel.store.messages(ids[start : start + PAGE]):
            try:
                verify(row)
            except RecordCorrupt as error:
                park(kernel, Envelope.from_row(printable(row)), ExitReason.from_exception(error), "corrupt")


async def _check_keys(kernel: Kernel) -> None:
    effect = "what is told again under this key is refused; or it counts twice, if the key itself is what was damaged"
    count = 0
    async for row in kernel.store.iterate(KeyRow):
        count += 1
        if not count % KEYS:
            await kernel.runtime.sleep(PAUSE_S)
        try:
            verify(row)
        except RecordCorrupt as error:
            kernel.report_damage(error, effect, row.address)
