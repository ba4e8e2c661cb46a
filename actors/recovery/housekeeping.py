"""Housekeeping: rows whose time is over are deleted while the node runs, and the store's log is watched.

It deletes idempotency keys whose retention is over, replies that nobody has fetched, and dead letters beyond the number
and the age that are kept (`Settings`). It does so in small commits of its own with pauses between them, so that a
million rows are no burden. Damaged keys and dead letters stay, because their age can't be believed; but of more dead
letters than are kept the oldest go, damaged or not. Before the first round the messages whose turn may never come are
looked at (recovery/damage.py).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from loguru import logger

from ...persistence.commit.effects import Effects
from ...persistence.errors import RecordCorrupt, StoreError
from ...persistence.store.rows import DeadLetterRow, KeyRow, ReplyRow
from ..delivery.keys import Keys
from ..kernel.kernel import Kernel
from ..kernel.settings import REPLY_RETENTION_S
from .damage import check_waiting

__all__ = ("Housekeeping",)

FOUND_MAX = 2_000
"""The number of keys that one walk over a table reads."""
BATCH = 100
"""The number of rows that one commit deletes."""
PAUSE_S = 0.05
"""Seconds of pause after each of those commits."""
WALKS_SHARE = 0.1
"""The share of the time that walks take at most, where one follows another."""
LOG_BYTES_LARGE = 64 << 20
"""A log that is longer than so many bytes in two looks, with commits between them, is held open by a process. By itself
it begins anew at some 4 MB. SQLite: wal.html, "Avoiding Excessively Large WAL Files"."""

Find = Callable[[], Awaitable[list[Any]]]


class Housekeeping:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._commits_then: int | None = None
        """The number of commits up to the look that first saw a large log; None if the last look saw none. The next
        commit but one begins after that look, so the log could have begun anew with it."""
        self._alarm_bytes = LOG_BYTES_LARGE
        """The size of the log, in bytes, at which the next alarm is due. Each alarm is for twice the size
        of the one before."""

    async def run(self) -> None:
        """A round at once, and then every `housekeeping_s`, until cancelled."""
        kernel, checked = self._kernel, False
        while True:
            self._watch_log()
            if kernel.commits.failure is None:
                try:
                    if not checked:
                        await check_waiting(kernel)
                        checked = True
                    await self._sweep()
                except StoreError as error:  # the committer takes care of the store's errors
                    logger.debug("the housekeeping was interrupted: {}", error)
            await kernel.runtime.sleep(kernel.settings.housekeeping_s)

    # -- rows ----------------------------------------------------------------------------------------------

    async def _sweep(self) -> None:
        store, settings, now = self._kernel.store, self._kernel.settings, self._kernel.runtime.now()
        fetched_by = now - REPLY_RETENTION_S
        await self._clear(ReplyRow, lambda: store.keys_below(ReplyRow, "at", fetched_by, FOUND_MAX), whole_only=False)
        await self._clear(KeyRow, lambda: store.keys_below(KeyRow, "expires", now, FOUND_MAX))
        kept_s, kept = settings.dead_letters_kept_s, settings.dead_letters_kept
        if kept_s < math.inf:
            horizon = now - kept_s
            count = await self._clear(DeadLetterRow, lambda: store.keys_below(DeadLetterRow, "at", horizon, FOUND_MAX))
            self._report(count, f"dead_letters_kept_s is {kept_s:g}")
        count = await self._clear(
            DeadLetterRow, lambda: store.keys_beyond(DeadLetterRow, "at", kept, FOUND_MAX), whole_only=False
        )
        self._report(count, f"dead_letters_kept is {kept}")

    async def _clear(self, kind: Any, find: Find, *, whole_only: bool = True) -> int:
        """Delete the rows that are found, until no more are. Returns how many rows went.

        Raises:
            StoreError
        """
        kernel, runtime = self._kernel, self._kernel.runtime
        count = 0
        while True:
            began = runtime.monotonic()
            found = await find()
            took_s = runtime.monotonic() - began
            before = count
            for start in range(0, len(found), BATCH):
                some = found[start : start + BATCH]
                if whole_only:
                    some = [key for key in some if await self._may_go(kind, key)]
                if kind is KeyRow:  # a key that was told again just now will have a new row
                    some = [key for key in some if not kernel.part(Keys).in_use(key)]
                if some:
                    position = kernel.commits.submit(Effects(deletes=[(kind, key) for key in some]))
                    count += len(some)
                    await kernel.commits.wait(position)
                await runtime.sleep(PAUSE_S)
            if len(found) < FOUND_MAX or count == before:
                return count
            await runtime.sleep(took_s / WALKS_SHARE)

    async def _may_go(self, kind: Any, key: Any) -> bool:
        """Whether a row is there, is what was written, and hasn't been written anew since it was found."""
        try:
            row = await self._kernel.store.get(kind, *(key if isinstance(key, tuple) else (key,)))
        except RecordCorrupt:
            return False
        return row is not None and not (isinstance(row, KeyRow) and row.expires > self._kernel.runtime.now())

    def _report(self, count: int, limit: str) -> None:
        if count:
            self._kernel.events.emit("store.dead_letters_deleted", self._kernel.root_address, count=count, limit=limit)

    # -- the log --------------------------------------------------------------------------------------------

    def _watch_log(self) -> None:
        kernel = self._kernel
        size, commits = kernel.store.log_bytes(), kernel.committer.commits
        if size <= LOG_BYTES_LARGE:
            self._commits_then, self._alarm_bytes = None, LOG_BYTES_LARGE
        elif self._commits_then is None:
            self._commits_then = commits
        elif commits > self._commits_then + 1 and size > self._alarm_bytes:
            self._alarm_bytes = 2 * size
            pids = kernel.store.log_readers()
            held_by = f"process {', '.join(map(str, pids))}" if pids else "it can't be told who"
            kernel.events.emit(
                "store.wal_large", self._kernel.root_address, bytes=size, limit=LOG_BYTES_LARGE, held_by=held_by
            )
