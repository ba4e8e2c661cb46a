"""Letterbox: puts rows into the inbox of a node, and reads the replies that come back. `Client` and the
command line share it.

Tells that are under way at the same time go in together, in the order of the calls, with one sync of the
disk for them all.
"""

from __future__ import annotations

import asyncio

from ...persistence.errors import GreenroomError, StoreDataError, StoreFull, StoreUnavailable
from ...persistence.runtime import Runtime
from ...persistence.store.contract import Store
from ...persistence.store.rows import InboxRow, ReplyRow

__all__ = ("Letterbox",)

BATCH_ROWS_MAX = 1000
POLL_S_MIN, POLL_S_MAX = 0.001, 0.01
"""Seconds between looks for replies: few after a request, then more and more."""
POLL_GROWTH = 1.3


class Letterbox:
    """The letterbox of one client, over a store that is open for reading."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        self._leaving: list[tuple[InboxRow, asyncio.Future[int]]] = []
        self._submitter: asyncio.Task[None] | None = None
        self._awaited: dict[int, asyncio.Future[ReplyRow]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._poll_s = POLL_S_MIN
        self._fresh = False
        """Whether a reply may have come before a caller waited for it."""

    async def put(self, row: InboxRow) -> int:
        """Insert a row, and return its id. On return it is on disk. To cancel the caller doesn't take it back.

        Raises:
            StoreFull, StoreUnavailable: it isn't there, unless `outcome` is "unknown".
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._leaving.append((row, future))
        if self._submitter is None:
            self._submitter = self._runtime.spawn(self._submit(), "greenroom letterbox")
        return await future

    async def reply(self, row_id: int, timeout_s: float) -> ReplyRow | None:
        """The reply to a row that asked for one, or None if none has come within so many seconds.

        Raises:
            StoreError: the store can't be read.
        """
        future: asyncio.Future[ReplyRow] = asyncio.get_running_loop().create_future()
        self._awaited[row_id] = future
        self._poll_s = POLL_S_MIN
        self._fresh = True
        if self._poller is None:
            self._poller = self._runtime.spawn(self._poll(), "greenroom replies")
        timer = self._runtime.call_later(timeout_s, future.cancel)
        try:
            await asyncio.wait((future,))
            return None if future.cancelled() else future.result()
        finally:
            timer.cancel()
            self._awaited.pop(row_id, None)

    async def close(self) -> None:
        """Wait for rows that are being written. No caller waits for replies any more."""
        if self._poller is not None:
            self._poller.cancel()
        tasks = [task for task in (self._submitter, self._poller) if task is not None]
        if tasks:
            await asyncio.wait(tasks)
        for future in self._awaited.values():
            future.cancel()

    async def _submit(self) -> None:
        try:
            while self._leaving:
                batch, self._leaving = self._leaving[:BATCH_ROWS_MAX], self._leaving[BATCH_ROWS_MAX:]
                try:
                    await self._insert(batch)
                except BaseException:  # the loop ends
                    for _, future in (*batch, *self._leaving):
                        future.cancel()
                    raise
        finally:
            self._submitter = None

    async def _insert(self, batch: list[tuple[InboxRow, asyncio.Future[int]]]) -> None:
        """Insert rows, and settle their futures. A row that can't be stored does no harm to the others."""
        failure: Exception
        try:
            ids = await self._store.submit([row for row, _ in batch])
        except (StoreFull, StoreUnavailable) as error:
            failure = error
        except Exception as error:
            if len(batch) > 1:
                for one in batch:
                    await self._insert([one])
                return
            failure = error if isinstance(error, GreenroomError) else StoreDataError(f"it can't be stored: {error!r}")
        else:
            for (_, future), row_id in zip(batch, ids, strict=True):
                if not future.done():
                    future.set_result(row_id)
            return
        for _, future in batch:
            if not future.done():
                future.set_exception(failure)

    async def _poll(self) -> None:
        try:
            while self._awaited:
                if self._store.inbox_changed() or self._fresh:
                    self._fresh = False
                    await self._look()
                await self._runtime.sleep(self._poll_s)
                self._poll_s = min(self._poll_s * POLL_GROWTH, POLL_S_MAX)
        except Exception as error:
            for future in self._awaited.values():
                if not future.done():
                    future.set_exception(error)
        finally:
            self._poller = None

    async def _look(self) -> None:
        for row_id, future in list(self._awaited.items()):
            if not future.done() and (found := await self._store.get(ReplyRow, row_id)) is not None:
                future.set_result(found)
