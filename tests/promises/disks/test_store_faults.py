"""The store fails in the middle of everything: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from books import ERRORS, SPEC, Clerk, Entries, Order, check, entered, told, workload
from grounds import Ground, MemoryGround, SqliteGround, tree
from patience import patience

from greenroom import Fenced, StoreCorrupt, StoreError, StoreFull, StoreUnavailable
from greenroom.persistence.runtime import Runtime
from greenroom.persistence.store.rows import MessageRow
from greenroom.testing import Recorder, VirtualRuntime


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


@pytest.mark.parametrize("kind", ["data", "lost"])
async def test_a_node_that_stops_while_its_tree_is_being_reset(memory: MemoryGround, kind: str) -> None:
    for rounds in range(30):
        async with patience(), memory.node(tree(SlowStart, *SPEC.children)) as system:
            clerk = system.ref("/t/clerk")
            await system.idle()
            memory.plan.fail(ERRORS[kind]())
            with pytest.raises(StoreError):
                await clerk.tell(Order(number=rounds), delay_s=1000)
            if kind == "lost":
                await system.kernel.runtime.sleep(0.1)  # the backoff
            for _ in range(rounds):
                await asyncio.sleep(0)


class SlowStart(Clerk):
    async def on_start(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.mark.parametrize("error", [Fenced("main", 1), StoreCorrupt("node.db", "malformed")], ids=["fenced", "corrupt"])
async def test_a_store_that_is_lost_for_good_ends_the_node(ground: Ground, error: StoreError) -> None:
    async with ground.node(SPEC) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        ground.plan.broken = error
        with pytest.raises(type(error)):
            await system.ref("/t/clerk").tell(Order(number=2))
        async with patience():
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
            connection.execute("UPDATE greenroom_owner SET epoch = epoch + 1")
        with pytest.raises(Fenced):
            await system.ref("/t/clerk").tell(Order(number=2))
        async with patience():
            await system.ended.wait()
    async with disk.node(SPEC) as system:
        await check(system, {1}, {})


async def test_no_store_thread_is_left_behind(disk: SqliteGround) -> None:
    import threading

    before = set(threading.enumerate())
    async with disk.node(SPEC, runtime=Runtime()) as system:
        await system.ref("/t/clerk").tell(Order(number=1))
        disk.plan.fail(ERRORS["lost"]())
        await system.idle()
    assert set(threading.enumerate()) <= before
