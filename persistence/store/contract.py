"""Store: the contract that every engine keeps.

An engine knows rows and transactions, and nothing of actors. It is done when it passes `tests/conformance/store`.
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

__all__ = ("ID_BOUND", "Store", "StoreStatus")

ID_BOUND = 1 << 62
"""No message has this number or a higher one. A damaged key row may hold any."""


class StoreStatus(dict[str, Any]):
    """The figures that `greenroom db status` prints: plain names to plain values."""


class Store(abc.ABC):
    """A database that holds one node's rows.

    Its life is `open`, which takes ownership, any number of commits and reads, then `close`. `open_reader` opens it
    without ownership, beside an owner if there is one, for reads and `submit` alone.
    """

    url: str
    attempts: AttemptLog
    """Notes the starts of messages."""
    unclean: bool = False
    """After `open`: whether the last owner ended without giving the store back."""
    loss: str = ""
    """After `open` or `reopen`: which commits the store lacks, if it was told to go on without them; else ""."""
    synchronous: bool = False
    """Whether `commit_now` works, which commits on the caller's own thread."""

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
            StoreMissing: there is no such store yet.
            StoreUnavailable: it can't be read, or its schema is of an older version.
            SchemaTooNew, StoreCorrupt: as `open`.
        """

    @abc.abstractmethod
    async def create(self) -> None:
        """Make the store, without an owner, if there is none. Safe beside a node that starts, and beside other clients.

        Raises:
            StoreFull, StoreUnavailable: it can't be made; or it was there once, and has been lost.
        """

    @abc.abstractmethod
    async def close(self) -> None:
        """Give the store back. Never raises for a store that broke; safe to call twice."""

    def disown(self) -> None:  # noqa: B027 - most engines share nothing with a forked child
        """Let go of everything without touching it, because this is a forked child: connections, locks and mapped
        files are the parent's. The store is closed then."""

    @abc.abstractmethod
    async def reopen(self) -> OwnerRow:
        """After a store error, close the connections and open them again, keeping lock and epoch.

        Returns:
            The owner row as it is on disk. Its `commit_no` tells whether an ambiguous commit landed.

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
        """The same on the caller's thread, which it blocks. Only where `synchronous` is true."""
        raise NotImplementedError

    @abc.abstractmethod
    def transaction(self, *, here: bool = False) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin a user transaction: a write transaction, on the writer's own connection, for the user's SQL.

        It commits nothing itself: leaving the block without `commit_transaction` rolls back. `commit` mustn't be called
        in the block.

        Args:
            here: begin and commit on the caller's thread, as `commit_now` does, because that is the faster way. A hint.
        """

    async def has_landed(self, commit: Commit) -> bool | None:
        """Whether `commit` landed although COMMIT itself failed; None if that can't be told."""
        try:
            owner = await self.reopen()
        except StoreError:
            return None
        return owner.commit_no == commit.number

    @abc.abstractmethod
    async def commit_transaction(self, commit: Commit) -> None:
        """Add `commit` to the user transaction, and commit both. Raises as `commit`."""

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

        Not verified, so that a listing shows damaged rows, too. A caller that uses a row calls `verify`.
        """

    @abc.abstractmethod
    async def heads(self, after: int = 0, limit: int = 10_000) -> list[Head]:
        """The next message heads in sequence order, without bodies."""

    @abc.abstractmethod
    async def messages(self, ids: Sequence[int]) -> list[MessageRow]:
        """Messages by id, in any order, those that exist. Not verified."""

    async def with_uids(self, uids: Collection[str], after: int = 0) -> list[MessageRow]:
        """The messages of these uids whose ids are above `after`, in sequence order. Not verified.

        It walks over the table once for all of them.
        """
        if not uids:
            return []
        return [row async for row in self.iterate(MessageRow) if row.id > after and row.uid in uids]

    @abc.abstractmethod
    async def count(self, kind: type[Row], **equal: Any) -> int: ...

    @abc.abstractmethod
    async def last_id(self) -> int:
        """The highest message sequence number that the store knows of, those of dead letters included.

        Numbers in key rows from `ID_BOUND` on don't count.
        """

    @abc.abstractmethod
    async def owner(self) -> OwnerRow | None:
        """The owner row, whichever process owns the store."""

    @abc.abstractmethod
    async def status(self) -> StoreStatus:
        """Engine, version, file sizes, schema version, counts."""

    # -- housekeeping: walks over a whole table that keep no other read waiting --------------------------

    @abc.abstractmethod
    async def keys_below(self, kind: type[Row], column: str, value: float, limit: int) -> list[Any]:
        """The keys, as `Commit.delete` takes them, of up to `limit` rows whose `column` is less than `value`.

        In any order. Not verified.
        """

    @abc.abstractmethod
    async def keys_beyond(self, kind: type[Row], column: str, kept: int, limit: int) -> list[Any]:
        """The keys of up to `limit` rows that aren't among the `kept` rows with the highest `column`.

        In any order. Not verified.
        """

    def log_bytes(self) -> int:
        """The bytes of the engine's log, whose commits aren't in the database proper yet; 0 without a log. Cheap."""
        return 0

    def log_readers(self) -> list[int]:
        """The other processes that are known to read at this moment: they keep the log from beginning anew."""
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
        """Whether another process may have written since the last call; true the first time. It costs microseconds."""

    def holder(self) -> int | None:
        """The pid of the store's owner at this moment; 0 if that can't be told, None if there is no owner.

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
