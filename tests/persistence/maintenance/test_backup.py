"""Copies of a store: of one moment, whole or not there, and the node goes on."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_stores import Make, Spawn, mounted
from store_samples import actor, commit, message

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.errors import (
    FileInTheWay,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreUnavailable,
)
from greenroom.persistence.maintenance import backup
from greenroom.persistence.maintenance.backup import back_up
from greenroom.persistence.migrations.migration import migrate
from greenroom.persistence.migrations.version import SCHEMA_VERSION
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.rows import ROWS, ActorRow, MessageRow

BIG = '"' + "x" * 3000 + '"'


class Paced(Runtime):
    """Counts the pauses, and makes none."""

    pauses = 0

    def pause(self, seconds: float) -> None:
        self.pauses += 1


async def filled(store: SqliteStore, messages: int = 40) -> str:
    """A store with some pages; stays open."""
    await store.open()
    store.commit_now(commit(1, *(message(number, body=BIG) for number in range(1, messages + 1))).put(actor()))
    return store.path


def rows(path: object, kind: type = MessageRow) -> list[tuple[object, ...]]:
    name = ROWS[kind].name
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        return connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("mask", [0o000, 0o777])
async def test_a_copy_is_one_file_of_the_owners_alone(tmp_path: Path, make: Make, mask: int) -> None:
    path = await filled(make())
    (tmp_path / "copies").mkdir()
    umask = os.umask(mask)
    try:
        done = back_up(path, str(tmp_path / "copies/copy.db"), Runtime())
    finally:
        os.umask(umask)
    assert names(tmp_path / "copies") == {"copy.db"}
    assert (tmp_path / "copies/copy.db").stat().st_mode & 0o777 == 0o600
    assert done.path == f"{os.path.realpath(tmp_path)}/copies/copy.db"
    assert done.bytes == os.path.getsize(done.path)
    assert done.schema_version == SCHEMA_VERSION
    assert [row[0] for row in rows(done.path)] == list(range(1, 41))
    assert rows(done.path, ActorRow) == [tuple(actor())]


async def test_it_opens_as_a_store(tmp_path: Path, make: Make) -> None:
    store = make()
    path = await filled(store)
    copy = make(Path(back_up(path, str(tmp_path / "copy.db"), Runtime()).path))
    assert (await copy.open()).epoch == 2
    assert await copy.count(MessageRow) == 40


async def test_it_is_of_the_moment_it_began_whatever_the_node_commits(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    path = await filled(store)
    monkeypatch.setattr(backup, "STEP_PAGES", 1)
    steps: list[tuple[int, int]] = []

    def commit_more(done: int, total: int) -> None:
        steps.append((done, total))
        number = len(steps)
        assert number < 1000, "it begins again and again"
        store.commit_now(commit(1 + number, message(1000 + number)).delete(MessageRow, number))

    done = back_up(path, str(tmp_path / "copy.db"), Paced(), progress=commit_more)
    total = done.bytes // 4096
    assert steps == [(number, total) for number in range(1, total + 1)]  # none was made twice
    assert [row[0] for row in rows(done.path)] == list(range(1, 41))
    assert await store.count(MessageRow, body=BIG) == max(0, 40 - total)  # every commit was made


def test_copies_beside_a_process_that_only_commits(tmp_path: Path, spawn: Spawn) -> None:
    path = tmp_path / "bank.db"
    node = spawn("commit_now", path)
    assert node.stdout is not None
    for _ in range(20):
        node.stdout.readline()
    seen: list[int] = []
    for number in range(5):
        before = int(node.stdout.readline())
        copy = back_up(str(path), str(tmp_path / f"copy-{number}.db"), Runtime()).path
        ((_, _, state, *_),) = rows(copy, ActorRow)
        seen.append(int(str(state)))
        assert seen[-1] >= before
        ids = [n * 10 + place for n in range(seen[-1] - 4, seen[-1] + 1) for place in range(3)]
        assert [row[0] for row in rows(copy)] == ids  # of this very commit
    assert seen == sorted(seen)
    assert node.poll() is None


async def test_it_pauses_unless_the_wal_grows(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = await filled(make())
    monkeypatch.setattr(backup, "STEP_PAGES", 10)
    runtime = Paced()
    back_up(path, str(tmp_path / "slow.db"), runtime)
    assert runtime.pauses > 3
    monkeypatch.setattr(backup, "HURRY_BYTES", 1)
    runtime = Paced()
    back_up(path, str(tmp_path / "fast.db"), runtime)
    assert runtime.pauses == 0


async def test_an_older_schema_is_copied_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, str(path), 0, 1)
    assert back_up(str(path), str(tmp_path / "copy.db"), Runtime()).schema_version == 1


# -- what is in the way -----------------------------------------------------------------------------------


async def test_nothing_is_overwritten_unasked(tmp_path: Path, make: Make) -> None:
    path = await filled(make())
    there = tmp_path / "copy.db"
    there.write_text("mine")
    with pytest.raises(FileInTheWay) as caught:
        back_up(path, str(there), Runtime())
    assert caught.value.replaceable
    assert there.read_text() == "mine"
    back_up(path, str(there), Runtime(), overwrite=True)
    assert len(rows(there)) == 40


async def test_what_comes_to_lie_there_meanwhile_isnt_either(tmp_path: Path, make: Make) -> None:
    path = await filled(make())
    there = tmp_path / "copy.db"
    with pytest.raises(FileInTheWay):
        back_up(path, str(there), Runtime(), progress=lambda *_: there.write_text("mine"))
    assert there.read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".lock", ".slots", ".link", ".soft"])
async def test_the_store_itself_is_never_overwritten(tmp_path: Path, make: Make, suffix: str) -> None:
    store = make()
    path = await filled(store)
    os.link(path, f"{path}.link")
    os.symlink(path, f"{path}.soft")
    with pytest.raises(FileInTheWay) as caught:
        back_up(path, path + suffix, Runtime(), overwrite=True)
    assert not caught.value.replaceable
    assert await store.count(MessageRow) == 40


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
async def test_nor_is_a_database_that_wasnt_closed(tmp_path: Path, make: Make, suffix: str) -> None:
    """SQLite would take what is in its WAL for the copy's."""
    path = await filled(make())
    (tmp_path / f"copy.db{suffix}").touch()
    with pytest.raises(FileInTheWay, match="beside it"):
        back_up(path, str(tmp_path / "copy.db"), Runtime(), overwrite=True)


def test_nor_is_another_nodes_store(tmp_path: Path, spawn: Spawn) -> None:
    node = spawn("hold", tmp_path / "other.db")
    assert node.stdout is not None
    node.stdout.readline()
    (tmp_path / "other.db-wal").rename(tmp_path / "elsewhere")
    (tmp_path / "other.db-shm").rename(tmp_path / "elsewhere-2")
    with pytest.raises(StoreLocked) as caught:
        back_up(str(tmp_path / "bank.db"), str(tmp_path / "other.db"), Runtime(), overwrite=True)
    assert caught.value.pid == node.pid


async def test_a_folder_is_no_destination(tmp_path: Path, make: Make) -> None:
    path = await filled(make())
    with pytest.raises(FileInTheWay, match="folder"):
        back_up(path, str(tmp_path), Runtime())
    with pytest.raises(StoreUnavailable, match=r"there is no folder .*nowhere: make it first"):
        back_up(path, str(tmp_path / "nowhere/copy.db"), Runtime())


# -- what goes wrong ----------------------------------------------------------------------------------------


@pytest.mark.process
async def test_a_full_disk_leaves_no_half_file(tmp_path: Path, make: Make) -> None:
    path = await filled(make())
    with mounted(tmp_path / "small", "64k") as small:
        (small / "copy.db").write_text("yesterday's")
        with pytest.raises(StoreFull, match=r"small/copy\.db"):
            back_up(path, str(small / "copy.db"), Runtime(), overwrite=True)
        assert names(small) == {"copy.db"}
        assert (small / "copy.db").read_text() == "yesterday's"


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
async def test_an_interruption_leaves_nothing(tmp_path: Path, make: Make, error: type[BaseException]) -> None:
    store = make()
    path = await filled(store)
    before = names(tmp_path)

    def stop(done: int, total: int) -> None:
        raise error

    with pytest.raises(error):
        back_up(path, str(tmp_path / "copy.db"), Runtime(), progress=stop)
    assert names(tmp_path) == before
    store.commit_now(commit(2, message(99)))


async def test_what_a_killed_backup_left_is_overwritten(tmp_path: Path, make: Make) -> None:
    path = await filled(make())
    left = tmp_path / f".copy.db.{os.getpid()}.partial"
    left.write_bytes(b"half a page")
    back_up(path, str(tmp_path / "copy.db"), Runtime())
    assert not left.exists()


async def test_a_damaged_structure_is_told_and_not_copied(tmp_path: Path, make: Make) -> None:
    store = make()
    path = await filled(store)
    await store.close()
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(size // 4096 // 2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    with pytest.raises(StoreCorrupt, match="damaged"):
        back_up(path, str(tmp_path / "copy.db"), Runtime())
    assert not list(tmp_path.glob("*copy*"))


@pytest.mark.parametrize(
    ("make_it", "error"),
    [
        (Path.exists, StoreUnavailable),
        (Path.touch, StoreUnavailable),
        (lambda path: path.write_text("no database"), StoreCorrupt),
        (lambda path: path.write_bytes(b"no database" * 1000), StoreCorrupt),
        (lambda path: sql(path, "PRAGMA application_id=7", "CREATE TABLE theirs (x)"), StoreCorrupt),
        (lambda path: sql(path, "PRAGMA application_id=1196574030", "PRAGMA user_version=99"), SchemaTooNew),
    ],
)
def test_what_is_no_store_isnt_copied(tmp_path: Path, make_it: object, error: type[StoreError]) -> None:
    path = tmp_path / "bank.db"
    make_it(path)  # type: ignore[operator]
    with pytest.raises(error):
        back_up(str(path), str(tmp_path / "copy.db"), Runtime())
    assert not list(tmp_path.glob("*copy*"))


def sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
