"""The SQLite store: its URLs, its files, its errors and limits."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest
from sqlite_stores import Make, mounted, writer
from store_samples import actor, commit, message, tell

from greenroom.persistence.engines.memory.engine import MemoryStore
from greenroom.persistence.engines.open import open_store
from greenroom.persistence.engines.sqlite.driver import translate, wal_reset_bug
from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.engines.urls import locate
from greenroom.persistence.errors import (
    StoreCorrupt,
    StoreDataError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUrlInvalid,
)
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import InboxRow, MessageRow

# -- URLs -------------------------------------------------------------------------------------------


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = os.path.realpath(tmp_path)
    assert locate("sqlite:///bank.db").path == f"{here}/bank.db"
    assert locate("sqlite:///data/bank.db").path == f"{here}/data/bank.db"
    assert locate("sqlite:////srv/bank.db").path == "/srv/bank.db"
    assert locate("sqlite:///bank.db?synchronous=normal") == (f"{here}/bank.db", "NORMAL", False)
    assert locate("sqlite:///bank.db?lost_commits=accept") == (f"{here}/bank.db", None, True)
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
        ("sqlite:///bank.db?lost_commits=maybe", "lost_commits=refuse or accept"),
        ("postgresql://host/bank", "no engine for PostgreSQL"),
        ("postgresql+asyncpg://host/bank", "no engine for PostgreSQL"),
        ("mysql://host/bank", "mysql"),
        ("bank.db", "no scheme"),
        ("", "it is empty"),
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


@pytest.mark.parametrize("name", ["a b.db", "a%b.db", "ä#1.db", "it's.db", "a&b=c.db"])
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
    assert names.keys() == {"bank.db", "bank.db-wal", "bank.db-shm", "bank.db.lock", "bank.db.slots", "bank.db.mark"}
    assert set(names.values()) == {0o600}
    await store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"bank.db", "bank.db.lock", "bank.db.slots", "bank.db.mark"}


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
            reading.execute("DELETE FROM greenroom_message")


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
    with pytest.raises(StoreUnavailable, match="there is no folder"):
        await make(tmp_path / "missing" / "bank.db").open()


async def test_a_folder(tmp_path: Path, make: Make) -> None:
    (tmp_path / "bank.db").mkdir()
    with pytest.raises(StoreUrlInvalid, match="folder"):
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


@pytest.mark.process
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
