"""Store: the contract that every engine keeps.

An engine knows rows and transactions, nothing of actors. It is done when it passes
`tests/conformance/store`.
"""

from __future__ import annotations

import abc
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from ..errors import StoreError
from .attempts import AttemptLog
from .commit import Commit
from .rows import ROWS, Head, MessageRow, OwnerRow, R, Row

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("Store", "StoreStatus")


class StoreStatus(dict[str, Any]):
    """What `greenroom db status` prints: plain names to plain values."""


class Store(abc.ABC):
    """A database that holds one node's rows.

    Life: `open` (takes ownership), any number of `commit` and reads, `close`. `open_reader` opens without
    ownership: reads and `submit` only, and it works beside an owner.
    """

    url: str
    attempts: AttemptLog
    """Where the starts of messages are noted."""
    unclean: bool = False
    """After `open`: whether the last owner ended without giving the store back."""
    loss: str = ""
    """After `open` or `reopen`: what of its commits the store lacks, where it was told to go on without it."""
    synchronous: bool = False
    """Whether `commit_now` works: a commit without a thread, on the caller's own."""

    # -- life ---------------------------------------------------------------------------------------

    @abc.abstractmethod
    async def open(self) -> OwnerRow:
        """Take the store: lock it, create or migrate the schema, raise the epoch.

        Raises:
            StoreLocked: another process owns it.
            SchemaTooNew: a newer greenroom wrote it.
            StoreCorrupt: it is no database, or a damaged one.
            CommitsLost: it lacks commits that had been acknowledged.
            StoreUnavailable: it can't be opened or written (permissions, read-only).
        """

    @abc.abstractmethod
    async def open_reader(self) -> None:
        """Open for reads and `submit`, beside an owner or without one. Never migrates, never checkpoints.

        Raises:
            StoreUnavailable: there is no such store yet.
            SchemaTooNew, StoreCorrupt: as `open`.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Give it back. Never raises for a store that broke; safe to call twice."""

    @abc.abstractmethod
    async def reopen(self) -> OwnerRow:
        """Close and open the connections again after a store error, keeping lock and epoch.

        Returns:
            The owner row as it is on disk: its `commit_no` tells whether an ambiguous commit landed.

        Raises:
            Fenced: the epoch on disk is not ours any more.
            CommitsLost: it lacks commits that had been acknowledged.
            StoreUnavailable: still broken.
        """

    # -- writing (the owner's committer only) --------------------------------------------------------

    @abc.abstractmethod
    async def commit(self, commit: Commit) -> None:
        """Write one commit: all of it, or nothing. When this returns it is durable.

        Raises:
            Fenced: the owner row doesn't carry our epoch.
            StoreDataError: the data was refused; nothing was written.
            StoreFull, StoreUnavailable: the store is broken; `outcome` is "unknown" if COMMIT itself failed.
        """

    def commit_now(self, commit: Commit) -> None:
        """The same, blocking, on the caller's thread; only where `synchronous` is true."""
        raise NotImplementedError

    @abc.abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Hold a write transaction on the writer's own connection for the user's SQL.

        Commits nothing itself: leaving the block without `commit_transaction` rolls back. While it is held no
        `commit` may be called.
        """

    async def has_landed(self, commit: Commit) -> bool | None:
        """COMMIT itself failed: whether it landed all the same; None: it can't be told."""
        try:
            owner = await self.reopen()
        except StoreError:
            return None
        return owner.commit_no == commit.number

    @abc.abstractmethod
    async def commit_transaction(self, commit: Commit) -> None:
        """Add `commit` to the transaction held by `transaction` and commit both. Raises as `commit`."""

    # -- reading: committed rows; each row is verified -------------------------------------------------

    @abc.abstractmethod
    async def get(self, kind: type[R], *key: Any) -> R | None:
        """One row by its key.

        Raises:
            RecordCorrupt: its checksum doesn't fit.
        """

    @abc.abstractmethod
    async def scan(
        self,
        kind: type[R],
        *,
        after: tuple[Any, ...] | None = None,
        limit: int = 1000,
        descending: bool = False,
        **equal: Any,
    ) -> list[R]:
        """Rows in the order of their key, after the given key, whose columns equal `equal`.

        Not verified, so that a listing shows damaged rows too: whoever uses a row calls `verify`.
        """

    @abc.abstractmethod
    async def heads(self, after: int = 0, limit: int = 10_000) -> list[Head]:
        """The next message heads in sequence order, without bodies."""

    @abc.abstractmethod
    async def messages(self, ids: Sequence[int]) -> list[MessageRow]:
        """Messages by id, in any order, those that exist. Not verified."""

    async def with_uids(self, uids: Collection[str], after: int = 0) -> list[MessageRow]:
        """Messages of these uids and higher ids than `after`, in sequence order. Not verified. One walk over the table
        for all of them."""
        if not uids:
            return []
        return [row async for row in self.iterate(MessageRow) if row.id > after and row.uid in uids]

    @abc.abstractmethod
    async def count(self, kind: type[Row], **equal: Any) -> int: ...

    @abc.abstractmethod
    async def last_id(self) -> int:
        """The highest message sequence number ever given that the store knows of (dead letters included)."""

    @abc.abstractmethod
    async def owner(self) -> OwnerRow | None:
        """The owner row, whoever owns it."""

    @abc.abstractmethod
    async def status(self) -> StoreStatus:
        """Engine, version, file sizes, schema version, counts."""

    # -- housekeeping: walks over a whole table, which hold up no other read -----------------------------

    @abc.abstractmethod
    async def keys_below(self, kind: type[Row], column: str, value: float, limit: int) -> list[Any]:
        """The keys of some rows, in any order, whose `column` is less than `value`, as `Commit.delete` takes them.

        Not verified.
        """

    @abc.abstractmethod
    async def keys_beyond(self, kind: type[Row], column: str, kept: int, limit: int) -> list[Any]:
        """The keys of some rows, in any order, that aren't among the `kept` with the highest `column`. Not verified."""

    def log_bytes(self) -> int:
        """The size of the engine's log of commits that aren't in the database proper yet; 0 if it has none. Cheap."""
        return 0

    def log_readers(self) -> list[int]:
        """The other processes that read at this moment, and so keep that log from beginning anew, as far as known."""
        return []

    # -- other processes ------------------------------------------------------------------------------

    @abc.abstractmethod
    async def submit(self, rows: Iterable[Any]) -> list[int]:
        """Insert `InboxRow`s (their ids are ignored and assigned) in a transaction of their own; durable on return.

        Safe beside an owner and with several submitters at once. Returns the ids, in order.

        Raises:
            StoreFull, StoreUnavailable
        """

    @abc.abstractmethod
    def inbox_changed(self) -> bool:
        """Cheaply (microseconds): may another process have written since the last call? True the first time."""

    def holder(self) -> int | None:
        """Who owns the store at this moment: a pid, 0 if that can't be told, None if nobody does.

        The store needn't be open.

        Raises:
            StoreUnavailable: it can't be told (permissions).
        """
        return None

    async def iterate(self, kind: type[R], *, chunk: int = 1000, **equal: Any) -> AsyncIterator[R]:
        """Every row of a kind in key order, in chunks. Not verified."""
        width = ROWS[kind].key
        after: tuple[Any, ...] | None = None
        while rows := await self.scan(kind, after=after, limit=chunk, **equal):
            for row in rows:
                yield row
            after = tuple(rows[-1][:width])
