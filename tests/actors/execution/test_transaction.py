"""`transaction()`: the user's SQL in the turn's own commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from grounds import Ground, SqliteGround, tree
from sqlalchemy import text
from transaction_actors import SPEC, Note, Plain, Put, PutAsk, Writer, items, log, state_of

from greenroom import Actor, AskFailed, handler
from greenroom.persistence.store.rows import DeadLetterRow, MessageRow
from greenroom.testing import Recorder


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    log.clear()
    Writer.gate = asyncio.Event()
    yield


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
