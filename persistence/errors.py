"""The root of the error tree, and the errors of the store.

Every error keeps what it is about as attributes and builds its own message; errors of the driver and of
SQLAlchemy are mapped to these and never leak.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

__all__ = (
    "CommitsLost",
    "Fenced",
    "NoEventLoop",
    "FileInTheWay",
    "RecordCorrupt",
    "RowsDamaged",
    "SchemaTooNew",
    "StoreCorrupt",
    "StoreDataError",
    "StoreError",
    "StoreFull",
    "StoreInUse",
    "StoreLocked",
    "StoreLost",
    "StoreMissing",
    "StoreUnavailable",
    "StoreUrlInvalid",
    "TableReserved",
    "TransactionMisused",
    "WrongThread",
    "redacted",
    "GreenroomError",
)

Outcome = Literal["dropped", "unknown"]


_PASSWORD = re.compile(r"^(?!sqlite:///)((?:[a-z][a-z0-9+.-]*:/*)?[^:/?#@]*):.*@", re.IGNORECASE | re.DOTALL)
"""The user, a colon, and all up to the last @, because a password may hold any letter. A path has no user."""
_SECRET = re.compile(r"([?&][^=&#]*(?:pass|pwd|secret|token|key|auth)[^=&#]*=)[^&#]*", re.IGNORECASE)


def redacted(url: str) -> str:
    """The URL without its password, for errors, logs and listings. Everything that shows a store's URL calls this."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))


class GreenroomError(Exception):
    """The root of every error that greenroom raises."""


_STRANGERS = {
    "thread": (
        "comes from the thread {thread}, and the node lives on the thread of its event loop",
        "In a thread use ref.from_thread.tell(...) or ref.from_thread.ask(...)",
    ),
    "loop": (
        "comes from another event loop than the one on which the node, or the client, was started",
        "Use one loop for both; from the loop of another thread: await asyncio.to_thread(ref.from_thread.tell, ...)",
    ),
    "stopped": (
        "comes while the event loop of the node, or of the client, doesn't run",
        "Call it in a coroutine on that loop, inside its `async with` block",
    ),
    "process": (
        "comes from a forked child, and the node, or the client, lives in the parent",
        "Use a `Client` of the child's own on the node's store; or start processes by spawn, not by fork",
    ),
    "waits": (
        "comes from the node's own event loop, which would wait for itself",
        "Write `await ref.tell(...)` or `await ref.ask(...)` there",
    ),
}
"""The mistake and its remedy, by the place that a call came from."""


class WrongThread(GreenroomError):
    """The call doesn't come from the event loop on which the node was started. Nothing was done.

    Attributes:
        call: the call, such as "tell()".
        where: "thread" (another thread), "loop" (another event loop), "stopped" (the loop doesn't run), "process" (a
            forked child), or "waits" (`from_thread` on the node's own loop).
        thread: the name of the calling thread.
    """

    def __init__(self, call: str, where: str, thread: str = "") -> None:
        self.call = call
        self.where = where
        self.thread = thread
        found, remedy = _STRANGERS[where]
        super().__init__(f"{call} {found.format(thread=thread)}. {remedy}")

    def __reduce__(self) -> Any:
        return type(self), (self.call, self.where, self.thread)


class NoEventLoop(GreenroomError, RuntimeError):
    """No asyncio event loop runs where a node, or a client, is started: there is none, or it is one of trio."""

    def __init__(self, call: str) -> None:
        self.call = call
        super().__init__(
            f"{call} needs a running event loop of asyncio, and none runs here. Start it in a coroutine that "
            'asyncio.run(main()) runs; with anyio, anyio.run(main, backend="asyncio"), because greenroom '
            "doesn't run on trio"
        )

    def __reduce__(self) -> Any:
        return type(self), (self.call,)


class StoreError(GreenroomError):
    """The root of the store's errors."""


class StoreUrlInvalid(StoreError):
    """No installed engine understands the store's URL. The error shows it without its password."""

    def __init__(self, url: str, why: str) -> None:
        self.url = redacted(url)
        self.why = why
        super().__init__(
            f"{self.url!r} is no store: {why}. Use sqlite:///path/to/file.db, or memory:// for a store without a file"
        )


class StoreLocked(StoreError):
    """Another process runs a node on this store."""

    def __init__(self, path: str, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = f"process {pid}" if pid else "another process"
        super().__init__(
            f"{path} is in use by {holder}; only one node may run on it. Stop that one first; or "
            "speak to it by a `Client`, as the further workers of a web server do (docs/web.md)"
        )


class StoreInUse(StoreError):
    """Processes other than a node have the database open, and the work needs the database for itself."""

    def __init__(self, path: str, pids: Sequence[int]) -> None:
        self.path = path
        self.pids = tuple(pids)
        who = f"process {', '.join(map(str, pids))}" if pids else "another process"
        super().__init__(f"{path} is open in {who}, a client perhaps. End that first: it would go on with the old file")


class FileInTheWay(StoreError):
    """A file lies at the path to be written."""

    def __init__(self, path: str, why: str = "exists already", *, replaceable: bool = True) -> None:
        self.path = path
        self.why = why
        self.replaceable = replaceable
        """Whether a caller that asks for it may overwrite the file."""
        super().__init__(f"{path} {why}; nothing was overwritten")


class _Interrupted(StoreError):
    """The store did not take a write. `undelivered` is the message, if the write was that of a tell."""

    def __init__(self, why: str, *, outcome: Outcome = "dropped", undelivered: Any = None) -> None:
        self.why = why
        self.outcome: Outcome = outcome
        self.undelivered = undelivered
        super().__init__(
            why
            if outcome == "dropped"
            else f"{why} (outcome unknown: it may be on disk; repeat a tell under the same key)"
        )

    def handing_back(self, message: Any) -> _Interrupted:
        """A copy of this error that carries `message`, for its teller."""
        return type(self)(self.why, outcome=self.outcome, undelivered=message)


class StoreFull(_Interrupted):
    """The disk, or the database's page limit, is full. Nothing was written; the node goes on when there is space."""


class StoreUnavailable(_Interrupted):
    """The store can't be written at the moment (I/O error, connection lost, read-only file)."""


class StoreMissing(StoreUnavailable):
    """There is no store yet: no node has run on it, and no client has told anything."""


def no_store(path: str, why: str = "") -> StoreMissing:
    """The error of a store that isn't there.

    Args:
        why: how that shows, if there is a file.
    """
    found = f"there is no store at {path} yet{f': {why}' if why else ''}"
    return StoreMissing(f"{found}. The first start of its node makes it (greenroom run). If it exists, name its file")


class StoreCorrupt(StoreError):
    """The file is no database, or its content contradicts itself."""

    def __init__(self, where: str, why: str) -> None:
        self.where = where
        self.why = why
        super().__init__(f"{where}: {why}")


class RecordCorrupt(StoreCorrupt):
    """One stored record fails its checksum: it was damaged, or edited by hand."""

    def __init__(self, where: str, stored: int, computed: int) -> None:
        self.stored = stored
        self.computed = computed
        super().__init__(where, f"checksum {stored} in the row, {computed} over its content")

    def __reduce__(self) -> Any:
        return (type(self), (self.where, self.stored, self.computed))


class RowsDamaged(StoreCorrupt):
    """Some rows of a database are damaged. Its structure is whole, so the other rows can be read."""

    def __init__(self, where: str, count: int, first: str) -> None:
        self.count = count
        self.first = first
        super().__init__(where, f"{count} damaged row{'' if count == 1 else 's'}, the first in {first}")


class CommitsLost(StoreCorrupt):
    """The database lacks the last commits that were made to it, because its WAL was damaged, cut or deleted, or because
    it is an older copy. Nothing was changed. See docs/operations.md, "Lost commits".
    """

    def __init__(self, where: str, missing: str, kept: str | None = None) -> None:
        self.missing = missing
        self.kept = kept
        """The path of a copy of the WAL as it was found."""
        saved = f" The WAL as it was found is kept in {kept}." if kept else ""
        super().__init__(
            where,
            f"the last {missing} that it had taken are missing, and with them messages and states that were "
            f"acknowledged. Its WAL was damaged, cut or deleted, or an older copy was put in its place.{saved} "
            "If the right files are to be had, put them back. To go on without what is missing: "
            "greenroom db accept-loss",
        )

    def __reduce__(self) -> Any:
        return (type(self), (self.where, self.missing, self.kept))


class StoreLost(StoreCorrupt):
    """A file of the store was removed, renamed or replaced while it was open. Nothing was acknowledged since.

    Attributes:
        path: the path of that file.
        replaced: whether another file lies there now.
    """

    def __init__(self, where: str, path: str, what: str, *, replaced: bool) -> None:
        self.path = path
        self.what = what
        self.replaced = replaced
        happened = "was replaced by another file" if replaced else "was removed or renamed"
        super().__init__(
            where,
            f"{what} ({path}) {happened} while it was open, so what is written now would be found nowhere. The last "
            "writes weren't acknowledged. Put the file back, or restore a backup (greenroom db restore), and start "
            "again. Stop a node before you move its files; copy them with greenroom db backup",
        )

    def __reduce__(self) -> Any:
        return (_store_lost, (self.where, self.path, self.what, self.replaced))


def _store_lost(where: str, path: str, what: str, replaced: bool) -> StoreLost:
    return StoreLost(where, path, what, replaced=replaced)


class StoreDataError(StoreError):
    """The database refused the data of a commit (a constraint, a value too big), not the commit as such.

    `undelivered` is the message, if the data were those of a tell.
    """

    def __init__(self, why: str, *, undelivered: Any = None) -> None:
        self.why = why
        self.undelivered = undelivered
        super().__init__(why)

    def handing_back(self, message: Any) -> StoreDataError:
        """A copy of this error that carries `message`, for its teller."""
        return type(self)(self.why, undelivered=message)


class SchemaTooNew(StoreError):
    """The database was written by a newer greenroom than this one."""

    def __init__(self, where: str, found: int, known: int) -> None:
        self.where = where
        self.found = found
        self.known = known
        super().__init__(
            f"{where} has schema version {found}, and this greenroom knows up to {known}: upgrade greenroom"
        )


class Fenced(StoreError):
    """Another owner has taken this node over (its epoch is newer): nothing can be committed any more."""

    def __init__(self, node: str, epoch: int) -> None:
        self.node = node
        self.epoch = epoch
        super().__init__(
            f"node {node!r} at epoch {epoch} is no longer the owner of its store, so it ends. "
            "Let only one node run on a store"
        )


class TransactionMisused(StoreError):
    """The SQL of a turn tried to begin, commit or roll back, or it came after the end of the turn's transaction."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"{why}. The transaction is the turn's: it commits with the turn, or not at all")


class TableReserved(TransactionMisused):
    """The SQL of a turn tried to write to a table of greenroom, or to change a setting on which the store relies."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.why = what
        StoreError.__init__(
            self,
            f"{what} was refused: tables whose names begin with greenroom_, the counters in sqlite_sequence and the "
            "settings of the store are greenroom's own. Give a table of yours another name; change messages and "
            "states by turns, or by greenroom's commands",
        )

    def __reduce__(self) -> Any:
        return type(self), (self.what,)
