"""Stores with a bug each, of the kind that a power cut shows; the tests must find every one."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from typing import Any

from greenroom.persistence.commit.queue import CommitQueue
from greenroom.persistence.engines.sqlite import statements as sql
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.maintenance import backup
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import MessageRow

__all__ = ("BUGS", "Small", "store")


class Small(SqliteStore):
    """One that checkpoints often."""

    checkpoint_pages = 40

    def __init__(self, url: str) -> None:
        super().__init__(url, Runtime())

    def _connect(self) -> sqlite3.Connection:
        writer = super()._connect()
        writer.execute(f"PRAGMA wal_autocheckpoint={self.checkpoint_pages}")
        return writer


class Lazy(Small):
    """Commits aren't synced, checkpoints are."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.synchronous_level = "NORMAL"


class Careless(Small):
    """Nothing is synced."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.synchronous_level = "OFF"


class HastyCheckpoints(Small):
    """Commits are synced; the database isn't, before the WAL that it is made from begins anew."""

    checkpoint_pages = 0

    def _write(self, commit: Commit) -> None:
        super()._write(commit)
        assert self._writer is not None
        self._writer.execute("PRAGMA synchronous=OFF")
        self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._writer.execute("PRAGMA synchronous=FULL")


def _acknowledged_early() -> type[Small]:
    """A planted bug: a waiter for a position is told at once."""

    def when(self: CommitQueue, position: int, waiter: Callable[[Any], object]) -> None:
        self.request()
        waiter(None)

    async def wait(self: CommitQueue, position: int) -> None:
        self.request()

    def landing(self: CommitQueue, position: int) -> asyncio.Future[None]:
        self.request()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    for method in (when, wait, landing):
        setattr(CommitQueue, method.__name__, method)
    return Small


def _torn(first: Callable[[Commit], Commit]) -> type[Small]:
    """A commit in two transactions: what `first` takes out of it, then the rest."""
    whole = sql.write

    def write(connection: sqlite3.Connection, commit: Commit, node: str, epoch: int, most: int) -> None:
        part = first(commit)
        if part.inserts or part.deletes or part.puts:
            whole(connection, part, node, epoch, most)
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
        whole(connection, commit, node, epoch, most)

    sql.write = write
    return Small


def _acks(commit: Commit) -> Commit:
    part = Commit(commit.number)
    if MessageRow in commit.deletes:
        part.delete(MessageRow, *commit.deletes.pop(MessageRow))
    return part


def _sends(commit: Commit) -> Commit:
    part = Commit(commit.number)
    part.inserts, commit.inserts = commit.inserts, []
    return part


def _states(commit: Commit) -> Commit:
    part = Commit(commit.number)
    part.puts, commit.puts = commit.puts, {}
    return part


def _unsynced_copy() -> type[Small]:
    """A backup gets its name before it is on the disk."""

    def publish(path: str, destination: str, *, overwrite: bool) -> None:
        os.link(path, destination)

    setattr(backup, "publish", publish)  # noqa: B010  # imported there by name
    return Small


BUGS: dict[str, Callable[[], type[Small]]] = {
    "none": lambda: Small,
    "synchronous=NORMAL": lambda: Lazy,
    "synchronous=OFF": lambda: Careless,
    "checkpoint without sync": lambda: HastyCheckpoints,
    "acknowledged before the commit": _acknowledged_early,
    "ack apart from its turn": lambda: _torn(_acks),
    "sends apart from their turn": lambda: _torn(_sends),
    "state apart from its turn": lambda: _torn(_states),
    "backup without sync": _unsynced_copy,
}


def store(bug: str, url: str) -> SqliteStore:
    """A store with this bug, from now on in the whole process."""
    if bug not in _planted:
        _planted[bug] = BUGS[bug]()
    return _planted[bug](url)


_planted: dict[str, type[Small]] = {}
