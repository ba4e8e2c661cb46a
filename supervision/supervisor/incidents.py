"""Incidents: rows that say which actor exited, why, and what its supervisor did about it. They outlive the node.

The newest of them are kept (`Settings.incidents_kept`). They are also the restart history: after a crash of the node
a supervisor's restart intensity goes on from the restarts on record, so that a tree that takes its node down again and
again gives up as it would in one life. An orderly stop of the node is forgiven: the next start counts from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loguru import logger

from ...persistence.commit.effects import Effects
from ...persistence.errors import RecordCorrupt, StoreError
from ...persistence.store.checksums import seal, verify
from ...persistence.store.rows import IncidentRow

if TYPE_CHECKING:
    from ...actors.kernel.kernel import Kernel
    from ...actors.messages.signals import ExitReason

__all__ = ("Incidents",)

HISTORY = 1_000
"""How many incidents the boot reads for the restart intensities: a supervisor with more of them has given up before."""
SWEPT = 500
"""How many rows one commit deletes if the retention was lowered."""


class Incidents:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._kept = kernel.settings.incidents_kept
        self._last = 0
        self._history: dict[str, list[float]] = {}

    async def load(self) -> None:
        """Find the last number; and the restarts that still count, if the last life ended in a crash."""
        kernel = self._kernel
        rows = await kernel.store.scan(IncidentRow, descending=True, limit=HISTORY)
        self._history.clear()
        if not rows:
            return
        self._last = rows[0].id
        if kernel.store.unclean:
            for row in reversed(list(_intact(rows))):
                if row.charged:
                    self._history.setdefault(row.supervisor, []).append(row.at)
        await self._sweep()

    async def _sweep(self) -> None:
        """Delete incidents beyond the retention, which may have been lowered since the last life."""
        store, committer = self._kernel.store, self._kernel.commits
        while True:
            old = [row.id for row in await store.scan(IncidentRow, limit=SWEPT) if row.id <= self._last - self._kept]
            if not old:
                return
            committer.submit(Effects(deletes=[(IncidentRow, number) for number in old]))
            await committer.flush()

    def history(self, supervisor: str) -> list[float]:
        """The times of the last life's charged restarts, in epoch seconds, oldest first. They are returned once."""
        return self._history.pop(supervisor, [])

    def record(
        self, supervisor: str, address: str, incarnation: int, reason: ExitReason, action: str, *, charged: bool
    ) -> None:
        """Put an incident on record. It is written with the next commit, and nothing waits for that."""
        kernel = self._kernel
        self._last += 1
        row = IncidentRow(
            id=self._last,
            at=kernel.runtime.now(),
            supervisor=supervisor,
            address=address,
            boot=kernel.boot,
            incarnation=incarnation,
            kind=reason.kind,
            error=reason.error,
            text=reason.text,
            traceback=reason.traceback,
            action=action,
            charged=int(charged),
        )
        old = self._last - self._kept
        try:
            kernel.commits.submit(
                Effects(rows=(seal(row),), deletes=((IncidentRow, old),) if old > 0 else (), size=len(row.traceback))
            )
        except StoreError:
            logger.debug("an incident of {} isn't on record: the store is broken", address)


def _intact(rows: Iterable[IncidentRow]) -> Iterable[IncidentRow]:
    for row in rows:
        try:
            yield verify(row)
        except RecordCorrupt as error:
            logger.warning("an incident is damaged, and left alone: {}", error)
