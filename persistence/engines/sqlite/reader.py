"""SqliteReader: reads a node's SQLite file, and submits to its inbox. Any process may do that, owner or not.

Small reads run on the loop's thread, because a hop to another thread would cost more than the read. Long reads, and
submissions, run on a side thread with connections of its own. None of these connections checkpoints.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import closing, suppress
from typing import Any, TypeVar

import msgspec

from ...errors import StoreCorrupt, StoreError, StoreUnavailable, no_store
from ...migrations.version import SCHEMA_VERSION
from ...runtime import uncancelled
from ...store.checksums import checksum, seal, verify
from ...store.contract import ID_BOUND, Store, StoreStatus
from ...store.rows import ROWS, ActorRow, Head, InboxRow, MessageRow, OwnerRow, R, Row
from . import statements as sql
from .driver import ERRORS, connect, create_file, fetch, translate
from .sidecars.files import size_of
from .sidecars.loss import preserve
from .sidecars.mark import note_submission
from .sidecars.openers import readers
from .sidecars.presence import Presence
from .status import describe
from .upgrade import inspect, prepare
from .worker import Worker

__all__ = ("SqliteReader",)

INLINE_ROWS_MAX = 256
"""A read of up to so many rows by key takes well under a millisecond, so it isn't worth a hop to a thread."""

_PARENTS: list[object] = []
"""The connections of a parent process, in a forked child. They are kept, because to close them would touch the file."""

T = TypeVar("T")
_HEADS = msgspec.json.Decoder(list[Head])

_LAST_ID = f"""SELECT coalesce(max(id), 0) FROM (
    SELECT max(id) AS id FROM greenroom_message UNION ALL SELECT max(id) FROM greenroom_attempt
    UNION ALL SELECT max(id) FROM greenroom_dead_letter
    UNION ALL SELECT max(message_id) FROM greenroom_idempotency_key
    WHERE typeof(message_id) = 'integer' AND message_id < {ID_BOUND})"""
"""A damaged key row may hold anything in that column. The ids of the others are rowids, and so integers."""


class SqliteReader(Store):
    """The part of `SqliteStore` that needs no ownership."""

    path: str

    def __init__(self, path: str) -> None:
        self.path = path
        self._side = Worker("greenroom-side")
        self._housekeeper = Worker("greenroom-housekeeper")
        self._reader: sqlite3.Connection | None = None
        """The connection of the loop's thread."""
        self._side_reader: sqlite3.Connection | None = None
        self._submitter: sqlite3.Connection | None = None
        self._seen: int | None = None
        self._submitted = Presence(path)
        """The files that the submitter has open."""

    # -- life ---------------------------------------------------------------------------------------

    async def open_reader(self) -> None:
        if self._reader is not None:
            raise RuntimeError(f"{self.path} is open already")
        try:
            await self._side.call(self._open_reader)
        except BaseException:
            await self.close()
            raise

    def disown(self) -> None:
        """As the contract says. SQLite: howtocorrupt.html, "Carrying an open database connection across a fork"."""
        _PARENTS.append((self._reader, self._side_reader, self._submitter))
        self._reader = self._side_reader = self._submitter = None
        self._side, self._housekeeper = Worker("greenroom-side"), Worker("greenroom-housekeeper")

    async def close(self) -> None:
        await uncancelled(self._close_reader())

    def _open_reader(self) -> None:
        if not os.path.exists(self.path):
            raise no_store(self.path)
        preserve(self.path)
        self._reader = connect(self.path, reads_only=True)
        try:
            version = inspect(self._reader, self.path)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        if not version:
            raise no_store(self.path, "the database has none of its tables")
        if version < SCHEMA_VERSION:
            mends = "`greenroom db migrate` brings it up to date, and so does the next start of its node"
            raise StoreUnavailable(f"{self.path} has schema version {version}, not {SCHEMA_VERSION}: {mends}")

    async def create(self) -> None:
        await self._side.call(self._create)

    def _create(self) -> None:
        if not os.path.exists(self.path) and os.path.exists(f"{self.path}.mark"):
            raise StoreUnavailable(f"{self.path} is gone, and the mark beside it says that there was a store")
        create_file(self.path)
        prepare(self.path, migrates=False)

    async def _close_reader(self) -> None:
        reader, self._reader, self._seen = self._reader, None, None
        await self._side.call(self._disconnect)
        if reader is not None:
            reader.close()
        await self._side.stop()
        await self._housekeeper.stop()

    def _disconnect(self) -> None:
        for connection in (self._side_reader, self._submitter):
            if connection is not None:
                connection.close()
        self._side_reader = self._submitter = None
        self._submitted.forget()

    # -- reading -------------------------------------------------------------------------------------

    async def get(self, kind: type[R], *key: Any) -> R | None:
        if len(key) != ROWS[kind].key:
            columns = kind._fields[: ROWS[kind].key]
            raise TypeError(f"{kind.__name__} has the key {', '.join(columns)}, not {len(key)} values")
        rows = self._read(sql.by_key(kind), key)
        if not rows and kind is ActorRow:
            self._check_absent(str(key[0]))
        return verify(kind._make(rows[0])) if rows else None

    def _check_absent(self, address: str) -> None:
        """Check that an actor really has no row, because it mustn't begin anew after one flipped bit in an index.

        Raises:
            StoreCorrupt
        """
        for name, *values in self._read(sql.ACTOR_NEIGHBOURS, [address, address]):
            found = ActorRow._make(values)._replace(address=name)
            if values[0] is None or checksum(found) != found.crc:  # else the entry is whole, and the row is damaged
                why = f"the index of actors is damaged beside {address}: its state may be there, and can't be found"
                raise StoreCorrupt(self.path, f"{why}. Stop the node, keep a copy of the file, restore a backup")

    async def scan(
        self,
        kind: type[R],
        *,
        after: tuple[Any, ...] | None = None,
        limit: int = 1000,
        descending: bool = False,
        **equal: Any,
    ) -> list[R]:
        parameters: list[Any]
        conditions, parameters = sql.equality(kind, equal)
        if after is not None:
            conditions.append(sql.beyond(kind, len(after), descending=descending))
            parameters += after
        text = sql.select(kind, tuple(conditions), descending=descending)
        key = kind._fields[: ROWS[kind].key]
        by_key = set(equal) == set(key[: len(equal)])
        rows = await self._read_rows(text, [*parameters, limit], inline=by_key and limit <= INLINE_ROWS_MAX)
        if after is not None and rows and not descending:
            self._check_goes_on(ROWS[kind].noun, after, tuple(rows[-1][: len(key)]))
        return [kind._make(row) for row in rows]

    async def heads(self, after: int = 0, limit: int = 10_000) -> list[Head]:
        if limit > INLINE_ROWS_MAX:
            heads: list[Head] | None = None
            with suppress(StoreError, msgspec.MsgspecError):  # an old SQLite, or a damaged head, which the rows show
                found = await self._read_rows(sql.HEADS_JSON, [after, limit], inline=False)
                heads = sorted(_HEADS.decode(found[0][0]))
            if heads is not None and (not heads or heads[-1].id > after):
                return self._unequal(heads)
        rows = await self._read_rows(sql.HEADS, [after, limit], inline=limit <= INLINE_ROWS_MAX)
        if rows:
            self._check_goes_on("message", (after,), rows[-1][:1])
        return self._unequal([Head._make(row) for row in rows])

    def _unequal(self, heads: list[Head]) -> list[Head]:
        """Check that no number occurs twice: after one flipped bit a message would be handled in place of another, too.

        Raises:
            StoreCorrupt
        """
        if len({head.id for head in heads}) != len(heads):
            raise StoreCorrupt(self.path, "two messages have one number: restore a backup")
        return heads

    def _check_goes_on(self, table: str, after: tuple[Any, ...], last: tuple[Any, ...]) -> None:
        """Check that a walk over a table comes to an end, because damaged keys could lead it round in circles.

        Raises:
            StoreCorrupt
        """
        try:
            rises = last > after
        except TypeError:  # SQLite lets anybody put anything into a column
            rises = False
        if not rises:
            raise StoreCorrupt(self.path, f"the keys of {table} are out of order: restore a backup")

    async def with_uids(self, uids: Collection[str], after: int = 0) -> list[MessageRow]:
        rows: list[Any] = []
        wanted = list(uids)
        for start in range(0, len(wanted), sql.CHUNK_ROWS_MAX):
            some = wanted[start : start + sql.CHUNK_ROWS_MAX]
            text = sql.select(MessageRow, ("id > ?", f"uid IN ({','.join('?' * len(some))})"))
            rows += await self._read_rows(text, [after, *some, -1], inline=False)
        return sorted(MessageRow._make(row) for row in rows)

    async def messages(self, ids: Sequence[int]) -> list[MessageRow]:
        rows: list[Any] = []
        for start in range(0, len(ids), sql.CHUNK_ROWS_MAX):
            some = list(ids[start : start + sql.CHUNK_ROWS_MAX])
            inline = len(ids) <= INLINE_ROWS_MAX
            rows += await self._read_rows(*sql.by_ids(MessageRow, some), inline=inline)
        return [MessageRow._make(row) for row in rows]

    async def count(self, kind: type[Row], **equal: Any) -> int:
        conditions, parameters = sql.equality(kind, equal)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        text = f'SELECT count(*) FROM "{ROWS[kind].name}"{where}'
        return int((await self._read_rows(text, parameters, inline=False))[0][0])

    async def last_id(self) -> int:
        return int((await self._read_rows(_LAST_ID, [], inline=False))[0][0])

    async def owner(self) -> OwnerRow | None:
        rows = self._read(sql.OWNER, [])
        return OwnerRow._make(rows[0]) if rows else None

    async def status(self) -> StoreStatus:
        return StoreStatus(await self._aside(lambda: describe(self._long_reader(), self.path)))

    def inbox_changed(self) -> bool:
        seen, self._seen = self._seen, self._read("PRAGMA data_version", [])[0][0]
        return seen != self._seen

    def _read(self, text: str, parameters: Sequence[Any]) -> list[Any]:
        if self._reader is None:
            raise StoreUnavailable(f"{self.path} isn't open")
        try:
            return fetch(self._reader, text, parameters)
        except ERRORS as error:
            raise translate(error, self.path) from error

    async def _read_rows(self, text: str, parameters: Sequence[Any], *, inline: bool) -> list[Any]:
        if inline:
            return self._read(text, parameters)
        return await self._aside(lambda: fetch(self._long_reader(), text, parameters))

    def _long_reader(self) -> sqlite3.Connection:
        if self._side_reader is None:
            self._side_reader = connect(self.path, reads_only=True)
        return self._side_reader

    async def _aside(self, function: Callable[[], T]) -> T:
        if self._reader is None:
            raise StoreUnavailable(f"{self.path} isn't open")
        try:
            return await self._side.call(function)
        except ERRORS as error:
            raise translate(error, self.path) from error

    # -- housekeeping ---------------------------------------------------------------------------------

    async def keys_below(self, kind: type[Row], column: str, value: float, limit: int) -> list[Any]:
        sql.equality(kind, {column: value})
        return await self._walk(kind, sql.keys_below(kind, column), value, limit)

    async def keys_beyond(self, kind: type[Row], column: str, kept: int, limit: int) -> list[Any]:
        sql.equality(kind, {column: None})
        return await self._walk(kind, sql.keys_beyond(kind, column), kept, limit, kept)

    async def _walk(self, kind: type[Row], text: str, *parameters: float) -> list[Any]:
        """Read on a thread and a connection of its own, so that reads of bodies or of the inbox needn't wait for it."""
        if self._reader is None:
            raise StoreUnavailable(f"{self.path} isn't open")

        def walk() -> list[Any]:
            with closing(connect(self.path, reads_only=True)) as connection:
                return fetch(connection, text, parameters)

        try:
            rows = await self._housekeeper.call(walk)
        except ERRORS as error:
            raise translate(error, self.path) from error
        return [row[0] for row in rows] if ROWS[kind].key == 1 else rows

    def log_bytes(self) -> int:
        return size_of(f"{self.path}-wal")

    def log_readers(self) -> list[int]:
        return readers(self.path)

    # -- submitting ------------------------------------------------------------------------------------

    async def submit(self, rows: Iterable[Any]) -> list[int]:
        """As the contract says. A submission whose caller is cancelled may still land."""
        submitted = list(rows)
        return await self._aside(lambda: self._submit(submitted)) if submitted else []

    def _submit(self, rows: list[InboxRow]) -> list[int]:
        if self._submitter is None:
            self._submitter = connect(self.path)
            self._submitted.note()
        connection = self._submitter
        committing = False
        try:
            connection.execute("BEGIN IMMEDIATE")
            last: int = connection.execute(sql.INBOX_LAST_ID).fetchone()[0]
            # The checksum covers the id, so the id must be known before the row is written.
            numbered = [seal(row._replace(id=last + position)) for position, row in enumerate(rows, 1)]
            sql.put(connection, sql.insert, InboxRow, numbered, sql.variables(connection))
            committing = True
            connection.execute("COMMIT")
            self._submitted.check()
        except BaseException as error:
            sql.roll_back(connection)
            if isinstance(error, ERRORS):
                raise translate(error, self.path, outcome="unknown" if committing else "dropped") from error
            raise
        note_submission(f"{self.path}.mark", numbered[-1].id)
        return [row.id for row in numbered]
