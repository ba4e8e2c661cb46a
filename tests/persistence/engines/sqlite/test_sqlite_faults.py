"""The SQLite store on full and broken disks, under concurrency, and after a kill."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlite_stores import Make, mounted, writer
from store_samples import actor, commit, message, tell

from greenroom.persistence.engines.sqlite.upgrade import inspect
from greenroom.persistence.errors import StoreError, StoreFull, StoreLost, StoreUnavailable
from greenroom.persistence.store.checksums import verify
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import ActorRow, MessageRow

# -- a full disk, a broken disk -------------------------------------------------------------------------


async def test_the_page_limit(make: Make) -> None:
    store = make()
    await store.open()
    store.commit_now(commit(1, message(1)))
    connection = writer(store)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 5}")
    big = commit(2, *(message(n, body="x" * 1000) for n in range(2, 200))).put(actor())
    for write in (store.commit, lambda commit: asyncio.to_thread(store.commit_now, commit)):
        with pytest.raises(StoreFull) as caught:
            await write(big)
        assert caught.value.outcome == "dropped"
        assert not connection.in_transaction
    assert await store.count(MessageRow) == 1
    assert await store.count(ActorRow) == 0
    assert (await store.owner()).commit_no == 1  # type: ignore[union-attr]
    store.commit_now(commit(2, message(2)))  # a small one fits
    connection.execute("PRAGMA max_page_count=1000000")
    store.commit_now(commit(3, *big.inserts[1:]))
    assert await store.count(MessageRow) == 199


async def test_the_page_limit_in_a_users_transaction(make: Make) -> None:
    store = make()
    await store.open()
    connection = writer(store)
    connection.execute("CREATE TABLE t (x)")
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages + 5}")
    async with store.transaction() as held:
        with pytest.raises(Exception, match="full"):
            await held.execute(text("INSERT INTO t VALUES (zeroblob(1000000))"))
        # SQLite has rolled back: nothing that follows may commit by itself.
        with pytest.raises(StoreError):
            await held.execute(text("INSERT INTO t VALUES (1)"))
        with pytest.raises(StoreFull):
            await store.commit_transaction(commit(1, message(1)))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert await store.count(MessageRow) == 0
    store.commit_now(commit(1, message(1)))


@pytest.mark.process
async def test_a_really_full_disk(tmp_path: Path, make: Make) -> None:
    with mounted(tmp_path / "disk", "3m") as disk:
        store = make(disk / "bank.db")
        await store.open()
        number = 0
        full: StoreFull | None = None
        while full is None:
            try:
                rows = [message(number * 50 + n, body="x" * 2000) for n in range(50)]
                store.commit_now(commit(number + 1, *rows))
                number += 1
            except StoreFull as error:
                full = error
        assert number > 3
        with pytest.raises(StoreFull):
            await store.submit([tell(body="x" * 400_000)])
        store.attempts.note(4000, "00" * 16, "/a")  # no SIGBUS: its blocks are there
        owner = await store.reopen()
        assert owner.commit_no == number
        assert await store.count(MessageRow) == number * 50
        await store.close()


@pytest.mark.process
async def test_a_disk_too_full_for_the_slots(tmp_path: Path, make: Make) -> None:
    with mounted(tmp_path / "disk", "512k") as disk:
        with pytest.raises(StoreFull):
            await make(disk / "bank.db").open()


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """Writing beyond fails with EFBIG, which is an I/O error to SQLite."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("way", ["commit", "commit_now", "commit_transaction"])
async def test_commit_itself_fails(tmp_path: Path, make: Make, way: str) -> None:
    store = make()
    await store.open()
    store.commit_now(commit(1, message(1)))
    wal = (tmp_path / "bank.db-wal").stat().st_size
    change = commit(2, message(2, body="x" * 20_000)).delete(MessageRow, 1)

    async def write() -> None:
        if way == "commit_transaction":
            async with store.transaction():
                with files_end_at(wal + 8192):
                    await store.commit_transaction(change)
            return
        with files_end_at(wal + 8192):
            if way == "commit":
                await store.commit(change)
            else:
                store.commit_now(change)

    with pytest.raises(StoreUnavailable) as caught:
        await write()
    assert caught.value.outcome == "unknown"
    assert not writer(store).in_transaction
    owner = await store.reopen()
    assert owner.commit_no == 1
    assert await store.heads() == [(1, "/bank/alice", 0, None)]
    await store.commit(change)
    assert [head.id for head in await store.heads()] == [2]


async def test_reopen_proves_that_the_store_can_be_written(tmp_path: Path, make: Make) -> None:
    store = make()
    await store.open()
    reader = make()
    await reader.open_reader()  # keeps the WAL alive
    store.commit_now(commit(1, message(1)))
    size = (tmp_path / "bank.db-wal").stat().st_size
    with files_end_at(size), pytest.raises(StoreUnavailable):
        await store.reopen()
    await store.reopen()
    assert (tmp_path / "bank.db-wal").stat().st_size > size
    store.commit_now(commit(2, message(2)))
    assert await reader.count(MessageRow) == 2


async def test_reopen_when_the_file_is_gone(tmp_path: Path, make: Make) -> None:
    store = make()
    await store.open()
    os.rename(tmp_path / "bank.db", tmp_path / "away.db")
    with pytest.raises(StoreLost):
        await store.reopen()
    with pytest.raises(StoreUnavailable):
        store.commit_now(commit(1))
    with pytest.raises(StoreUnavailable):
        await store.count(MessageRow)
    os.rename(tmp_path / "away.db", tmp_path / "bank.db")
    await store.reopen()
    store.commit_now(commit(1))


# -- concurrency ------------------------------------------------------------------------------------------


async def test_a_cancelled_commit_still_commits(make: Make) -> None:
    store = make()
    await store.open()
    connection = writer(store)
    at_it, go = threading.Event(), threading.Event()

    def wait(value: int) -> int:
        at_it.set()
        go.wait(30)
        return value

    connection.create_function("wait", 1, wait)
    connection.execute("CREATE TEMP TRIGGER slow BEFORE INSERT ON greenroom_message BEGIN SELECT wait(1); END")
    task = asyncio.create_task(store.commit(commit(1, message(1))))
    await asyncio.to_thread(at_it.wait, 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    following = asyncio.create_task(store.commit(Commit(2).put(actor())))
    await asyncio.sleep(0)
    go.set()
    await following
    assert await store.count(MessageRow) == 1
    assert (await store.owner()).commit_no == 2  # type: ignore[union-attr]


async def test_commit_now_waits_for_the_thread(make: Make) -> None:
    store = make()
    await store.open()
    task = asyncio.create_task(store.commit(commit(1, *(message(n) for n in range(1, 2000)))))
    await asyncio.sleep(0)
    store.commit_now(commit(2, message(3000)))
    await task
    assert await store.count(MessageRow) == 2000


async def test_a_foreign_write_lock_is_waited_for_and_then_an_error(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom.persistence.engines.sqlite.driver.BUSY_TIMEOUT_S", 0.05)
    store = make()
    await store.open()
    other = sqlite3.connect(tmp_path / "bank.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for use in (store.commit(commit(1)), store.submit([tell()])):
        with pytest.raises(StoreUnavailable, match="locked") as caught:
            await use
        assert caught.value.outcome == "dropped"
    with pytest.raises(StoreUnavailable):
        async with store.transaction():
            pass
    other.execute("ROLLBACK")
    other.close()
    store.commit_now(commit(1))


async def test_close_finishes_the_commits_that_are_queued(make: Make) -> None:
    store = make()
    await store.open()
    tasks = [asyncio.create_task(store.commit(commit(n, message(n)))) for n in range(1, 20)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*tasks)
    await store.open()
    assert await store.count(MessageRow) == 19


async def test_no_thread_is_left(make: Make) -> None:
    before = set(threading.enumerate())
    store = make()
    await store.open()
    await store.commit(commit(1))
    await store.count(MessageRow)
    async with store.transaction():
        ours = set(threading.enumerate()) - before
        assert len(ours) == 3  # the writer's, the side's, the user's
        assert all(thread.daemon for thread in ours)  # an unclosed store doesn't hang the interpreter's exit
    await store.close()
    assert set(threading.enumerate()) == before


# -- process death ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["commit", "commit_now"])
async def test_kill_9_in_a_commit_loop(tmp_path: Path, make: Make, spawn: Any, way: str) -> None:
    path = tmp_path / "bank.db"
    acked = 0
    for life in range(1, 5):
        child = spawn(way, path)
        for _ in range(60 + 17 * life):
            acked = int(child.stdout.readline())
        child.kill()
        acked = max([acked, *map(int, child.stdout.read().split())])
        child.wait()
        store = make(path)
        owner = await store.open()
        assert owner.epoch == 2 * life
        last = owner.commit_no
        assert last in (acked, acked + 1)  # at most the one in flight
        state = await store.get(ActorRow, "/a")
        assert state is not None
        assert state.state == str(last)
        rows = await store.scan(MessageRow)
        assert [verify(row).id for row in rows] == [
            number * 10 + place for number in range(last - 4, last + 1) for place in range(3)
        ]
        await store.close()


def test_a_database_that_has_rolled_back_by_itself_is_looked_at(tmp_path: Path) -> None:
    """At an I/O error SQLite may end the transaction. That is no error of its own, which would hide the first one."""

    class Failing(sqlite3.Connection):
        def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
            if statement == "PRAGMA application_id":
                super().execute("ROLLBACK")
                raise sqlite3.OperationalError("disk I/O error")
            return super().execute(statement, *parameters)

    with closing(sqlite3.connect(tmp_path / "x.db", factory=Failing, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            inspect(connection, "x.db")
