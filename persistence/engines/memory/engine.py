"""MemoryStore: the contract without a file, for tests and for nodes that may forget.

It makes the checks that a database would make (types, NULLs, integers of 64 bits, valid Unicode), so that a commit that
works here works there.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Any

from ...errors import Fenced, StoreDataError, StoreLocked, StoreMissing, StoreUnavailable
from ...migrations.version import SCHEMA_VERSION
from ...runtime import Runtime, uncancelled
from ...store.checksums import seal, verify
from ...store.commit import Commit
from ...store.contract import ID_BOUND, Store, StoreStatus
from ...store.rows import ROWS, AttemptRow, DeadLetterRow, Head, InboxRow, KeyRow, MessageRow, OwnerRow, R, Row
from ..sqlite.driver import ERRORS, translate
from ..sqlite.lending.lease import Lease
from ..sqlite.lending.transaction import UserTransactions
from ..sqlite.statements import roll_back
from ..sqlite.worker import Worker
from .data import MemoryData
from .values import check_columns, check_row, key_of, matches

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

__all__ = ("MemoryStore", "commit_sql")

NODE = "main"


class MemoryStore(Store):
    """`memory://`. Promises 2 to 10 hold as long as the process lives.

    `faults` is called with each commit before it is applied. The commit raises any exception that it raises.
    """

    synchronous = True

    def __init__(
        self,
        url: str = "memory://",
        runtime: Runtime | None = None,
        *,
        data: MemoryData | None = None,
        faults: Callable[[Commit], None] | None = None,
    ) -> None:
        self.url = url
        self.runtime = runtime or Runtime()
        self.data = MemoryData() if data is None else data
        self.faults = faults
        self.attempts = self.data.attempts
        self._open = False
        self._epoch = 0
        self._own_changes = 0
        self._seen: int | None = None
        self._worker = Worker("greenroom-memory")
        self._transactions = UserTransactions(self._worker)
        self._sql: sqlite3.Connection | None = None
        self._mutex = Lock()

    # -- life ---------------------------------------------------------------------------------------

    async def open(self) -> OwnerRow:
        if self._open:
            raise RuntimeError(f"{self.url} is open already")
        if self.data.locked:
            raise StoreLocked(self.url, os.getpid())
        old = self.data.owner
        epoch, number, last = (old.epoch, old.commit_no, old.last_id) if old else (0, 0, 0)
        self.unclean = old is not None and old.pid != 0
        owner = self.data.owner = OwnerRow(NODE, epoch + 1, number, os.getpid(), self.runtime.now(), last)
        self.data.locked = self._open = True
        self._epoch = owner.epoch
        self.attempts.open()
        return owner

    async def open_reader(self) -> None:
        if self._open:
            raise RuntimeError(f"{self.url} is open already")
        if self.data.owner is None and not self.data.created:
            raise StoreMissing(
                f"{self.url} is in the memory of one process, and can be read nowhere else. Use sqlite:///path"
            )
        self._open = True

    async def create(self) -> None:
        self.data.created = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._epoch:
            if self.data.owner is not None and self.data.owner.epoch == self._epoch:
                self.data.owner = self.data.owner._replace(pid=0)
            self._epoch = 0
            self.data.locked = False
            self.attempts.close()
        await uncancelled(self._transactions.close())
        if self._sql is not None:
            empty = not self._sql.execute("PRAGMA page_count").fetchone()[0]  # SQLite can't serialize that
            self.data.sql = b"" if empty else self._sql.serialize()
            self._sql.close()
            self._sql = None
        self._seen = None
        await uncancelled(self._worker.stop())

    def holder(self) -> int | None:
        return os.getpid() if self.data.locked else None

    async def reopen(self) -> OwnerRow:
        self._check_owned()
        return self._owned()

    # -- writing --------------------------------------------------------------------------------------

    async def commit(self, commit: Commit) -> None:
        self.commit_now(commit)

    def commit_now(self, commit: Commit) -> None:
        self._check_owned()
        if self._transactions.lease is not None:
            raise RuntimeError("a turn holds the store's transaction: nothing else may commit")
        self._check(commit)
        self._apply(commit)

    @asynccontextmanager
    async def transaction(self, *, here: bool = False) -> AsyncIterator[AsyncConnection]:
        """As the contract says, on a SQLite database in memory that holds the user's tables alone."""
        self._check_owned()
        if self._sql is None:
            self._sql = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._transactions.guard(self._sql)
            if self.data.sql:
                self._sql.deserialize(self.data.sql)
        async with self._transactions.transaction(self._sql, self._mutex, self.url, here=here) as connection:
            yield connection

    async def commit_transaction(self, commit: Commit) -> None:
        lease = self._transactions.lease
        if lease is None:
            raise RuntimeError("no transaction is held")
        self._check(commit)
        await uncancelled(self._commit_both(lease, commit))

    async def _commit_both(self, lease: Lease, commit: Commit) -> None:
        await self._worker.call(commit_sql, lease)
        self._apply(commit)

    def _owned(self) -> OwnerRow:
        owner = self.data.owner
        if owner is None or owner.epoch != self._epoch:
            raise Fenced(NODE, self._epoch)
        return owner

    def _check_owned(self) -> None:
        if not self._open or not self._epoch:
            raise StoreUnavailable(f"{self.url} isn't open")

    def _check(self, commit: Commit) -> None:
        """Everything that can be wrong with a commit, so that applying it can't fail."""
        if self.faults is not None:
            self.faults(commit)
        self._owned()
        gone = set(commit.deletes.get(MessageRow, ()))
        table = self.data.tables[MessageRow]
        for row in commit.inserts:
            check_row(MessageRow, row)
            if row.id in table and row.id not in gone:
                raise StoreDataError(f"message {row.id} exists")
        if len({row.id for row in commit.inserts}) != len(commit.inserts):
            raise StoreDataError("a message is inserted twice")
        for kind, rows in commit.puts.items():
            for row in rows:
                check_row(kind, row)

    def _apply(self, commit: Commit) -> None:
        data = self.data
        owner = self._owned()
        data.owner = owner._replace(commit_no=commit.number, last_id=max(owner.last_id, commit.last_id))
        messages = data.tables[MessageRow]
        for key in commit.deletes.get(MessageRow, ()):
            messages.pop(key, None)
        for row in commit.inserts:
            messages[row.id] = row
        for kind, rows in commit.puts.items():
            for row in rows:
                data.tables[kind][key_of(kind, row)] = row
        for kind, keys in commit.deletes.items():
            if kind is not MessageRow:
                for key in keys:
                    data.tables[kind].pop(key, None)
        data.changes += 1
        self._own_changes += 1

    # -- reading --------------------------------------------------------------------------------------

    def _table(self, kind: type[Row]) -> dict[Any, Any]:
        if not self._open:
            raise StoreUnavailable(f"{self.url} isn't open")
        return self.data.tables[kind]

    async def get(self, kind: type[R], *key: Any) -> R | None:
        columns = kind._fields[: ROWS[kind].key]
        if len(key) != len(columns):
            raise TypeError(f"{kind.__name__} has the key {', '.join(columns)}, not {len(key)} values")
        row: R | None = self._table(kind).get(key[0] if len(key) == 1 else key)
        return None if row is None else verify(row)

    async def scan(
        self,
        kind: type[R],
        *,
        after: tuple[Any, ...] | None = None,
        limit: int = 1000,
        descending: bool = False,
        **equal: Any,
    ) -> list[R]:
        table = self._table(kind)
        width = ROWS[kind].key
        if after is not None and len(after) != width:
            raise TypeError(f"{kind.__name__} has a key of {width} columns, not {len(after)}")
        bound = after[0] if after is not None and width == 1 else after
        keys = sorted(table, reverse=descending)
        wanted = (
            table[key]
            for key in keys
            if (bound is None or (key < bound if descending else key > bound)) and matches(table[key], equal)
        )
        check_columns(kind, equal)
        return list(islice(wanted, limit))

    async def heads(self, after: int = 0, limit: int = 10_000) -> list[Head]:
        table = self._table(MessageRow)
        rows = (table[key] for key in sorted(table) if key > after)
        return [Head(row.id, row.address, row.priority, row.due) for row in islice(rows, limit)]

    async def messages(self, ids: Sequence[int]) -> list[MessageRow]:
        table = self._table(MessageRow)
        return [table[key] for key in dict.fromkeys(ids) if key in table]

    async def count(self, kind: type[Row], **equal: Any) -> int:
        check_columns(kind, equal)
        return sum(1 for row in self._table(kind).values() if matches(row, equal))

    async def keys_below(self, kind: type[Row], column: str, value: float, limit: int) -> list[Any]:
        check_columns(kind, {column: value})
        found = (key for key, row in self._table(kind).items() if getattr(row, column) < value)
        return list(islice(found, limit))

    async def keys_beyond(self, kind: type[Row], column: str, kept: int, limit: int) -> list[Any]:
        check_columns(kind, {column: None})
        table = self._table(kind)
        if len(table) <= kept:
            return []
        newest_first = sorted(table, key=lambda key: (getattr(table[key], column), key), reverse=True)
        return newest_first[kept : kept + limit]

    async def last_id(self) -> int:
        ids: list[int] = [key for kind in (MessageRow, AttemptRow, DeadLetterRow) for key in self._table(kind)]
        ids += [row.message_id for row in self._table(KeyRow).values() if row.message_id < ID_BOUND]
        return max(ids, default=0)

    async def owner(self) -> OwnerRow | None:
        self._table(MessageRow)
        return self.data.owner

    async def status(self) -> StoreStatus:
        owner = await self.owner() or (None,) * len(OwnerRow._fields)
        return StoreStatus(
            {
                "engine": "memory",
                "schema_version": SCHEMA_VERSION,
                **{f"rows_{ROWS[kind].noun}": len(table) for kind, table in self.data.tables.items()},
                **{f"owner_{name}": value for name, value in zip(OwnerRow._fields, owner, strict=True)},
            }
        )

    # -- other processes --------------------------------------------------------------------------------

    async def submit(self, rows: Iterable[Any]) -> list[int]:
        table = self._table(InboxRow)
        numbered: list[InboxRow] = []
        for position, row in enumerate(rows, self.data.inbox_id + 1):
            numbered.append(seal(row._replace(id=position)))
            check_row(InboxRow, numbered[-1])
        if numbered:
            table.update((row.id, row) for row in numbered)
            self.data.inbox_id = numbered[-1].id
            self.data.changes += 1
        return [row.id for row in numbered]

    def inbox_changed(self) -> bool:
        self._table(InboxRow)
        foreign = self.data.changes - self._own_changes
        seen, self._seen = self._seen, foreign
        return seen != foreign


def commit_sql(lease: Lease) -> None:
    with lease.mutex, lease.closing() as connection:
        try:
            connection.execute("COMMIT")
        except ERRORS as error:
            roll_back(connection)
            raise translate(error, lease.where) from error
