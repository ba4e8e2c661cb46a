"""SQL of users has its own tables, under any name but ours, and reads those of greenroom alone."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from sqlalchemy import text
from store_samples import commit, message

from greenroom.persistence.errors import TableReserved
from greenroom.persistence.store.rows import MessageRow


async def opened(stores: Any) -> Any:
    store = stores.make()
    await store.open()
    store.commit_now(commit(1, message(1)))
    return store


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE greenroom_mine (x)",
        "CREATE TABLE IF NOT EXISTS Greenroom_Message_2 (x)",
        "CREATE VIEW greenroom_view AS SELECT 1",
        "CREATE TEMP TABLE greenroom_message (x)",
        "CREATE TEMPORARY TABLE IF NOT EXISTS greenroom_mine AS SELECT 1 AS x",
        "CREATE TEMP VIEW greenroom_message AS SELECT 1 AS id",
        "ALTER TABLE mine RENAME TO greenroom_mine",
        'ALTER TABLE main.mine RENAME /* */ TO "Greenroom_mine"',
        "ALTER TABLE passing RENAME TO greenroom_message",
        "DELETE FROM sqlite_sequence",
        "UPDATE SQLITE_sequence SET seq = 0",
        "INSERT INTO main.sqlite_sequence VALUES ('greenroom_inbox', 0)",
        "PRAGMA busy_timeout = 0",
        "PRAGMA hard_heap_limit = 100000000",
        "PRAGMA user_version = 9",
        "PRAGMA application_id = 9",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA synchronous = OFF",
        "PRAGMA main.wal_autocheckpoint = 0",
    ],
)
async def test_names_and_settings_that_are_ours(stores: Any, statement: str) -> None:
    store = await opened(stores)
    async with store.transaction() as connection:
        await connection.execute(text("CREATE TABLE mine (id INTEGER PRIMARY KEY AUTOINCREMENT)"))
        await connection.execute(text("CREATE TEMP TABLE passing (x)"))
        with pytest.raises(TableReserved, match=r"^(?i:[^,]*(greenroom_|PRAGMA|sqlite_sequence).*) was refused"):
            await connection.execute(text(statement))
        await connection.execute(text("CREATE TABLE message (mine)"))  # the transaction goes on
        await connection.execute(text("INSERT INTO message VALUES (1)"))
        await store.commit_transaction(commit(2, message(2)))
    assert await store.count(MessageRow) == 2
    async with store.transaction() as connection:
        assert (await connection.execute(text("SELECT mine FROM message"))).all() == [(1,)]
    await store.close()


async def test_tables_of_users_are_renamed_and_dropped_along_with_their_counters(stores: Any) -> None:
    store = await opened(stores)
    async with store.transaction() as connection:
        for statement in (
            "CREATE TABLE mine (id INTEGER PRIMARY KEY AUTOINCREMENT)",
            "INSERT INTO mine DEFAULT VALUES",
            "ALTER TABLE mine RENAME TO evergreenroom_1",
            "ALTER TABLE evergreenroom_1 ADD COLUMN greenroom_id",
            "INSERT INTO evergreenroom_1 (greenroom_id) VALUES (7)",
        ):
            await connection.execute(text(statement))
        counters = "SELECT seq FROM sqlite_sequence WHERE name = 'evergreenroom_1'"
        assert (await connection.execute(text(counters))).all() == [(2,)]
        await connection.execute(text("DROP TABLE evergreenroom_1"))
        assert (await connection.execute(text(counters))).all() == []
        await store.commit_transaction(commit(2, message(2)))
    assert await store.count(MessageRow) == 2
    await store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO greenroom_message SELECT * FROM greenroom_message",
        "UPDATE greenroom_message SET priority = 3",
        "DELETE FROM greenroom_message",
        "DROP TABLE greenroom_message",
        "ALTER TABLE greenroom_message ADD COLUMN mine",
        "CREATE TRIGGER mine AFTER INSERT ON greenroom_message BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE TEMP TRIGGER mine BEFORE DELETE ON main.greenroom_message BEGIN SELECT 1; END",
        "CREATE UNIQUE INDEX mine ON greenroom_message (address)",
        "WITH x AS (SELECT 1) DELETE FROM main.greenroom_owner",
    ],
)
async def test_rows_of_ours_are_read_only(stores: Any, statement: str) -> None:
    store = await opened(stores)
    if not hasattr(store, "path"):
        await store.close()
        pytest.skip("its tables are elsewhere")
    async with store.transaction() as connection:
        with pytest.raises(TableReserved, match="greenroom_"):
            await connection.execute(text(statement))
        assert (await connection.execute(text("SELECT count(*) FROM greenroom_message"))).scalar() == 1
        await connection.execute(text("PRAGMA table_info('greenroom_message')"))
        await store.commit_transaction(commit(2, message(2)))
    store.commit_now(commit(3, message(3)).delete(MessageRow, 1))  # our own statements aren't asked
    assert await store.count(MessageRow) == 2
    await store.close()


def test_the_error_survives_a_pickle() -> None:
    error = TableReserved("DELETE FROM greenroom_owner")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
