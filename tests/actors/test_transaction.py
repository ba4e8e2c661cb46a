"""`transaction()`: the user's SQL in the turn's own commit."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import pytest
from grounds import Ground, SqliteGround, tree
from sqlalchemy import text

from understudy import (
    Actor,
    AskFailed,
    Backoff,
    ChildSpec,
    Message,
    Request,
    Retry,
    Settings,
    StoreFull,
    StoreUnavailable,
    handler,
)
from understudy.actors.testing import Recorder
from understudy.persistence.record import ActorRow, DeadLetterRow, MessageRow

log: list[str] = []


class Put(Message):
    value: str
    how: str = ""
    fail: int = 1
    """So many attempts go that way."""


class PutAsk(Request[int]):
    value: str


class Note(Message):
    text: str


class Notes(Request[list[str]]):
    pass


class Memory(msgspec.Struct):
    notes: list[str] = []


class Plain(Actor[Memory]):
    @handler
    def note(self, message: Note) -> None:
        self.state.notes.append(message.text)

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


class Writer(Actor[Memory]):
    backoff = Backoff(initial_s=0.001, factor=1.0)
    max_attempts = 3
    gate: asyncio.Event

    async def on_start(self) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("CREATE TABLE IF NOT EXISTS item (value TEXT NOT NULL UNIQUE)"))

    @handler
    async def put(self, message: Put) -> None:
        how = message.how if self.turn.attempt <= message.fail else ""
        insert = text("INSERT INTO item VALUES (:value)")
        self.state.notes.append(message.value)
        self.system.ref("/t/plain").tell(Note(text=message.value), key=message.value if how == "key" else None)
        async with self.transaction() as connection:
            await connection.execute(insert, {"value": message.value})
            log.append(f"in {message.value}")
            match how:
                case "raise":
                    raise RuntimeError(how)
                case "retry":
                    raise Retry(after_s=0)
                case "ask":
                    await self.system.ref("/t/plain").ask(Notes())
                case "settled":
                    await self.turn.settled()
                case "second":
                    async with self.transaction():
                        pytest.fail("a second transaction")
                case "wait":
                    await Writer.gate.wait()
                case "swallow":
                    for _ in range(3):
                        try:
                            await Writer.gate.wait()
                            break
                        except asyncio.CancelledError:
                            log.append("swallowed")
                case "swallow once":
                    try:
                        await Writer.gate.wait()
                    except asyncio.CancelledError:
                        log.append("swallowed")
                case "stop":
                    self.stop()
                case "retire":
                    self.retire()
        match how:
            case "raise after":
                raise RuntimeError(how)
            case "state":
                self.state.notes = object()  # type: ignore[assignment]
            case "tell after":
                self.system.ref("/t/plain").tell(Note(text=f"{message.value} after"))
                self.state.notes.append("after")
            case "ask after":
                await self.system.ref("/t/plain").ask(Notes())
            case "caught":
                pass

    @handler
    async def ask(self, request: PutAsk) -> int:
        async with self.transaction() as connection:
            await connection.execute(text("INSERT INTO item VALUES (:value)"), {"value": request.value})
            found = await connection.execute(text("SELECT count(*) FROM item"))
            return int(found.scalar_one())

    @handler
    def notes(self, request: Notes) -> list[str]:
        return self.state.notes


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    Writer.gate = asyncio.Event()
    yield


SPEC = tree(Plain, Writer)


def items(disk: SqliteGround) -> list[str]:
    with closing(sqlite3.connect(disk.path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        return [value for (value,) in connection.execute("SELECT value FROM item ORDER BY rowid")]


async def state_of(system: Any, name: str) -> list[str]:
    found: list[str] = await system.ref(f"/t/{name}").ask(Notes())
    return found


async def test_sql_state_and_sends_commit_together(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system:
        await system.ref("/t/writer").tell(Put(value="a"))
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["a", "b"]
        assert await state_of(system, "writer") == ["a", "b"]
        assert await state_of(system, "plain") == ["a", "b"]
        image = disk.image()
    async with image.node(SPEC) as system:
        await system.idle()
        assert await state_of(system, "writer") == await state_of(system, "plain") == ["a", "b"]
    assert not image.rows(MessageRow)


@pytest.mark.parametrize("how", ["raise", "retry", "raise after", "state", "ask", "settled", "second", "ask after"])
async def test_a_turn_that_fails_rolls_everything_back(disk: SqliteGround, how: str) -> None:
    """Once, and then it succeeds."""
    async with disk.node(tree(Plain, Writer, intensity=20)) as system:
        events = Recorder(system)
        await system.ref("/t/writer").tell(Put(value="a", how=how))
        await system.idle()
        assert len(events.of("message.failed")) == 1, events.of("message.failed")
        assert items(disk) == ["a"]
        assert await state_of(system, "writer") == ["a"]
        assert await state_of(system, "plain") == ["a"]


@pytest.mark.parametrize("how", ["raise", "raise after", "state", "ask"])
async def test_a_turn_that_always_fails_leaves_nothing(disk: SqliteGround, how: str) -> None:
    async with disk.node(tree(Plain, Writer, intensity=20)) as system:
        await system.ref("/t/writer").tell(Put(value="a", how=how, fail=99))
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["b"]
        assert await state_of(system, "writer") == await state_of(system, "plain") == ["b"]
    (letter,) = disk.rows(DeadLetterRow)
    assert letter.attempts == 3
    if how == "ask":
        assert "transaction" in letter.text


async def test_what_the_turn_does_after_the_block_is_in_the_commit(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system:
        await system.ref("/t/writer").tell(Put(value="a", how="tell after"))
        await system.idle()
        assert await state_of(system, "writer") == ["a", "after"]
        assert await state_of(system, "plain") == ["a", "a after"]


async def test_an_exception_caught_outside_the_block_drops_the_sql_alone(disk: SqliteGround) -> None:
    async with disk.node(tree(Plain, Writer, ("catcher", Catcher))) as system:
        await system.ref("/t/catcher").tell(Put(value="a"))
        await system.idle()
        assert items(disk) == []
        assert await state_of(system, "catcher") == ["caught"]
        assert await state_of(system, "plain") == ["caught"]
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["b"]


class Catcher(Plain):
    @handler
    async def put(self, message: Put) -> None:
        try:
            async with self.transaction() as connection:
                await connection.execute(text("INSERT INTO item VALUES ('x')"))
                raise LookupError
        except LookupError:
            self.state.notes.append("caught")
            self.system.ref("/t/plain").tell(Note(text="caught"))


async def test_a_reply_waits_for_the_commit_of_both(disk: SqliteGround) -> None:
    async with disk.node(SPEC) as system:
        writer = system.ref("/t/writer")
        assert await writer.ask(PutAsk(value="a")) == 1
        assert items(disk) == ["a"]
        disk.plan.hold()
        ask = asyncio.ensure_future(writer.ask(PutAsk(value="b")))
        await disk.plan.arrived()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not ask.done()
        assert items(disk) == ["a"]
        disk.plan.release()
        assert await ask == 2


async def test_a_constraint_is_the_handlers_to_see(disk: SqliteGround) -> None:
    async with disk.node(tree(Plain, Writer, intensity=20)) as system:
        await system.ref("/t/writer").tell(Put(value="a"))
        await system.ref("/t/writer").tell(Put(value="a"))
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["a", "b"]
        assert await state_of(system, "writer") == ["a", "b"]
    (letter,) = disk.rows(DeadLetterRow)
    assert "IntegrityError" in letter.error


@pytest.mark.parametrize("sql", ["COMMIT", "ROLLBACK", "BEGIN", "; commit", "/* */ END"])
async def test_sql_that_would_end_the_transaction(disk: SqliteGround, sql: str) -> None:
    async with disk.node(tree(Plain, Writer, ("raw", Raw), intensity=20)) as system:
        await system.ref("/t/raw").tell(Put(value=sql))
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["b"]
    (letter,) = disk.rows(DeadLetterRow)
    assert "TransactionMisused" in letter.error


class Raw(Actor[None]):
    max_attempts = 1

    @handler
    async def put(self, message: Put) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("INSERT INTO item VALUES ('raw')"))
            await connection.exec_driver_sql(message.value)


@pytest.mark.parametrize("method", ["commit", "rollback", "close"])
async def test_methods_that_would_end_the_transaction(disk: SqliteGround, method: str) -> None:
    """None of them lets half of a turn commit."""
    async with disk.node(tree(Plain, Writer, ("raw", Methods), intensity=20)) as system:
        await system.ref("/t/raw").tell(Put(value=method))
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["b"]


class Methods(Actor[None]):
    max_attempts = 1

    @handler
    async def put(self, message: Put) -> None:
        async with self.transaction() as connection:
            await connection.execute(text("INSERT INTO item VALUES ('raw')"))
            await getattr(connection, message.value)()
        raise RuntimeError("so that nothing may be left")


async def test_the_connection_is_dead_after_the_turn(disk: SqliteGround) -> None:
    async with disk.node(tree(Plain, Writer, ("keeper", Keeper), intensity=20)) as system:
        await system.ref("/t/keeper").tell(Put(value="a"))
        await system.idle()
        with pytest.raises(Exception, match=r"over|closed"):
            await Keeper.kept.execute(text("INSERT INTO item VALUES ('late')"))
        await system.ref("/t/writer").tell(Put(value="b"))
        await system.idle()
        assert items(disk) == ["b"]


class Keeper(Actor[None]):
    kept: Any

    @handler
    async def put(self, message: Put) -> None:
        async with self.transaction() as connection:
            Keeper.kept = connection


# -- the write slot -------------------------------------------------------------------------------------


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
        assert system.cells["/t/plain"].mailbox.count == 0, "but it was handled"
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
    settings = Settings(transaction_timeout_s=0.1)
    spec = tree(Plain, ChildSpec(id="writer", actor=Writer, max_attempts=1), intensity=20)
    async with disk.node(spec, settings=settings) as system:
        events = Recorder(system)
        await system.ref("/t/writer").tell(Put(value="a", how=how))
        while "in a" not in log:
            await asyncio.sleep(0.001)
        async with asyncio.timeout(5):
            await system.ref("/t/plain").tell(Note(text="b"))
        await events.until("message.parked")
        Writer.gate.set()
        await asyncio.sleep(0.02)
        await system.ref("/t/writer").tell(Put(value="c"))
        async with asyncio.timeout(5):
            await system.idle()
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


async def test_in_memory_too(memory: Ground) -> None:
    async with memory.node(tree(Plain, Writer, intensity=20)) as system:
        writer = system.ref("/t/writer")
        await writer.tell(Put(value="a", how="raise"))
        await system.idle()
        assert await writer.ask(PutAsk(value="b")) == 2
        with pytest.raises(AskFailed, match="IntegrityError"):
            await writer.ask(PutAsk(value="b"))
        assert await writer.ask(PutAsk(value="c")) == 3
    async with memory.node(tree(Plain, Writer)) as system:
        assert await system.ref("/t/writer").ask(PutAsk(value="d")) == 4
