"""Rows that are deleted while the node runs, how many at once, and rows that aren't; the alarm for a log that grows."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from grounds import Ground, SqliteGround, tree
from patience import patience, patient
from store_samples import pairs

from greenroom import Actor, Event, Message, Settings, StoreUnavailable, handler
from greenroom.actors.recovery import housekeeping
from greenroom.persistence.store.checksums import seal
from greenroom.persistence.store.commit import Commit
from greenroom.persistence.store.rows import DeadLetterRow, KeyRow, ReplyRow
from greenroom.testing import Recorder

OFTEN = 0.01


class Pay(Message):
    amount: int


class Shop(Actor[None]):
    @handler
    def pay(self, message: Pay) -> None: ...


TREE = tree(Shop)


def letter(number: int, at: float) -> DeadLetterRow:
    return seal(pairs()[3][0]._replace(id=number, at=at))


async def fill(ground: Ground, *rows: Any) -> None:
    """Put rows into a store on which no node runs yet."""
    store = ground.store()
    owner = await store.open()
    await store.commit(Commit(owner.commit_no + 1).put(*rows))
    await store.close()


class Deletions:
    """The deletions of a kind, commit by commit, to wait for."""

    def __init__(self, ground: Ground, kind: type[Any]) -> None:
        self.sizes: list[int] = []
        self._kind = kind
        self._come = asyncio.Event()
        ground.plan.hook = self._note

    def _note(self, commit: Commit) -> None:
        if deleted := commit.deletes.get(self._kind):
            self.sizes.append(len(deleted))
            self._come.set()

    async def all(self, count: int) -> None:
        async with patience():
            while sum(self.sizes) < count:
                self._come.clear()
                await self._come.wait()


async def test_keys_whose_retention_is_over_go_while_the_node_runs(memory: Ground, clock: Any) -> None:
    settings = Settings(key_retention_s=100.0, inbox_poll_s=1e9)
    async with memory.node(TREE, runtime=clock, settings=settings) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=1), key="a")
        await clock.advance(99)
        await shop.tell(Pay(amount=1), key="b")
        await clock.advance(62)
        assert [row.key for row in memory.rows(KeyRow)] == ["b"]


@pytest.mark.parametrize("kind", [KeyRow, ReplyRow])
async def test_what_another_life_left_goes_in_small_commits(
    ground: Ground, kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "PAUSE_S", 0.0)
    monkeypatch.setattr(housekeeping, "FOUND_MAX", 110)
    if kind is KeyRow:
        rows: list[Any] = [seal(KeyRow("/t/shop", f"k{number}", "d", number, 1.0)) for number in range(250)]
        kept: Any = seal(KeyRow("/t/shop", "new", "d", 1, 1e12))
    else:
        rows = [seal(ReplyRow(number, 1, "5", "", 1.0)) for number in range(250)]
        kept = seal(ReplyRow(900, 1, "5", "", 1e12))
    await fill(ground, *rows, kept)
    deletions = Deletions(ground, kind)
    async with ground.node(TREE) as system:
        await deletions.all(250)
        await system.idle()
        assert ground.rows(kind) == [kept]
    assert max(deletions.sizes) <= housekeeping.BATCH
    assert len(deletions.sizes) >= 3


@pytest.mark.parametrize("step", ["keys_below", "get"])
async def test_a_key_that_is_told_again_just_then_is_kept(
    memory: Ground, clock: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """After the old row was found, or after it was looked at once more."""
    settings = Settings(key_retention_s=100.0, inbox_poll_s=1e9)
    async with memory.node(TREE, runtime=clock, settings=settings) as system:
        shop = system.ref("/t/shop")
        await shop.tell(Pay(amount=1), key="a")
        read = getattr(system.kernel.store, step)
        told: list[int] = []

        async def read_and_tell(kind: Any, *arguments: Any) -> Any:
            found = await read(kind, *arguments)
            if found and kind is KeyRow and not told:
                told.append(2)
                await shop.tell(Pay(amount=2), key="a")
            return found

        monkeypatch.setattr(system.kernel.store, step, read_and_tell)
        await clock.advance(150)
        assert told
        (row,) = memory.rows(KeyRow)
        assert row.expires > clock.now()


async def test_the_newest_dead_letters_are_kept(ground: Ground) -> None:
    """By when they were parked: number 1 was delayed for long, and is the newest."""
    await fill(ground, letter(1, 100.0), *(letter(number, float(number)) for number in range(2, 11)))
    reported: asyncio.Queue[Event] = asyncio.Queue()

    def report(event: Event) -> None:
        if event.name == "store.dead_letters_deleted":
            reported.put_nowait(event)

    async with ground.node(TREE, settings=Settings(dead_letters_kept=3), on_event=report):
        event = await patient(reported.get())
        assert (event.address, event.measures) == ("/t", {"count": 7, "limit": "dead_letters_kept is 3"})
        assert [row.id for row in ground.rows(DeadLetterRow)] == [1, 9, 10]


async def test_old_dead_letters_go(memory: Ground, clock: Any) -> None:
    now = clock.now()
    await fill(memory, letter(1, now - 50), letter(2, now))
    settings = Settings(dead_letters_kept_s=100.0, inbox_poll_s=1e9)
    async with memory.node(TREE, runtime=clock, settings=settings):
        await clock.advance(20)
        assert [row.id for row in memory.rows(DeadLetterRow)] == [1, 2]
        await clock.advance(50)
        assert [row.id for row in memory.rows(DeadLetterRow)] == [2]
        await clock.advance(100)
        assert memory.rows(DeadLetterRow) == []


async def test_the_age_of_a_damaged_row_isnt_believed(memory: Ground, clock: Any) -> None:
    now = clock.now()
    await fill(memory, letter(1, now), letter(2, now - 1000), seal(KeyRow("/t/shop", "k", "d", 1, now + 1e6)))
    memory.edit(DeadLetterRow, 1, at=now - 1000)
    memory.edit(KeyRow, ("/t/shop", "k"), expires=now - 1000)
    settings = Settings(dead_letters_kept_s=100.0, inbox_poll_s=1e9)
    async with memory.node(TREE, runtime=clock, settings=settings):
        await clock.advance(200)
        assert [row.id for row in memory.rows(DeadLetterRow)] == [1]
        assert [row.key for row in memory.rows(KeyRow)] == ["k"]


async def test_a_broken_store_only_delays_it(memory: Ground, clock: Any) -> None:
    await fill(memory, seal(ReplyRow(1, 1, "5", "", 1.0)))
    async with memory.node(TREE, runtime=clock) as system:
        memory.plan.fail(StoreUnavailable("cable pulled"))
        await clock.advance(1)
        assert [row.id for row in memory.rows(ReplyRow)] == [1]
        await clock.advance(120)
        assert memory.rows(ReplyRow) == []
        assert system.kernel.gave_up is None


@pytest.mark.parametrize("name", ["dead_letters_kept", "dead_letters_kept_s", "housekeeping_s"])
def test_limits_that_are_none(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}=0\b"):
        Settings(**{name: 0})


# -- the log ------------------------------------------------------------------------------------------------


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM greenroom_message").fetchone()
print("reads", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def low(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A limit that is soon reached, and above what the log has by itself."""
    monkeypatch.setattr(housekeeping, "LOG_BYTES_LARGE", 6 << 20)
    yield 6 << 20


async def write(system: Any, megabytes: int) -> None:
    """Through the actors, in messages that wait: each is a row."""
    shop = system.ref("/t/shop")
    for _ in range(megabytes):
        await asyncio.gather(*(shop.tell(Pay(amount=10**1000), delay_s=1e6) for _ in range(1000)))


@pytest.mark.process
async def test_a_reader_that_holds_the_log_is_named(disk: SqliteGround, low: int) -> None:
    async with disk.node(TREE, settings=Settings(housekeeping_s=OFTEN)) as system:
        seen = Recorder(system)
        command = [sys.executable, "-c", READER, str(disk.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            while not seen.of("store.wal_large"):
                await write(system, 1)
            measures = await seen.until("store.wal_large", "/t")
            reader.communicate("\n")
        assert measures["bytes"] > measures["limit"] == low
        if sys.platform == "linux":
            assert measures["held_by"] == f"process {reader.pid}"


async def test_without_a_reader_there_is_no_alarm(disk: SqliteGround, low: int) -> None:
    async with disk.node(TREE, settings=Settings(housekeeping_s=OFTEN)) as system:
        seen = Recorder(system)
        await write(system, 2 * low >> 20)
        assert system.kernel.store.log_bytes() < low
        assert seen.of("store.wal_large") == []


class Log:
    """A store's log as the housekeeping sees it."""

    size = 0

    def log_bytes(self) -> int:
        return self.size

    def log_readers(self) -> list[int]:
        return []


async def test_one_alarm_for_each_doubling(memory: Ground, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    async with memory.node(TREE, runtime=clock) as system:
        monkeypatch.setattr(system.kernel.store, "log_bytes", log.log_bytes)
        seen = Recorder(system)

        async def looks(size_mb: int) -> list[int]:
            log.size = size_mb << 20
            for _ in range(4):
                await system.ref("/t/shop").tell(Pay(amount=1))
                await clock.advance(60)
            return [event.measures["bytes"] >> 20 for event in seen.of("store.wal_large")]

        assert await looks(64) == []
        assert await looks(65) == [65]
        assert await looks(130) == [65]
        assert await looks(131) == [65, 131]
        assert await looks(1) == [65, 131]
        assert await looks(65) == [65, 131, 65]


async def test_no_alarm_while_nothing_is_committed(memory: Ground, clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It begins anew with the next commit, as likely as not."""
    async with memory.node(TREE, runtime=clock) as system:
        await system.idle()
        monkeypatch.setattr(system.kernel.store, "log_bytes", lambda: 1 << 30)
        seen = Recorder(system)
        await clock.advance(600)
        assert seen.of("store.wal_large") == []
