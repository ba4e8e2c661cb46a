"""The files of an open store are removed, renamed or replaced: nothing is acknowledged into a file nobody finds."""

from __future__ import annotations

import os
import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlite_stores import Make
from store_samples import commit, message, tell

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.errors import CommitsLost, StoreLost
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import MessageRow

Happens = Callable[[Path], None]


def removed(path: Path) -> None:
    path.unlink()


def renamed(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def replaced(path: Path) -> None:
    """By a copy, as `cp` and `mv` of an older version of the file would."""
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


EVERY: list[Happens] = [removed, renamed, replaced, folder_moved]


async def opened(make: Make, folder: Path) -> tuple[SqliteStore, Path]:
    """A store with three commits in its log."""
    folder.mkdir()
    store = make(folder / "bank.db")
    await store.open()
    for number in (1, 2, 3):
        store.commit_now(commit(number, message(number)))
    return store, folder / "bank.db"


@pytest.mark.parametrize("happens", EVERY)
@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_no_commit_is_acknowledged(make: Make, tmp_path: Path, suffix: str, happens: Happens) -> None:
    store, path = await opened(make, tmp_path / "store")
    happens(Path(f"{path}{suffix}"))
    with pytest.raises(StoreLost) as caught:
        store.commit_now(commit(4, message(4)))
    assert caught.value.replaced == (happens is replaced)
    assert caught.value.path == (f"{path}{suffix}" if happens is not folder_moved else str(path))
    with pytest.raises(StoreLost):
        await store.commit(commit(5, message(5)))
    with pytest.raises(StoreLost):
        async with store.transaction() as connection:
            await connection.execute(text("CREATE TABLE item (x)"))
            await store.commit_transaction(commit(6, message(6)))


@pytest.mark.parametrize("happens", EVERY)
@pytest.mark.parametrize("suffix", ["", "-wal", "-shm"])
async def test_a_node_that_commits_nothing_notices(make: Make, tmp_path: Path, suffix: str, happens: Happens) -> None:
    store, path = await opened(make, tmp_path / "store")
    store.inbox_changed()
    happens(Path(f"{path}{suffix}"))
    with pytest.raises(StoreLost, match="Put the file back"):
        store.inbox_changed()


@pytest.mark.parametrize("happens", [removed, renamed])
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_the_content_of_a_log_that_is_gone_is_kept(
    make: Make, tmp_path: Path, suffix: str, happens: Happens
) -> None:
    """All that was acknowledged is in the database when the node starts again."""
    store, path = await opened(make, tmp_path / "store")
    with closing(sqlite3.connect(path)) as beside:  # so that closing the store doesn't do it
        beside.execute("PRAGMA wal_autocheckpoint=0")
        beside.execute("SELECT count(*) FROM greenroom_message").fetchone()
        happens(Path(f"{path}{suffix}"))
        with pytest.raises(StoreLost):
            store.commit_now(commit(4, message(4)))
            store.inbox_changed()
        await store.close()
    again = make(path)
    await again.open()
    assert await again.count(MessageRow) >= 3
    assert again.loss == ""


@pytest.mark.parametrize("happens", EVERY)
async def test_a_store_that_is_opened_again(make: Make, tmp_path: Path, happens: Happens) -> None:
    store, path = await opened(make, tmp_path / "store")
    happens(path)
    with pytest.raises((StoreLost, CommitsLost)):
        await store.reopen()


@pytest.mark.parametrize("happens", EVERY)
@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_submission_of_another_process(make: Make, tmp_path: Path, suffix: str, happens: Happens) -> None:
    store, path = await opened(make, tmp_path / "store")
    client = make(path)
    await client.open_reader()
    assert await client.submit([tell("one")]) == [1]
    happens(Path(f"{path}{suffix}"))
    with pytest.raises(StoreLost):
        await client.submit([tell("two")])
    await store.close()


async def test_what_is_no_loss(make: Make, tmp_path: Path) -> None:
    """Links, files beside it, a checkpoint, a reopening, and the sidecars that a node makes anew."""
    store, path = await opened(make, tmp_path / "store")
    os.link(path, path.with_name("link"))
    (path.parent / "other.db").touch()
    Path(f"{path}.hang").unlink(missing_ok=True)
    for number in range(4, 8):
        store.commit_now(commit(number, message(number)))
        store.inbox_changed()
    assert (await store.reopen()).commit_no == 7
    store.commit_now(Commit(8))
    await store.close()
    assert (await store.open()).commit_no == 8
    store.commit_now(Commit(9))


def test_the_error_survives_a_pickle() -> None:
    error = StoreLost("/srv/bank.db", "/srv/bank.db-wal", "its log", replaced=True)
    copied = pickle.loads(pickle.dumps(error))
    assert (str(copied), copied.path, copied.replaced) == (str(error), error.path, True)
    assert "/srv/bank.db: its log (/srv/bank.db-wal) was replaced" in str(error)


async def test_no_commit_has_the_log_looked_at_by_a_stat(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since Linux 6.13 the next write to the file would be dearer."""
    if not hasattr(os, "O_PATH"):
        pytest.skip("this system has no descriptors that are only places")
    store, path = await opened(make, tmp_path / "store")
    looked_at: list[str] = []
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: (looked_at.append(str(path)), stat(path, **options))[1])
    store.commit_now(commit(4, message(4)))
    monkeypatch.undo()
    assert looked_at == [str(path)]
    await store.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only /proc says which descriptors there are")
async def test_no_descriptor_is_left(make: Make, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    store, path = await opened(make, tmp_path / "store")
    await store.reopen()
    await store.close()
    assert not [one for one in map(_target, os.listdir("/proc/self/fd")) if one.startswith(str(path))]
    assert len(os.listdir("/proc/self/fd")) <= before


def _target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""


async def test_a_folder_that_moves_and_comes_back(make: Make, tmp_path: Path) -> None:
    """The path of the descriptor is another, and the file is the same."""
    store, path = await opened(make, tmp_path / "store")
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(tmp_path / "elsewhere")
    store.commit_now(commit(4, message(4)))
    await store.close()
