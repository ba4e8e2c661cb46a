"""The store fails in the middle of everything: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from grounds import Ground, MemoryGround, SqliteGround, pool, tree

from understudy import (
    Actor,
    AskFailed,
    Backoff,
    Fenced,
    Message,
    Request,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreUnavailable,
    handler,
)
from understudy.actors.testing import Recorder, VirtualRuntime
from understudy.persistence.errors import StoreDataError
from understudy.persistence.record import ActorRow, DeadLetterRow, MessageRow
from understudy.persistence.runtime import Runtime

FAST = Backoff(initial_s=0.001, factor=1.0, jitter=0.0)


class Order(Message):
    number: int


class Entry(Message):
    number: int


class Entries(Request[list[int]]):
    pass


class Take(Request[int]):
    number: int


class Memory(msgspec.Struct):
    numbers: list[int] = []


class Clerk(Actor[Memory]):
    """Enters what it is told, here and in the ledger."""

    backoff = FAST

    @handler
    async def order(self, message: Order) -> None:
        self.state.numbers.append(message.number)
        ledger = self.system.ref("/t/ledger")
        ledger.tell(Entry(number=message.number))
        if message.number % 5 == 0:
            await asyncio.sleep(0)
        if message.number % 7 == 0 and self.turn.attempt == 1:
            raise RuntimeError("sevens fail once")

    @handler
    def take(self, request: Take) -> int:
        self.state.numbers.append(request.number)
        self.system.ref("/t/ledger").tell(Entry(number=request.number))
        return request.number

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


class Ledger(Actor[Memory]):
    backoff = FAST

    @handler
    def entry(self, message: Entry) -> None:
        self.state.numbers.append(message.number)

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


SPEC = tree(Ledger, ("clerk", Clerk), pool(Clerk), intensity=1000)


async def told(ref: Any, number: int, acked: set[int], refused: dict[int, StoreError], **options: Any) -> None:
    try:
        await ref.tell(Order(number=number), **options)
    except (StoreFull, StoreUnavailable) as error:
        assert error.undelivered == Order(number=number), error
        refused[number] = error
    else:
        acked.add(number)


async def workload(system: Any, acked: set[int], refused: dict[int, StoreError], count: int = 24) -> None:
    """Tellers side by side, to a static actor and to a pool, and asks between them."""
    clerk = system.ref("/t/clerk")

    async def ask(number: int) -> None:
        try:
            assert await clerk.ask(Take(number=number)) == number
        except (StoreError, AskFailed) as error:
            refused[number] = error  # type: ignore[assignment]
        else:
            acked.add(number)

    async def teller(first: int) -> None:
        for number in range(first, count, 4):
            to = clerk if number % 3 else system.ref(f"/t/pool/{number % 2}")
            await told(to, number, acked, refused)
            if number % 6 == 0:
                await ask(1000 + number)

    await asyncio.gather(*(teller(first) for first in range(4)))


async def entered(system: Any) -> tuple[list[int], list[int]]:
    clerks: list[int] = []
    for address in ("/t/clerk", "/t/pool/0", "/t/pool/1"):
        clerks += await system.ref(address).ask(Entries())
    return sorted(clerks), sorted(await system.ref("/t/ledger").ask(Entries()))


async def check(system: Any, acked: set[int], refused: dict[int, Any]) -> None:
    """Acknowledged ones are there, once, in both books; of the others those alone whose outcome is unknown may be."""
    await system.idle()
    clerks, ledger = await entered(system)
    assert clerks == ledger
    assert len(set(clerks)) == len(clerks), "counted twice"
    assert acked <= set(clerks), "acknowledged and lost"
    surprising = {
        number
        for number in set(clerks) - acked
        if not isinstance(refused.get(number), AskFailed) and getattr(refused.get(number), "outcome", "") != "unknown"
    }
    assert not surprising, "refused and yet done"


ERRORS: dict[str, Any] = {
    "full": lambda: StoreFull("no space"),
    "lost": lambda: StoreUnavailable("cable pulled"),
    "data": lambda: StoreDataError("refused"),
    "unknown": lambda: StoreUnavailable("no answer", outcome="unknown"),
    "bug": lambda: RuntimeError("a bug in the store"),
}


@pytest.mark.parametrize("kind", [*ERRORS, "landed"])
async def test_each_commit_of_a_workload_may_fail(memory: MemoryGround, kind: str) -> None:
    """One run for each commit: that one fails, or its answer is lost."""
    for at in range(1, 100):
        ground, clock = MemoryGround(), VirtualRuntime()
        acked: set[int] = set()
        refused: dict[int, StoreError] = {}
        async with ground.node(SPEC, runtime=clock) as system:
            began = ground.plan.commits
            error = ERRORS["unknown" if kind == "landed" else kind]()
            ground.plan.fail(error, at=at, landed=kind == "landed")
            await clock.run(workload(system, acked, refused))
            await clock.run(check(system, acked, refused))
            failed = ground.plan.commits - began >= at
            if kind == "landed":
                assert not refused, "it landed"
        assert not ground.rows(MessageRow)
        async with ground.node(SPEC, runtime=clock) as system:
            await clock.run(check(system, acked, refused))
        if not failed:
            assert at > 5, "the workload has some commits"
            return
    pytest.fail("the workload never came to its end")


@pytest.mark.parametrize("kind", ["full", "lost", "landed"])
async def test_on_disk_too(disk: SqliteGround, kind: str, tmp_path: Path) -> None:
    for at in (1, 2, 4, 7):
        ground = SqliteGround(tmp_path / f"{kind}-{at}")
        acked: set[int] = set()
        refused: dict[int, StoreError] = {}
        async with ground.node(SPEC) as system:
            ground.plan.fail(ERRORS["unknown" if kind == "landed" else kind](), at=at, landed=kind == "landed")
            await workload(system, acked, refused)
            await check(system, acked, refused)
        async with ground.node(SPEC) as system:
            await check(system, acked, refused)


@pytest.mark.parametrize("every", [1, 2, 3, 5])
async def test_commits_that_fail_again_and_again(memory: MemoryGround, clock: VirtualRuntime, every: int) -> None:
    """Also while the tree is being reset, and while it starts again."""
    acked: set[int] = set()
    async with memory.node(SPEC, runtime=clock) as system:
        refused: dict[int, StoreError] = {}
        for at in range(1, 60):
            if at % (every + 1):
                memory.plan.fail(ERRORS["lost" if at % 2 else "full"](), at=at)
        for wave in range(12):
            for number in range(wave * 10, wave * 10 + 10):
                await clock.run(told(system.ref("/t/clerk"), number, acked, refused))
            await clock.advance(1.0)
        await clock.advance(200)
        assert memory.plan.commits > 60
        await clock.run(check(system, acked, refused))


async def test_a_store_that_stays_broken(ground: Ground) -> None:
    """Tells fail at once with the message in the error; when the store is back the node goes on by itself."""
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        clerk = system.ref("/t/clerk")
        await clerk.tell(Order(number=1))
        ground.plan.broken = StoreFull("no space")
        with pytest.raises(StoreFull) as caught:
            await clerk.tell(Order(number=2))
        assert caught.value.undelivered == Order(number=2)
        assert caught.value.outcome == "dropped"
        await events.until("node.broken")
        for _ in range(3):
            with pytest.raises(StoreFull) as caught:
                clerk.tell(Order(number=3))
            assert caught.value.undelivered == Order(number=3)
            with pytest.raises(StoreFull):
                await clerk.ask(Entries())
        assert not events.of("actor.exited"), "a store's failure is nobody's exit"
        ground.plan.broken = None
        await events.until("node.recovered")
        await clerk.tell(Order(number=4))
        await system.idle()
        assert await entered(system) == ([1, 4], [1, 4])
        assert not events.of("supervisor.restarting")


async def test_a_node_that_stops_while_its_store_is_broken(ground: Ground) -> None:
    async with ground.node(SPEC) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        await system.idle()
        ground.plan.broken = StoreUnavailable("cable pulled")
        with pytest.raises(StoreUnavailable):
            await system.ref("/t/clerk").tell(Order(number=2))
    ground.plan.broken = None
    async with ground.node(SPEC) as system:
        await check(system, {1}, {})


@pytest.mark.parametrize("error", [Fenced("main", 1), StoreCorrupt("node.db", "malformed")], ids=["fenced", "corrupt"])
async def test_a_store_that_is_lost_for_good_ends_the_node(ground: Ground, error: StoreError) -> None:
    async with ground.node(SPEC) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        ground.plan.broken = error
        with pytest.raises(type(error)):
            await system.ref("/t/clerk").tell(Order(number=2))
        async with asyncio.timeout(10):
            await system.ended.wait()
        with pytest.raises(type(error)):
            await system.idle()
        ground.plan.broken = None


async def test_a_second_owner_fences_the_first(disk: SqliteGround) -> None:
    import sqlite3
    from contextlib import closing

    async with disk.node(SPEC) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        await system.idle()
        with closing(sqlite3.connect(disk.path)) as connection, connection:
            connection.execute("UPDATE owner SET epoch = epoch + 1")
        with pytest.raises(Fenced):
            await system.ref("/t/clerk").tell(Order(number=2))
        async with asyncio.timeout(10):
            await system.ended.wait()
    async with disk.node(SPEC) as system:
        await check(system, {1}, {})


# -- refused data ---------------------------------------------------------------------------------------


class Poisoned(Actor[Memory]):
    """Its state becomes too big for the store when it is told so."""

    backoff = FAST
    max_attempts = 3

    @handler
    def order(self, message: Order) -> None:
        self.state.numbers.append(message.number)
        if message.number == 666:
            self.system.ref("/t/clerk").tell(Order(number=666))

    @handler
    def entries(self, request: Entries) -> list[int]:
        return self.state.numbers


async def test_a_turn_whose_data_are_refused_is_charged_alone(memory: MemoryGround) -> None:
    """What was behind it in the batch is redelivered; it is parked after its attempts; nobody else is charged."""

    def hook(commit: Any) -> None:
        for row in commit.puts.get(ActorRow, ()):
            if "666" in row.state:
                raise StoreDataError("it holds the number of the beast")

    async with memory.node(tree(Ledger, Clerk, Poisoned, intensity=1000)) as system:
        events = Recorder(system)
        poisoned = system.ref("/t/poisoned")
        await poisoned.tell(Order(number=666), delay_s=0.01)
        memory.plan.hook = hook
        acked: set[int] = set()
        refused: dict[int, StoreError] = {}
        for number in range(1, 40):
            if number % 10 == 0:
                await asyncio.sleep(0.005)
            await told(system.ref("/t/clerk"), number, acked, refused)
        await events.until("message.parked", "/t/poisoned")
        await system.idle()
        assert await poisoned.ask(Entries()) == []
        clerks = await system.ref("/t/clerk").ask(Entries())
        assert acked <= set(clerks)
        assert len(clerks) == len(set(clerks))
        assert set(clerks) == acked, "who was refused was told so, with the message"
    (letter,) = memory.rows(DeadLetterRow)
    assert (letter.address, letter.attempts) == ("/t/poisoned", 3)
    assert "beast" in letter.text


# -- a real full disk -----------------------------------------------------------------------------------


async def test_the_page_limit_of_the_database(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system:
        clerk = system.ref("/t/clerk")
        await clerk.tell(Order(number=1))
        await system.idle()
        writer = system.store._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count={pages + 4}")
        acked: set[int] = {1}
        refused: dict[int, StoreError] = {}
        big = system.ref("/t/ledger")
        with pytest.raises(StoreFull) as caught:
            await big.tell(Big(text="x" * 200_000), delay_s=1000)
        assert caught.value.undelivered == Big(text="x" * 200_000)
        await system.idle()  # the reopened connection has no limit any more
        for number in range(2, 10):
            await told(clerk, number, acked, refused)
        assert not refused
        await check(system, acked, refused)


class Big(Message):
    text: str


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no tmpfs here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk(small_disk: Path) -> None:
    """Tells raise StoreFull with their message; with space again the node goes on, without a restart."""
    ground = SqliteGround(small_disk / "data")
    acked: set[int] = set()
    refused: dict[int, StoreError] = {}
    async with ground.node(SPEC) as system:
        events = Recorder(system)
        clerk = system.ref("/t/clerk")
        for number in range(1, 7):
            await told(clerk, number, acked, refused)
        filler = small_disk / "filler"
        _fill(filler)
        while not refused:
            await told(clerk, max(acked) + 1, acked, refused, delay_s=0.0)
            assert max(acked) < 100_000, "the disk never filled"
        assert all(isinstance(error, StoreFull) for error in refused.values()), refused
        await events.until("node.broken")
        refused.clear()
        for number in range(200_000, 200_010):
            await told(clerk, number, acked, refused)
        assert len(refused) == 10
        filler.unlink()
        async with asyncio.timeout(20):
            await events.until("node.recovered")
        refused.clear()
        for number in range(300_001, 300_006):
            await told(clerk, number, acked, refused)
        assert not refused
        await system.idle()
        assert not events.of("supervisor.gave_up")
        found = await clerk.ask(Entries())
        assert len(found) == len(set(found))
        assert acked <= set(found)
        assert sorted(await system.ref("/t/ledger").ask(Entries())) == sorted(found)
    assert not ground.rows(DeadLetterRow)


def _fill(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while os.write(descriptor, b"\0" * 4096):
            pass
    except OSError:
        pass
    finally:
        os.close(descriptor)


async def test_a_boot_on_a_full_disk(small_disk: Path) -> None:
    ground = SqliteGround(small_disk / "data")
    async with ground.node(SPEC) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        await system.idle()
    _fill(small_disk / "filler")
    with pytest.raises(StoreFull):
        async with ground.node(SPEC):
            pass
    (small_disk / "filler").unlink()
    async with ground.node(SPEC) as system:
        await check(system, {1}, {})


async def test_no_store_thread_is_left_behind(disk: SqliteGround) -> None:
    import threading

    before = set(threading.enumerate())
    async with disk.node(SPEC, runtime=Runtime()) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        disk.plan.fail(ERRORS["lost"]())
        await system.idle()
    assert set(threading.enumerate()) <= before
