from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from greenroom.persistence.engines.sqlite.engine import SqliteStore
from greenroom.persistence.engines.sqlite.sidecars.lock import LockFile, holder
from greenroom.persistence.errors import StoreLocked, StoreUnavailable
from greenroom.persistence.runtime import Runtime


def lock(path: Path) -> LockFile:
    return LockFile(str(path), "bank.db")


def test_one_at_a_time_within_a_process(tmp_path: Path) -> None:
    first, second = lock(tmp_path / "l"), lock(tmp_path / "l")
    first.acquire()
    with pytest.raises(StoreLocked) as caught:
        second.acquire()
    assert caught.value.pid == os.getpid()
    assert caught.value.path == "bank.db"
    assert str(os.getpid()) in str(caught.value)
    first.release()
    second.acquire()
    second.release()
    second.release()


def test_another_name_of_the_same_file(tmp_path: Path) -> None:
    first = lock(tmp_path / "l")
    first.acquire()
    (tmp_path / "link").symlink_to(tmp_path / "l")
    os.link(tmp_path / "l", tmp_path / "hard")
    for name in ("link", "hard"):
        with pytest.raises(StoreLocked):
            lock(tmp_path / name).acquire()
    first.release()


def test_its_mode_and_content(tmp_path: Path) -> None:
    umask = os.umask(0o777)
    try:
        held = lock(tmp_path / "l")
        held.acquire()
    finally:
        os.umask(umask)
    assert (tmp_path / "l").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "l").read_text() == f"{os.getpid()}\n"
    held.release()
    assert (tmp_path / "l").exists()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="there is no folder"):
        lock(tmp_path / "missing" / "l").acquire()


async def test_another_process_holds_the_store(tmp_path: Path, spawn: Any) -> None:
    path = tmp_path / "bank.db"
    child = spawn("hold", path)
    assert child.stdout.readline() == "open\n"
    store = SqliteStore(f"sqlite:///{path}", Runtime())
    for _ in range(2):  # a refused attempt changes nothing
        with pytest.raises(StoreLocked) as caught:
            await store.open()
        assert caught.value.pid == child.pid
        assert caught.value.path == str(path)
    reader = SqliteStore(f"sqlite:///{path}", Runtime())
    await reader.open_reader()
    owner = await reader.owner()
    assert owner is not None
    assert owner.pid == child.pid
    await reader.close()
    child.kill()
    child.wait()
    assert (await store.open()).epoch == 2  # the lock died with its holder
    await store.close()


def test_who_holds_it(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    assert holder(path) is None
    assert not (tmp_path / "l").exists()  # only asked
    held = lock(tmp_path / "l")
    held.acquire()
    assert holder(path) == os.getpid()
    assert holder(path) == os.getpid()  # asking has not let it go
    with pytest.raises(StoreLocked):
        lock(tmp_path / "l").acquire()
    held.release()
    assert holder(path) is None


def test_who_holds_it_elsewhere(tmp_path: Path, spawn: Any) -> None:
    child = spawn("hold", tmp_path / "bank.db")
    assert child.stdout.readline() == "open\n"
    store = SqliteStore(f"sqlite:///{tmp_path / 'bank.db'}", Runtime())
    assert store.holder() == child.pid
    child.kill()
    child.wait()
    assert store.holder() is None
