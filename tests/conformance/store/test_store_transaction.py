"""The user's own SQL in a turn's transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from store_samples import commit, message

from greenroom.persistence.errors import StoreDataError, TransactionMisused
from greenroom.persistence.store.rows import MessageRow

INSERT = text("INSERT INTO ledger VALUES (:id, :amount)")


async def with_table(stores: Any) -> Any:
    store = await stores.opened()
    async with store.transaction() as connection:
        await connection.execute(text("CREATE TABLE ledger (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)"))
        await store.commit_transaction(commit(1))
    return store


async def ledger(store: Any) -> list[tuple[int, int]]:
    async with store.transaction() as connection:
        return [tuple(row) for row in await connection.execute(text("SELECT id, amount FROM ledger ORDER BY id"))]


async def test_sql_and_commit_together(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        await connection.execute(INSERT, [{"id": 2, "amount": 6}, {"id": 3, "amount": 7}])
        await store.commit_transaction(commit(2, message(1)))
    assert await ledger(store) == [(1, 5), (2, 6), (3, 7)]
    assert await store.count(MessageRow) == 1
    assert (await store.owner()).commit_no == 2


async def test_leaving_without_a_commit_rolls_back(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})

    async def fail() -> None:
        async with store.transaction() as connection:
            await connection.execute(INSERT, {"id": 1, "amount": 5})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await ledger(store) == []
    store.commit_now(commit(2, message(1)))


async def test_a_refused_commit_takes_the_sql_with_it(stores: Any) -> None:
    store = await with_table(stores)
    store.commit_now(commit(2, message(1)))
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        with pytest.raises(StoreDataError):
            await store.commit_transaction(commit(3, message(2), message(1)))
    assert await ledger(store) == []
    assert await store.count(MessageRow) == 1


async def test_refused_sql_is_the_users_to_catch(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        with pytest.raises(IntegrityError):
            await connection.execute(INSERT, {"id": 1, "amount": 6})
        await store.commit_transaction(commit(2))
    assert await ledger(store) == [(1, 5)]


async def test_savepoints(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        nested = await connection.begin_nested()
        await connection.execute(INSERT, {"id": 2, "amount": 5})
        await nested.rollback()
        async with connection.begin_nested():
            await connection.execute(INSERT, {"id": 3, "amount": 5})
        await store.commit_transaction(commit(2))
    assert await ledger(store) == [(1, 5), (3, 5)]


@pytest.mark.parametrize(
    "statement",
    [
        "COMMIT",
        "commit;",
        " END",
        "ROLLBACK",
        "BEGIN",
        "begin immediate",
        "-- now\nCOMMIT",
        "/* now */ COMMIT",
        "; COMMIT",
    ],
)
async def test_the_transaction_is_not_the_users_to_end(stores: Any, statement: str) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        with pytest.raises(TransactionMisused):
            await connection.exec_driver_sql(statement)
    assert await ledger(store) == []


@pytest.mark.parametrize("method", ["commit", "rollback"])
async def test_nor_by_its_methods(stores: Any, method: str) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        with pytest.raises(TransactionMisused):
            await getattr(connection, method)()
    assert await ledger(store) == []


async def test_no_other_commit_while_it_is_held(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction():
        with pytest.raises(RuntimeError):
            store.commit_now(commit(2))
        with pytest.raises(RuntimeError):
            async with store.transaction():
                pass
    with pytest.raises(RuntimeError):
        await store.commit_transaction(commit(2))
    await store.commit(commit(2))


async def test_reads_go_on_while_it_is_held(stores: Any) -> None:
    store = await with_table(stores)
    store.commit_now(commit(2, message(1)))
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        assert await store.get(MessageRow, 1) == message(1)
        assert await store.count(MessageRow) == 1
        store.inbox_changed()


async def test_statements_after_the_end(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await store.commit_transaction(commit(2))
        with pytest.raises(TransactionMisused):
            await connection.execute(INSERT, {"id": 1, "amount": 5})
        with pytest.raises(TransactionMisused):
            await store.commit_transaction(commit(3))
    assert await ledger(store) == []
    assert (await store.owner()).commit_no == 2


async def test_an_unread_result_doesnt_hinder_the_commit(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, [{"id": n, "amount": 1} for n in range(1, 2000)])
        stream = await connection.stream(text("SELECT * FROM ledger"))
        await stream.fetchone()
        await store.commit_transaction(commit(2))
    assert len(await ledger(store)) == 1999


async def test_nor_does_an_unread_returning(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        values = ", ".join(f"({n}, 1)" for n in range(600))
        stream = await connection.stream(text(f"INSERT INTO ledger VALUES {values} RETURNING id"))
        await stream.fetchone()
        await store.commit_transaction(commit(2))
    assert len(await ledger(store)) == 600


async def test_cancelled_in_a_statement(stores: Any) -> None:
    """The statement is interrupted, what was queued behind it never runs, and the store goes on."""
    store = await with_table(stores)
    loop, running = asyncio.get_running_loop(), asyncio.Event()

    def report() -> int:
        loop.call_soon_threadsafe(running.set)
        return 1

    async def turn() -> None:
        async with store.transaction() as connection:
            await connection.execute(INSERT, {"id": 1, "amount": 5})
            raw = await connection.get_raw_connection()
            await raw.driver_connection.create_function("report", 0, report)
            numbers = "WITH RECURSIVE n(x) AS (SELECT report() UNION ALL SELECT x + 1 FROM n)"
            await connection.execute(text(f"{numbers} SELECT count(*) FROM n"))

    task = asyncio.create_task(turn())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.commit_now(commit(2, message(1)))
    assert await ledger(store) == []


@pytest.mark.parametrize("steps", range(4))
async def test_cancelled_in_its_commit(stores: Any, steps: int) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        task = asyncio.create_task(store.commit_transaction(commit(2, message(1))))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    landed = await store.count(MessageRow)
    assert len(await ledger(store)) == landed
    assert (await store.owner()).commit_no == 1 + landed
    store.commit_now(commit(3))


async def test_cancelled_anywhere(stores: Any) -> None:
    """Whatever step a cancellation hits: all or nothing, and the next commit works."""
    store = await with_table(stores)
    number = 1
    for steps in range(40):
        landed = len(await ledger(store))

        async def turn(number: int = number, step: int = steps) -> None:
            async with store.transaction() as connection:
                await connection.execute(INSERT, {"id": step, "amount": 5})
                await store.commit_transaction(commit(number + 1, message(step + 1)))

        task = asyncio.create_task(turn())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        after = len(await ledger(store))
        assert after == await store.count(MessageRow)
        assert after in (landed, landed + 1)
        number = (await store.owner()).commit_no + 1
        store.commit_now(commit(number))


async def test_a_task_that_outlives_the_turn_can_write_nothing(stores: Any) -> None:
    store = await with_table(stores)
    go = asyncio.Event()

    async def stray(connection: Any) -> None:
        await go.wait()
        await connection.execute(INSERT, {"id": 9, "amount": 9})

    async with store.transaction() as connection:
        task = asyncio.create_task(stray(connection))
        await store.commit_transaction(commit(2))
    go.set()
    await asyncio.wait([task])
    assert task.exception() is not None
    assert await ledger(store) == []


async def test_the_users_tables_outlive_a_restart(stores: Any) -> None:
    store = await with_table(stores)
    async with store.transaction() as connection:
        await connection.execute(INSERT, {"id": 1, "amount": 5})
        await store.commit_transaction(commit(2))
    await store.close()
    assert await ledger(await stores.opened()) == [(1, 5)]
