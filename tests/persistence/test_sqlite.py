from __future__ import annotations

import asyncio
import os
import resource
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from store_samples import actor, commit, message, tell

from understudy.persistence.driver import locate, translate, wal_reset_bug
from understudy.persistence.engines import open_store
from understudy.persistence.errors import (
    StoreCorrupt,
    StoreDataError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUrlInvalid,
)
from understudy.persistence.memory import MemoryStore
from understudy.persistence.record import ActorRow, InboxRow, MessageRow, verify
from understudy.persistence.runtime import Runtime
from understudy.persistence.sqlite import SqliteStore
from understudy.persistence.store import Commit

Make = Callable[..., SqliteStore]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[SqliteStore] = []

    def make(path: Path | None = None) -> SqliteStore:
        made.append(SqliteStore(f"sqlite:///{path or tmp_path / 'bank.db'}", Runtime()))
        return made[-1]

    yield make
    for store in made:
        await store.close()


def writer(store: SqliteStore) -> sqlite3.Connection:
    assert store._writer is not None
    return store._writer


# -- URLs -------------------------------------------------------------------------------------------


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.path.realpath(tmp_path)
    assert locate("sqlite:///bank.db").path == f"{here}/bank.db"
    assert locate("sqlite:///data/bank.db").path == f"{here}/data/bank.db"
    assert locate("sqlite:////srv/bank.db").path == "/srv/bank.db"
    assert locate("sqlite:///bank.db?synchronous=normal") == (f"{here}/bank.db", "NORMAL")
    (tmp_path / "link.db").symlink_to(tmp_path / "bank.db")
    assert locate("sqlite:///link.db").path == f"{here}/bank.db"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://", "slashes"),
        ("sqlite://bank.db", "slashes"),
        ("sqlite:bank.db", "slashes"),
        ("sqlite:///", "no file"),
        ("sqlite:///:memory:", "no file"),
        ("sqlite:///bank.db?synchronous=off", "synchronous"),
        ("sqlite:///bank.db?mode=ro", "mode=ro"),
        ("postgresql://host/bank", "no engine for PostgreSQL"),
        ("postgresql+asyncpg://host/bank", "no engine for PostgreSQL"),
        ("mysql://host/bank", "mysql"),
        ("bank.db", "no scheme"),
        ("", "no scheme"),
    ],
)
def test_urls_that_are_none(url: str, why: str) -> None:
    with pytest.raises(StoreUrlInvalid, match=why) as caught:
        open_store(url, Runtime())
    assert caught.value.url == url


def test_urls_that_are_some() -> None:
    assert isinstance(open_store("memory://", Runtime()), MemoryStore)
    store = open_store("sqlite:///bank.db", Runtime())
    assert isinstance(store, SqliteStore)
    assert store.url == "sqlite:///bank.db"


@pytest.mark.parametrize("name", ["a b.db", "a%20b.db", "ä#1.db", "it's.db", "a&b=c.db"])
async def test_odd_file_names(tmp_path: Path, make: Make, name: str) -> None:
    store = make(tmp_path / name)
    await store.open()
    store.commit_now(commit(1, message(1)))
    assert await store.count(MessageRow) == 1
    assert (tmp_path / name).exists()


# -- files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0o000, 0o777])
async def test_files_are_the_owners_alone(tmp_path: Path, make: Make, mask: int) -> None:
    umask = os.umask(mask)
    try:
        store = make()
        await store.open()
        store.commit_now(commit(1, message(1)))
        await store.submit([tell()])
    finally:
        os.umask(umask)
    names = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert names.keys() == {"bank.db", "bank.db-wal", "bank.db-shm", "bank.db.lock", "bank.db.slots"}
    assert set(names.values()) == {0o600}
    await store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"bank.db", "bank.db.lock", "bank.db.slots"}


async def test_what_the_connections_are_set_to(make: Make) -> None:
    store = make()
    await store.open()
    await store.count(MessageRow)
    await store.submit([tell()])
    connection = writer(store)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (1000,)
    for other in (store._reader, store._side_reader, store._submitter):
        assert other is not None
        assert other.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    for reading in (store._reader, store._side_reader):
        assert reading is not None
        with pytest.raises(sqlite3.OperationalError):
            reading.execute("DELETE FROM message")


async def test_synchronous_of_the_url(tmp_path: Path) -> None:
    store = SqliteStore(f"sqlite:///{tmp_path}/bank.db?synchronous=normal", Runtime())
    await store.open()
    assert writer(store).execute("PRAGMA synchronous").fetchone() == (1,)
    await store.close()


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at\n" * 50, b"x"])
async def test_a_file_that_is_no_database(tmp_path: Path, make: Make, content: bytes) -> None:
    (tmp_path / "bank.db").write_bytes(content)
    for opening in (make().open, make().open_reader):
        with pytest.raises(StoreCorrupt):
            await opening()
    assert (tmp_path / "bank.db").read_bytes() == content


async def test_a_damaged_database(tmp_path: Path, make: Make) -> None:
    store = make()
    await store.open()
    await store.commit(commit(1, *(message(n, body="x" * 1000) for n in range(1, 200))))
    await store.close()
    path = tmp_path / "bank.db"
    content = bytearray(path.read_bytes())
    content[100 : 100 + 3000] = os.urandom(3000)
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt):
        await make().open()


async def test_an_empty_file_is_a_fresh_store(tmp_path: Path, make: Make) -> None:
    (tmp_path / "bank.db").touch()
    assert (await make().open()).epoch == 1


async def test_no_folder(tmp_path: Path, make: Make) -> None:
    with pytest.raises(StoreUnavailable, match="No such file"):
        await make(tmp_path / "missing" / "bank.db").open()


async def test_a_folder(tmp_path: Path, make: Make) -> None:
    (tmp_path / "bank.db").mkdir()
    with pytest.raises(StoreUnavailable):
        await make().open()


async def test_a_failed_open_gives_the_lock_back(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "bank.db"
    path.write_bytes(b"x" * 5000)
    store = make()
    with pytest.raises(StoreCorrupt):
        await store.open()
    path.unlink()
    await store.open()


async def test_a_cancelled_open_gives_the_lock_back(make: Make) -> None:
    for steps in range(6):
        task = asyncio.create_task(make().open())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await make().open()


@contextmanager
def mounted(path: Path, size: str) -> Iterator[Path]:
    path.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


async def test_a_read_only_file_system(tmp_path: Path, make: Make) -> None:
    with mounted(tmp_path / "disk", "4m") as disk:
        store = make(disk / "bank.db")
        await store.open()
        await store.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(StoreUnavailable, match="Read-only"):
            await store.open()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
async def test_a_read_only_file(tmp_path: Path, make: Make) -> None:
    store = make()
    await store.open()
    await store.close()
    (tmp_path / "bank.db").chmod(0o400)
    with pytest.raises(StoreUnavailable):
        await store.open()


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
            await store.commit_held(commit(1, message(1)))
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert await store.count(MessageRow) == 0
    store.commit_now(commit(1, message(1)))


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
            await store.submit([tell(body="x" * 100_000)])
        store.attempts.note(4000, "00" * 16, "/a")  # no SIGBUS: its blocks are there
        owner = await store.reopen()
        assert owner.commit_no == number
        assert await store.count(MessageRow) == number * 50
        await store.close()


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


@pytest.mark.parametrize("way", ["commit", "commit_now", "commit_held"])
async def test_commit_itself_fails(tmp_path: Path, make: Make, way: str) -> None:
    store = make()
    await store.open()
    store.commit_now(commit(1, message(1)))
    wal = (tmp_path / "bank.db-wal").stat().st_size
    change = commit(2, message(2, body="x" * 20_000)).delete(MessageRow, 1)

    async def write() -> None:
        if way == "commit_held":
            async with store.transaction():
                with files_end_at(wal + 8192):
                    await store.commit_held(change)
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
    with pytest.raises(StoreUnavailable):
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
    connection.execute("CREATE TEMP TRIGGER slow BEFORE INSERT ON message BEGIN SELECT wait(1); END")
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
    monkeypatch.setattr("understudy.persistence.driver.BUSY_TIMEOUT_S", 0.05)
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


# -- errors -----------------------------------------------------------------------------------------


def test_errors_of_the_driver() -> None:
    def of(code: int, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> StoreError:
        error = kind("boom")
        error.sqlite_errorcode = code
        error.sqlite_errorname = "NAME"
        return translate(error, "/bank.db", outcome="unknown")

    assert isinstance(of(sqlite3.SQLITE_FULL), StoreFull)
    for code in (
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_READONLY_DBMOVED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_ERROR,
    ):
        found = of(code)
        assert isinstance(found, StoreUnavailable)
        assert found.outcome == "unknown"
    for code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CORRUPT_INDEX, sqlite3.SQLITE_NOTADB):
        assert isinstance(of(code, sqlite3.DatabaseError), StoreCorrupt)
    for code in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH):
        assert isinstance(of(code, sqlite3.IntegrityError), StoreDataError)
    assert isinstance(translate(MemoryError(), "/bank.db"), StoreUnavailable)
    assert isinstance(translate(OverflowError("too big"), "/bank.db"), StoreDataError)


async def test_a_value_beyond_sqlites_limit(make: Make) -> None:
    store = make()
    await store.open()
    writer(store).setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000)
    with pytest.raises(StoreDataError):
        store.commit_now(commit(1, message(1), message(2, body="x" * 20_000)))
    assert await store.count(MessageRow) == 0


async def test_a_low_limit_of_parameters(make: Make) -> None:
    store = make()
    await store.open()
    writer(store).setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 100)
    store._variables = 100
    store.commit_now(commit(1, *(message(n) for n in range(1, 100))))
    store.commit_now(Commit(2).delete(MessageRow, *range(1, 100, 2)))
    assert await store.count(MessageRow) == 49


async def test_statements_are_compiled_once(make: Make) -> None:
    """Two commits of the same shape execute the same text: the statement cache finds it."""
    store = make()
    await store.open()
    seen: list[str] = []
    for number in (1, 2):
        writer(store).set_trace_callback(seen.append)
        rows = [message(number * 1000 + n) for n in range(100)]
        store.commit_now(commit(number, *rows).put(*(actor(f"/{n}") for n in range(3))))
        writer(store).set_trace_callback(None)
    assert len(seen) == 2 * (3 + 3 + 2)  # BEGIN, owner, 64 + 32 + 4 messages, 2 + 1 actors, COMMIT


@pytest.mark.parametrize(
    ("version", "affected"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_wal_reset_bug(version: tuple[int, int, int], affected: bool) -> None:
    assert wal_reset_bug(version) is affected


async def test_status_of_files(tmp_path: Path, make: Make) -> None:
    store = make()
    await store.open()
    await store.commit(commit(1, message(1)))
    status = await store.status()
    assert status["path"] == str(tmp_path / "bank.db")
    assert status["file_bytes"] == (tmp_path / "bank.db").stat().st_size
    assert status["wal_bytes"] == (tmp_path / "bank.db-wal").stat().st_size > 0
    assert status["sqlite_version"] == sqlite3.sqlite_version
    assert status["journal_mode"] == "wal"
    assert status["rows_inbox"] == await store.count(InboxRow) == 0
