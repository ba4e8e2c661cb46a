"""A store made smaller, and brought up to date, while no node runs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_stores import Make, Spawn, mounted, writer
from store_samples import commit, message

from greenroom.persistence.engines.sqlite import upgrade
from greenroom.persistence.engines.sqlite.sidecars import openers
from greenroom.persistence.errors import SchemaTooNew, StoreCorrupt, StoreFull, StoreLocked, StoreUnavailable
from greenroom.persistence.maintenance import vacuum as upkeep
from greenroom.persistence.maintenance.vacuum import migrate, vacuum
from greenroom.persistence.migrations.migration import migrate as run_scripts
from greenroom.persistence.migrations.version import SCHEMA_VERSION
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import MessageRow

BIG = '"' + "x" * 3000 + '"'


async def emptied(make: Make, path: Path) -> str:
    """A store of which most pages are free."""
    store = make(path)
    await store.open()
    store.commit_now(commit(1, *(message(number, body=BIG) for number in range(1, 101))))
    store.commit_now(Commit(2).delete(MessageRow, *range(1, 100)))
    await store.close()
    return store.path


async def test_what_is_left_is_whole(make: Make, tmp_path: Path) -> None:
    path = await emptied(make, tmp_path / "bank.db")
    done = vacuum(path)
    assert done.before > 300_000
    assert done.after == os.path.getsize(path) < 100_000
    store = make(tmp_path / "bank.db")
    assert (await store.open()).commit_no == 2
    assert await store.messages([100]) == [message(100, body=BIG)]
    assert writer(store).execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_client_may_have_it_open(make: Make, tmp_path: Path) -> None:
    path = await emptied(make, tmp_path / "bank.db")
    client = make(tmp_path / "bank.db")
    await client.open_reader()
    vacuum(path)
    assert await client.count(MessageRow) == 1


@pytest.mark.process
async def test_a_full_disk(make: Make, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "8m") as small:
        path = await emptied(make, small / "bank.db")
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("CREATE TABLE theirs AS SELECT zeroblob(500000) AS x")
        free = os.statvfs(small)
        (small / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 200_000))
        before = Path(path).read_bytes()
        with pytest.raises(StoreFull):
            vacuum(path)
        assert Path(path).read_bytes() == before
        store = make(small / "bank.db")
        await store.open_reader()
        assert await store.messages([100]) == [message(100, body=BIG)]
        await store.close()


def test_not_while_a_node_runs(tmp_path: Path, spawn: Spawn) -> None:
    node = spawn("hold", tmp_path / "bank.db")
    assert node.stdout is not None
    node.stdout.readline()
    for work in (lambda: vacuum(str(tmp_path / "bank.db")), lambda: migrate(str(tmp_path / "bank.db"), Runtime())):
        with pytest.raises(StoreLocked) as caught:
            work()
        assert caught.value.pid == node.pid


def test_what_is_no_store(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    for work in (lambda: vacuum(str(path)), lambda: migrate(str(path), Runtime())):
        with pytest.raises(StoreUnavailable, match="no store"):
            work()
        assert not list(tmp_path.iterdir())  # no lock file either
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version=0")
            path.touch()
        with pytest.raises(StoreUnavailable, match="no node has run"):
            work()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA application_id=7")
        with pytest.raises(StoreCorrupt):
            work()
        for file in tmp_path.iterdir():
            file.unlink()


def older(path: Path) -> str:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        run_scripts(connection, str(path), 0, 1)
    return str(path)


async def test_a_migration_that_fails_leaves_the_store_and_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = older(tmp_path / "bank.db")

    def fail(*arguments: object) -> None:
        raise StoreCorrupt(path, "can't be migrated: on purpose")

    with monkeypatch.context() as patched:
        patched.setattr("greenroom.persistence.migrations.migration.migrate", fail)
        with pytest.raises(StoreCorrupt, match="on purpose"):
            migrate(path, Runtime())
    done = migrate(path, Runtime())
    assert done == (1, SCHEMA_VERSION, f"{path}.schema-1-2")  # the first copy is there, and stays
    for copy in (f"{path}.schema-1", f"{path}.schema-1-2"):
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_no_copy_no_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = older(tmp_path / "bank.db")

    def fail(*arguments: object, **options: object) -> None:
        raise StoreFull("no room for the copy")

    monkeypatch.setattr(upkeep, "back_up", fail)
    with pytest.raises(StoreFull):
        migrate(path, Runtime())
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


async def test_a_newer_schema_is_left_alone(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await emptied(make, tmp_path / "bank.db")
    for module in (upgrade, upkeep):
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION - 1)
    for work in (lambda: vacuum(path), lambda: migrate(path, Runtime())):
        with pytest.raises(SchemaTooNew):
            work()


# -- who has a store open -----------------------------------------------------------------------------------

READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in ("SELECT count(*) FROM greenroom_message", "BEGIN", "SELECT count(*) FROM greenroom_message"):
    connection.execute(statement).fetchone()
    print(statement, flush=True)
    if statement != "BEGIN":
        sys.stdin.readline()
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists its locks")
async def test_other_processes_are_named(make: Make, tmp_path: Path) -> None:
    store = make(tmp_path / "bank.db")
    await store.open()
    assert (openers.openers(store.path), openers.readers(store.path)) == ([], [])  # this one isn't another
    command = [sys.executable, "-c", READER, store.path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        assert (openers.openers(store.path), openers.readers(store.path)) == ([other.pid], [])
        other.stdin.write("\n")
        other.stdin.flush()
        other.stdout.readline()
        other.stdout.readline()
        assert openers.readers(store.path) == store.log_readers() == [other.pid]
        assert (await store.status())["wal_readers"] == [other.pid]
        other.communicate("\n")
    assert openers.openers(store.path) == []


@pytest.mark.parametrize("content", ["", "1: POSIX\n", "nonsense\n" * 3, "1: FLOCK ADVISORY WRITE 1 00:00:1 0 EOF\n"])
async def test_a_list_of_locks_that_is_none(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    store = make(tmp_path / "bank.db")
    await store.open()
    monkeypatch.setattr(openers, "LOCKS", str(tmp_path / "locks"))
    assert openers.openers(store.path) == []
    (tmp_path / "locks").write_text(content)
    assert openers.openers(store.path) == []
