"""Damage: what a node finds amiss in its store as it takes it up, and what it does about it.

Every row has a checksum (store/rows.py). A body is checked when it is read for its turn, a state when its actor
starts. What is used without that, or waits for a turn that may never come, is looked at here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...persistence.errors import RecordCorrupt
from ...persistence.store.checksums import verify
from ...persistence.store.rows import AttemptRow, KeyRow
from ..execution.paging import PAGE, printable
from ..kernel.failures import park
from ..mailbox.envelope import Envelope
from ..messages.signals import ExitReason

if TYPE_CHECKING:
    from ..system import ActorSystem

__all__ = ("check_waiting", "intact_attempts", "report_damage", "report_loss")

KEYS = 1_000
"""Idempotency keys read at once."""
PAUSE_S = 0.05
"""After each portion that is looked at beside the node's own work."""


def report_loss(system: ActorSystem) -> None:
    """The store was opened, or opened again. What it lacks is said once."""
    store = system.store
    if store.loss:
        system.events.emit("store.commits_lost", _root(system), missing=store.loss)
        store.loss = ""


def report_damage(system: ActorSystem, error: Exception, effect: str, address: object = None) -> None:
    """A row is damaged, and the node goes on.

    Args:
        effect: what comes of that, in words.
        address: of whom it is about, as the damaged row has it.
    """
    about = address if isinstance(address, str) else _root(system)
    system.events.emit("store.row_damaged", about, text=str(error), effect=effect)


def intact_attempts(system: ActorSystem, rows: Iterable[AttemptRow]) -> dict[int, AttemptRow]:
    """The failed attempts of messages, by message. Of a damaged row nothing is believed, its number least."""
    found: dict[int, AttemptRow] = {}
    for row in rows:
        try:
            found[row.id] = verify(row)
        except RecordCorrupt as error:
            report_damage(system, error, "the attempts of its message are counted from nothing")
    return found


async def check_waiting(system: ActorSystem) -> None:
    """What nobody may come across, looked at once a boot, beside the node's own work. Messages whose turn may never
    come: delayed ones, for the moment may be what is damaged; and those that nobody in the tree has, for the address
    may. And idempotency keys, which nobody finds if the key itself is damaged.

    Raises:
        StoreError
    """
    await system.pending.complete()
    await _check(system, system.pending.orphans())
    await _check(system, system.delays.rows())
    await _check_keys(system)


async def _check(system: ActorSystem, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), PAGE):
        if start:
            await system.runtime.sleep(PAUSE_S)
        for row in await system.store.messages(ids[start : start + PAGE]):
            try:
                verify(row)
            except RecordCorrupt as error:
                park(system, Envelope.from_row(printable(row)), ExitReason.from_exception(error), "corrupt")


async def _check_keys(system: ActorSystem) -> None:
    effect = "what is told again under this key is refused; or it counts twice, if the key itself is what was damaged"
    count = 0
    async for row in system.store.iterate(KeyRow):
        count += 1
        if not count % KEYS:
            await system.runtime.sleep(PAUSE_S)
        try:
            verify(row)
        except RecordCorrupt as error:
            report_damage(system, error, effect, row.address)


def _root(system: ActorSystem) -> str:
    return "/" if system.root is None else system.root.address
