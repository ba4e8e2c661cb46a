"""`transaction()`: one turn at a time holds a user transaction, and the faults of its commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from grounds import SqliteGround, tree
from patience import patience
from sqlalchemy import text
from transaction_actors import SPEC, Note, Plain, Put, Writer, items, log, state_of

from greenroom import Backoff, ChildSpec, Settings, StoreFull, StoreUnavailable, handler
from greenroom.persistence.store.rows import ActorRow, DeadLetterRow, MessageRow
from greenroom.testing import Recorder, VirtualRuntime


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    Writer.gate = asyncio.Event()
    yield


# -- one at a time ---------------------------------------------------------------------------------------


async def test_others_go_on_meanwhile_and_commit_after(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system:
        writer, plain = system.ref("/t/writer"), system.ref("/t/plain")
        await writer.tell(Put(value="a", how="wait"))
        while "in a" not in log:
            await asyncio.sleep(0.001)

        async def tell() -> None:
            await plain.tell(Note(text="meanwhile"))
            log.append("on disk")

        told = asyncio.ensure_future(tell())
        await asyncio.sleep(0.02)
        assert not told.done(), "its commit queues"
        assert system.kernel.cells["/t/plain"].mailbox.count == 0, "but it was handled"
        Writer.gate.set()
        await told
        await system.idle()
        assert await state_of(system, "plain") == ["meanwhile", "a"]
        assert items(disk) == ["a"]


async def test_two_transactions_take_turns(disk: SqliteGround) -> None:
    async with disk.node(tree(Plain, Writer, ("w2", Writer), ("w3", Writer), intensity=20)) as system:
        for number in range(10):
            for name in ("writer", "w2", "w3"):
                system.ref(f"/t/{name}").tell(Put(value=f"{name} {number}"))
        await system.idle()
        assert len(items(disk)) == 30
        for name in ("writer", "w2", "w3"):
            assert await state_of(system, name) == [f"{name} {number}" for number in range(10)]


@pytest.mark.parametrize("how", ["wait", "swallow once", "swallow"])
async def test_the_time_limit_takes_the_slot_away(disk: SqliteGround, how: str) -> None:
    """Even from a handler that swallows its cancellation: the others' commits go on, and it commits nothing."""
    clock = VirtualRuntime()
    settings = Settings(transaction_timeout_s=0.1)
    spec = tree(Plain, ChildSpec(id="writer", actor=Writer, max_attempts=1), intensity=20)
    async with disk.node(spec, settings=settings, runtime=clock) as system:
        events = Recorder(system)
        await system.ref("/t/writer").tell(Put(value="a", how=how))
        while "in a" not in log:
            await asyncio.sleep(0.001)
        await clock.run(system.ref("/t/plain").tell(Note(text="b")))
        await clock.run(events.until("message.parked"))
        Writer.gate.set()
        await clock.settle()
        await system.ref("/t/writer").tell(Put(value="c"))
        await clock.run(system.idle())
        assert items(disk) == ["c"]
        assert await state_of(system, "writer") == ["c"]
        assert await state_of(system, "plain") == ["b", "c"]
    (letter,) = disk.rows(DeadLetterRow)
    assert letter.error.endswith("TransactionTimeout")


async def test_a_shutdown_in_a_transaction(disk: SqliteGround) -> None:
    """Cancelled: nothing of it is kept, the message waits uncharged."""
    spec = tree(Plain, ChildSpec(id="writer", actor=Writer, shutdown=0.05))
    settings = Settings(transaction_timeout_s=30)
    async with disk.node(spec, settings=settings) as system:
        await system.ref("/t/writer").tell(Put(value="a", how="wait"))
        while "in a" not in log:
            await asyncio.sleep(0.001)
    assert items(disk) == []
    assert len(disk.rows(MessageRow)) == 1
    Writer.gate.set()
    async with disk.node(spec) as system:
        await system.idle()
    assert items(disk) == ["a"]


async def test_a_kill_while_the_commit_is_on_its_way(disk: SqliteGround) -> None:
    """Either the turn is done, or its message waits: never both. (The child is given no time at all.)"""
    spec = tree(Plain, ChildSpec(id="writer", actor=Writer, shutdown="brutal_kill"))
    async with disk.node(spec) as system:
        await system.idle()
        disk.plan.hold()
        system.ref("/t/writer").tell(Put(value="a"))
        disk.plan.release()
        while "in a" not in log:
            disk.plan.hold() if not disk.plan.holding and "in a" in log else None
            await asyncio.sleep(0)
        disk.plan.hold()
        await disk.plan.arrived()
        stop = asyncio.ensure_future(system.stop())
        await asyncio.sleep(0.02)
        disk.plan.release()
        await stop
    done = items(disk) == ["a"]
    assert done == (not disk.rows(MessageRow))
    async with disk.node(spec) as system:
        await system.idle()
        assert items(disk) == ["a"]
        assert await state_of(system, "writer") == await state_of(system, "plain") == ["a"]
    assert not disk.rows(DeadLetterRow)


async def test_stop_and_retire_in_a_transaction(disk: SqliteGround) -> None:
    async with disk.node(tree(Plain, Writer, ("w2", Writer), intensity=20)) as system:
        await system.ref("/t/writer").tell(Put(value="a", how="stop"))
        await system.ref("/t/w2").tell(Put(value="b", how="retire"))
        await system.idle()
        assert sorted(items(disk)) == ["a", "b"]
        assert await state_of(system, "writer") == ["a"]
    assert "/t/w2" not in [row.address for row in disk.rows(ActorRow)]


# -- faults ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [StoreFull("no space"), StoreUnavailable("cable pulled")], ids=["full", "lost"])
async def test_the_store_fails_at_the_commit_of_both(disk: SqliteGround, error: Exception) -> None:
    async with disk.node(SPEC) as system:
        await system.ref("/t/writer").tell(Put(value="a"))
        await system.idle()
        events = Recorder(system)
        await system.ref("/t/writer").tell(Put(value="b"))
        disk.plan.fail(error)
        await events.until("node.recovered")
        await system.idle()
        assert items(disk) == ["a", "b"]
        assert await state_of(system, "writer") == await state_of(system, "plain") == ["a", "b"]
    assert not disk.rows(DeadLetterRow)


async def test_the_store_fails_at_the_commit_of_both_as_the_node_stops(disk: SqliteGround) -> None:
    """A node that stops isn't reset. Its stop ends all the same, and the message is handled in the next life."""
    async with patience(), disk.node(SPEC) as system:
        await system.ref("/t/writer").tell(Put(value="a", how="wait"))
        while "in a" not in log:
            await asyncio.sleep(0.001)

        async def fail() -> None:
            while system.kernel.cells["/t/writer"].status != "stopping":
                await asyncio.sleep(0)
            disk.plan.fail(StoreUnavailable("cable pulled"))
            Writer.gate.set()

        failing = asyncio.ensure_future(fail())
    await failing
    assert items(disk) == []
    async with disk.node(SPEC) as system:
        await system.idle()
        assert items(disk) == await state_of(system, "writer") == ["a"]


async def test_the_answer_to_the_commit_of_both_is_lost(disk: SqliteGround) -> None:
    """It landed: it must not be run again."""
    async with disk.node(SPEC) as system:
        await system.ref("/t/writer").tell(Put(value="a"))
        await system.idle()
        events = Recorder(system)
        await system.ref("/t/writer").tell(Put(value="b"))
        disk.plan.fail(StoreUnavailable("lost", outcome="unknown"), landed=True)
        await system.idle()
        assert not events.of("message.failed")
        assert items(disk) == ["a", "b"]
        assert await state_of(system, "writer") == await state_of(system, "plain") == ["a", "b"]


async def test_a_deferred_constraint_fails_the_commit(disk: SqliteGround) -> None:
    """The data of this turn are refused, at its COMMIT: it is charged, and its keyed send isn't forgotten."""
    async with disk.node(tree(Plain, Deferred, intensity=20)) as system:
        await system.ref("/t/deferred").tell(Put(value="a", fail=1))
        await system.idle()
        assert await state_of(system, "deferred") == ["a"]
        assert await state_of(system, "plain") == ["a"]


class Deferred(Plain):
    backoff = Backoff(initial_s=0.001)

    async def on_start(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("PRAGMA foreign_keys"))
            await connection.execute(text("CREATE TABLE IF NOT EXISTS parent (id INTEGER PRIMARY KEY)"))
            await connection.execute(
                text(
                    "CREATE TABLE IF NOT EXISTS child (id INTEGER PRIMARY KEY, parent INTEGER "
                    "REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
                )
            )

    @handler
    async def put(self, message: Put) -> None:
        self.state.notes.append(message.value)
        self.system.ref("/t/plain").tell(Note(text=message.value), key="k")
        async with self.transaction() as connection:
            await connection.execute(text("PRAGMA foreign_keys=ON"))
            if self.turn.attempt <= message.fail:
                await connection.execute(text("INSERT INTO child VALUES (1, 77)"))
