"""A node whose store is removed, renamed or replaced while it runs ends, and has acknowledged nothing since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from grounds import SqliteGround, tree
from patience import patient

from greenroom import Actor, Client, Message, Request, StoreLost, SystemStopped, handler, start
from greenroom.testing import Recorder


class Add(Message):
    pass


class Count(Request[int]): ...


class Total(msgspec.Struct):
    count: int = 0


class Book(Actor[Total]):
    @handler
    def add(self, message: Add) -> None:
        self.state.count += 1

    @handler
    def total(self, message: Count) -> int:
        return self.state.count


TREE = tree(("book", Book))


async def tell_until_it_ends(ref: Any) -> int:
    acked = 0
    try:
        while True:
            await ref.tell(Add())
            acked += 1
    except (StoreLost, SystemStopped):
        return acked


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_no_tell_is_acknowledged(tmp_path: Path, suffix: str) -> None:
    ground = SqliteGround(tmp_path / "store")
    async with start(TREE, store=ground.url) as system:
        ref = system.ref("/t/book")
        for _ in range(20):
            await ref.tell(Add())
        path = Path(f"{ground.path}{suffix}")
        path.rename(path.with_name("away"))
        assert await tell_until_it_ends(ref) == 0
        await patient(system.kernel.ended.wait())
        assert isinstance(system.kernel.gave_up, StoreLost)
    if not suffix:
        (ground.folder / "away").rename(ground.path)
    async with start(TREE, store=ground.url) as system:
        assert await system.ref("/t/book").ask(Count()) >= 20


async def test_a_node_without_work_ends_as_well(tmp_path: Path) -> None:
    ground = SqliteGround(tmp_path / "store")
    async with start(TREE, store=ground.url) as system:
        ground.path.unlink()
        await patient(system.kernel.ended.wait())
        assert isinstance(system.kernel.gave_up, StoreLost)


async def test_a_client_is_told(tmp_path: Path) -> None:
    ground = SqliteGround(tmp_path / "store")
    async with start(TREE, store=ground.url):
        pass
    async with Client(ground.url) as client:
        await client.tell("/t/book", Add())
        ground.path.rename(tmp_path / "away")
        with pytest.raises(StoreLost):
            await client.tell("/t/book", Add())


@pytest.mark.parametrize("left", ["nothing", "an empty file", "the log"])
async def test_a_start_without_the_database_says_so(tmp_path: Path, left: str) -> None:
    ground = SqliteGround(tmp_path / "store")
    async with start(TREE, store=ground.url) as system:
        await system.ref("/t/book").tell(Add())
    ground.path.unlink()
    if left == "an empty file":
        ground.path.touch()
    elif left == "the log":
        Path(f"{ground.path}-wal").write_bytes(b"frames")
    events = Recorder()
    async with start(TREE, store=ground.url, on_event=events) as system:
        (event,) = events.of("store.commits_lost")
        assert str(event.measures["missing"]).startswith("the whole database, and with it ")
        assert await system.ref("/t/book").ask(Count()) == 0
    kept = list(ground.folder.glob("*.lost-wal-*"))
    assert [path.read_bytes() for path in kept] == ([b"frames"] if left == "the log" else [])
    again = Recorder()
    async with start(TREE, store=ground.url, on_event=again):
        assert again.of("store.commits_lost") == [], "one word is enough"
